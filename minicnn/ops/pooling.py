"""Pooling: a window's maximum or mean. The geometry is checked here, the backend computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..autograd import Function
from ..backend.base import Pair, Window
from ..tensors import Tensor
from .geometry import on_batch, pair, pooling_output_size, pooling_window


class MaxPool2d(Function):
    """y = the largest pixel of each window, which also gets the cotangent."""

    @staticmethod
    def forward(ctx: Any, x: Any, window: Window, out_size: Pair) -> Any:
        y, indices = ctx.backend.max_pool2d(x, window, out_size)
        ctx.x_shape, ctx.window = x.shape, window
        ctx.save_for_backward(indices)
        ctx.mark_non_differentiable(indices)
        return y, indices

    @staticmethod
    def backward(ctx: Any, dy: Any, _: Any) -> Any:
        (indices,) = ctx.saved_tensors
        return ctx.backend.max_pool2d_grad(dy, indices, ctx.x_shape, ctx.window), None, None


class AvgPool2d(Function):
    """y = the sum of each window over a divisor; every pixel of it gets the cotangent over the divisor."""

    @staticmethod
    def forward(ctx: Any, x: Any, window: Window, divisor: Any) -> Any:
        ctx.x_shape, ctx.window = x.shape, window
        ctx.save_for_backward(divisor)
        return ctx.backend.avg_pool2d(x, window, divisor)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (divisor,) = ctx.saved_tensors
        return ctx.backend.avg_pool2d_grad(dy, ctx.x_shape, ctx.window, divisor), None, None


class AdaptiveAvgPool2d(Function):
    """y = the mean of each cell of a grid; every pixel of it gets the cotangent over the cell's area."""

    @staticmethod
    def forward(ctx: Any, x: Any, out_size: Pair) -> Any:
        ctx.x_shape = x.shape
        return ctx.backend.adaptive_avg_pool2d(x, out_size)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return ctx.backend.adaptive_avg_pool2d_grad(dy, ctx.x_shape), None


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest pixel of each window, as ``torch.nn.functional.max_pool2d``.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        stride: the kernel size by default.
        padding: at most half of the kernel; padded pixels never win.
        ceil_mode: let the last window hang over the edge instead of leaving pixels out.
        return_indices: also give the positions ``row * W + column`` of the winners.

    Returns:
        (N, C, oH, oW), with ``return_indices`` a pair. Of equal pixels the first in reading order wins.
    """
    window = pooling_window(kernel_size, stride, padding, dilation)

    def pool(batch: Tensor) -> tuple[Tensor, Tensor]:
        return MaxPool2d.apply(batch, window, pooling_output_size(window, batch.shape[2:], ceil_mode))

    values, indices = on_batch(input, pool)
    return (values, indices) if return_indices else values


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, as ``torch.nn.functional.avg_pool2d``.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        count_include_pad: whether padded zeros count as pixels; what hangs over beyond the padding never does.
        divisor_override: divide by this instead of the number of pixels.

    Returns:
        (N, C, oH, oW).
    """
    window = pooling_window(kernel_size, stride, padding)
    if divisor_override == 0:
        raise ValueError("divisor_override: expected a number other than 0, got 0")

    def pool(batch: Tensor) -> Tensor:
        out_size = pooling_output_size(window, batch.shape[2:], ceil_mode)
        if divisor_override is None:
            divisor = np.multiply.outer(
                *(
                    _pixels_seen(window, axis, batch.shape[2 + axis], out_size[axis], count_include_pad)
                    for axis in (0, 1)
                )
            )
        else:
            divisor = np.full(out_size, divisor_override)
        return AvgPool2d.apply(batch, window, backend.get(batch.device).to_device(divisor))

    return on_batch(input, pool)


def _pixels_seen(window: Window, axis: int, length: int, count: int, include_padding: bool) -> np.ndarray:
    """How many pixels each window covers along one axis."""
    before, after = window.padding[axis]
    start = np.arange(count) * window.stride[axis] - before
    end = np.minimum(start + window.kernel_size[axis], length + after)
    return end - start if include_padding else np.minimum(end, length) - np.maximum(start, 0)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each cell of an ``output_size`` grid laid on the image, as PyTorch's; ``None`` keeps a length.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        output_size: an int or a pair; 1 is global average pooling, the end of GoogLeNet and all that follow.

    Returns:
        ``(N, C, *output_size)``. Cell i of o along a length n spans floor(i n / o) to ceil((i + 1) n / o).
    """
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    given = pair("output_size", tuple(1 if size is None else size for size in sizes), 1)

    def pool(batch: Tensor) -> Tensor:
        wanted = (n if size is None else number for size, number, n in zip(sizes, given, batch.shape[2:], strict=False))
        return AdaptiveAvgPool2d.apply(batch, pair("output_size", tuple(wanted), 1))

    return on_batch(input, pool)
