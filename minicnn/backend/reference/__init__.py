"""The reference backend: plain NumPy, meant to be read. Every other backend is tested against it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from ..base import Window
from . import affine, conv, deformable, fused, fused_conv, loss, norm, optimizer, pooling


class ReferenceBackend:
    """The primitives of ``backend.base.Backend``, each a plain function in one of the modules of this folder."""

    name = "reference"
    device_type = "cpu"
    xp: ModuleType = np
    fused: Mapping[str, Any] = MappingProxyType(
        {
            "norm": fused.norm,
            "norm_grad": fused.norm_grad,
            "fixed_norm": fused.fixed_norm,
            "fixed_norm_grad": fused.fixed_norm_grad,
            "relu_bias_grad": fused.relu_bias_grad,
            **fused_conv.FUSED,
        }
    )
    least_work = 0
    statistics_in_kernels = False

    matmul = staticmethod(np.matmul)
    conv2d = staticmethod(conv.conv2d)
    conv2d_input_grad = staticmethod(conv.conv2d_input_grad)
    conv2d_weight_grad = staticmethod(conv.conv2d_weight_grad)
    max_pool2d = staticmethod(pooling.max_pool2d)
    avg_pool2d = staticmethod(pooling.avg_pool2d)
    avg_pool2d_grad = staticmethod(pooling.avg_pool2d_grad)
    adaptive_avg_pool2d = staticmethod(pooling.adaptive_avg_pool2d)
    adaptive_avg_pool2d_grad = staticmethod(pooling.adaptive_avg_pool2d_grad)
    deform_im2col = staticmethod(deformable.deform_im2col)
    deform_im2col_grad = staticmethod(deformable.deform_im2col_grad)
    batch_norm = staticmethod(norm.batch_norm)
    batch_norm_grad = staticmethod(norm.batch_norm_grad)
    scale_and_shift = staticmethod(affine.scale_and_shift)
    softmax_cross_entropy = staticmethod(loss.softmax_cross_entropy)
    sgd_step = staticmethod(optimizer.sgd_step)
    adam_step = staticmethod(optimizer.adam_step)
    scatter_add = staticmethod(np.add.at)

    @staticmethod
    def max_pool2d_grad(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...], window: Window) -> np.ndarray:
        """The indices say all that NumPy needs to know."""
        return pooling.max_pool2d_grad(dy, indices, x_shape)

    @staticmethod
    def release_memory() -> None:
        """NumPy keeps no memory."""

    @staticmethod
    def to_device(array: Any) -> np.ndarray:
        """Host memory is this backend's memory."""
        return np.asarray(array)

    @staticmethod
    def to_host(array: np.ndarray) -> np.ndarray:
        """Host memory is this backend's memory."""
        return array

    @staticmethod
    def dropout_mask(shape: tuple[int, ...], p: float, dtype: Any, generator: np.random.Generator) -> np.ndarray:
        """0 with probability ``p``, else 1 / (1 - p)."""
        kept = generator.random(shape, dtype=np.float32) >= p
        return kept.astype(dtype) / np.asarray(1 - p, dtype) if p < 1 else np.zeros(shape, dtype)
