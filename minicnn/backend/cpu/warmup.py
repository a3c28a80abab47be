"""Every kernel of this package, called once on small arrays: then it is compiled, and kept for all that follow.

``STEPS`` goes through all ways in which work is cut, so that no first training step has to wait for the compiler. A
test holds it complete: in a fresh cache, every compiled function of the package must be there afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba.core import event

from ..base import Window
from ..reference.fused import Line
from . import (
    compiling,
    conv,
    deformable,
    fused,
    joining,
    masking,
    matmul,
    optimizer,
    pointwise,
    pooling,
    roofline,
    weight_grad,
)
from .layout import channels_last, empty_images
from .microkernel import tile_function
from .silu import rows_function

POINT, SQUARE = Window((1, 1)), Window((3, 3), padding=((1, 1), (1, 1)))
STRIDED = Window((3, 3), (2, 2), ((1, 1), (1, 1)))


def _images(dtype: np.dtype, channels: int, side: int) -> np.ndarray:
    """One square image (1, C, side, side), channels last in memory, of ones."""
    images = empty_images(1, channels, side, side, dtype)
    images[...] = 1
    return images


# ---- the steps -------------------------------------------------------------------------------------------------------


def _tiles(dtype: np.dtype) -> None:
    tile_function(dtype)
    tile_function(dtype, spread=False)


def _layout(dtype: np.dtype) -> None:
    channels_last(np.ones((1, 2, 256, 256), dtype))  # smaller ones NumPy copies


def _products(dtype: np.dtype) -> None:
    rows_function(dtype)
    matmul.product(np.ones((8, 4), dtype), np.ones((4, 40), dtype))
    matmul.linear(np.ones((8, 4), dtype), np.ones((5, 4), dtype), np.ones(5, dtype))


def _convolution(dtype: np.dtype) -> None:
    point, filters = np.ones((8, 4, 1, 1), dtype), np.ones((4, 4, 3, 3), dtype)
    conv.conv2d(_images(dtype, 4, 8), point, POINT)  # pixels are read where they lie
    conv.conv2d(_images(dtype, 4, 8), filters, SQUARE)  # few positions: whole images are padded
    conv.conv2d(_images(dtype, 4, 40), filters, SQUARE)  # many: a block of rows at a time
    conv.conv2d(_images(dtype, 64, 40), np.ones((64, 64, 3, 3), dtype), SQUARE)  # enough work for Winograd's form
    conv.conv2d_input_grad(_images(dtype, 4, 8), filters, (1, 4, 16, 16), STRIDED)


def _weight_gradient(dtype: np.dtype) -> None:
    weight_grad.conv2d_weight_grad(_images(dtype, 4, 8), _images(dtype, 4, 8), (4, 4, 3, 3), SQUARE)
    weight_grad.conv2d_weight_grad(_images(dtype, 64, 40), _images(dtype, 64, 40), (64, 64, 3, 3), SQUARE)  # Winograd


def _depthwise(dtype: np.dtype) -> None:
    conv.conv2d(_images(dtype, 4, 8), np.ones((4, 1, 3, 3), dtype), SQUARE, 4)
    conv.conv2d_input_grad(_images(dtype, 4, 4), np.ones((4, 1, 3, 3), dtype), (1, 4, 8, 8), STRIDED, 4)


def _depthwise_weight_gradient(dtype: np.dtype) -> None:
    weight_grad.conv2d_weight_grad(_images(dtype, 4, 8), _images(dtype, 4, 8), (4, 1, 3, 3), SQUARE, 4)


def _norm(dtype: np.dtype) -> None:
    x, weight = _images(dtype, 4, 8), np.ones(4, dtype)
    normed = fused.norm(x, weight, weight, 1e-5)
    fused.norm_grad(normed.y, x, Line(normed.mean, normed.inv_std, weight, weight))


def _max_pooling(dtype: np.dtype) -> None:
    x, size = _images(dtype, 4, 8), STRIDED.output_size((8, 8))
    y, taps = pooling.max_pool_taps(x, STRIDED, size)
    pooling.max_pool_taps_grad(y, taps, x.shape, STRIDED)
    y, indices = pooling.max_pool2d(x, STRIDED, size)
    pooling.max_pool2d_grad(y, indices, x.shape)


def _large_max_pooling(dtype: np.dtype) -> None:
    x, window = _images(dtype, 4, 17), Window((17, 17))  # its taps' numbers take more than a byte
    y, taps = pooling.max_pool_taps(x, window, (1, 1))
    pooling.max_pool_taps_grad(y, taps, x.shape, window)


def _average_pooling(dtype: np.dtype) -> None:
    x, size = _images(dtype, 4, 8), STRIDED.output_size((8, 8))
    divisor = np.full(size, 9)
    y = pooling.avg_pool2d(x, STRIDED, divisor)
    pooling.avg_pool2d_grad(y, x.shape, STRIDED, divisor)
    pooling.adaptive_avg_pool2d(x, (1, 1))


def _activations(dtype: np.dtype) -> None:
    x = _images(dtype, 4, 8)
    for forward, backward in (
        (pointwise.relu, pointwise.relu_grad),
        (pointwise.sigmoid, pointwise.sigmoid_grad),
        (pointwise.silu, pointwise.silu_grad),
    ):
        backward(x, forward(x))
    masking.masked(x > 1, x)


def _sums(dtype: np.dtype) -> None:
    x = _images(dtype, 4, 8)
    pointwise.add(x, x)
    pointwise.channel_sums(x)


def _scaled_channels(dtype: np.dtype) -> None:
    x, gate = _images(dtype, 4, 8), _images(dtype, 4, 1)
    pointwise.scale_channels_grad(pointwise.scale_channels(x, gate), x, gate)
    pointwise.plane_products(x, x)


def _joining(dtype: np.dtype) -> None:
    x = _images(dtype, 4, 8)
    for part in joining.split_channels(joining.cat_channels([x, x]), [4, 4]):
        pointwise.add(part, x)


def _optimizers(dtype: np.dtype) -> None:
    param, grad, first, second = np.ones((4, 16), dtype)
    optimizer.sgd_step([param], [grad], [first], lr=0.1, momentum=0.9)
    optimizer.adam_step([param], [grad], [first], [second], steps=[1], lr=0.1)


def _deformable(dtype: np.dtype) -> None:
    x, offset, mask = np.ones((1, 2, 4, 4), dtype), np.zeros((1, 18, 4, 4), dtype), np.ones((1, 9, 4, 4), dtype)
    columns = deformable.deform_im2col(x, offset, mask, SQUARE, 1)
    deformable.deform_im2col_grad(columns, x, offset, mask, SQUARE, 1)


def _roofline(_: np.dtype) -> None:
    roofline.measure_peak(0)
    roofline.measure_bandwidth(0, mebibytes=1)


#: What is compiled, by the name that is shown while it is: functions of the dtype.
STEPS: dict[str, Callable[[np.dtype], None]] = {
    "register tiles": _tiles,
    "images from channels first to channels last": _layout,
    "matrix products": _products,
    "convolution and its gradient at the input": _convolution,
    "convolution's gradient at the weight": _weight_gradient,
    "depthwise convolution": _depthwise,
    "depthwise convolution's gradient at the weight": _depthwise_weight_gradient,
    "batch norm and its gradient": _norm,
    "max pooling and its gradient": _max_pooling,
    "max pooling over large windows": _large_max_pooling,
    "average pooling and its gradient": _average_pooling,
    "activations and their gradients": _activations,
    "sums": _sums,
    "gates of channels": _scaled_channels,
    "joining and splitting channels": _joining,
    "optimisers": _optimizers,
    "deformable sampling and its gradient": _deformable,
    "measuring the processor": _roofline,
}


# ---- all of them -----------------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """One step that has something to compile: it is number ``number`` of ``steps``."""

    number: int
    steps: int
    name: str


def warm_up(
    dtypes: Sequence[Any], begin: Callable[[Work], object], end: Callable[[float], object] = lambda seconds: None
) -> int:
    """Compile everything that is not in the cache yet.

    Args:
        dtypes: float32, float64 or both.
        begin: is told when a step turns out to have something to compile, before that happens.
        end: is told the seconds that it took.

    Returns:
        How many of the steps had something to compile: 0 if all was there.
    """
    compiling._Announcer.said = True  # ``begin`` says it better
    todo = [(f"{name}, {dtype}", run, dtype) for dtype in map(np.dtype, dtypes) for name, run in STEPS.items()]
    compiled = 0
    for number, (name, run, dtype) in enumerate(todo, 1):
        watcher = _Watcher(partial(begin, Work(number, len(todo), name)))
        start = time.perf_counter()
        with event.install_listener("numba:run_pass", watcher):
            run(dtype)
        if watcher.noticed:
            compiled += 1
            end(time.perf_counter() - start)
    return compiled


class _Watcher(event.Listener):
    """Calls back at the first thing that Numba compiles; finding it in the cache does not count."""

    def __init__(self, notice: Callable[[], object]) -> None:
        self.notice, self.noticed = notice, False

    def on_start(self, happening: Any) -> None:
        if not self.noticed:
            self.noticed = True
            self.notice()

    def on_end(self, happening: Any) -> None:
        """How long it took is measured from outside."""
