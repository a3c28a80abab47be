"""Convolution. What computes is the backend: ``backend/reference/conv.py`` is the version to read."""

from __future__ import annotations

from minicnn.errors import ShapeError
from minicnn.tensors import Tensor
from minicnn.ops.matrix import linear
from minicnn.ops.shape import permute, reshape


def pointwise_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv2d`` with a 1x1 kernel, by a single matrix product over all pixels of all images (lecture L2.1.3).

    At every pixel the vector of C channels becomes ``weight @ vector + bias``, a vector of K channels.

    Args:
        input: (N, C, H, W).
        weight: (K, C, 1, 1), as ``Conv2d`` keeps it.
        bias: (K,) or None.

    Returns:
        (N, K, H, W).

    Raises:
        ShapeError: if ``weight`` is not (K, C, 1, 1) with the C of ``input``.
    """
    # Refuse other weights first.
    raise NotImplementedError("hw3.2 pointwise_conv2d: not written yet, see assignments/hw3_googlenet/README.md")
