"""Convolution on the GPU: im2col and one matrix product per image, and depthwise convolution directly.

The columns of an image are (C * kH * kW, L) with L = oH * oW windows. One product per image gives (N, K, L), which is
the layout of the output: nothing has to be transposed. Only the gradient at the weight, a sum over all images, is one
product of all columns. A 1x1 convolution with stride 1 needs no columns at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import cuda as switches
from ..base import Window
from .matrix import tf32

COLUMN_BYTES = 2**29  # the most memory for columns: larger batches are cut


def conv2d(cuda: Any, x: Any, weight: Any, window: Window, groups: int = 1) -> Any:
    """See ``reference.conv.conv2d``."""
    xp = cuda.xp
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    n, k = x.shape[0], weight.shape[0]
    out_size = window.output_size(x.shape[2:])
    y = xp.empty((n, k, *out_size), x.dtype)
    if y.size == 0:
        return y
    if _is_depthwise(weight, groups):
        sizes = (x.shape[1], k // groups, *x.shape[2:], *out_size)
        cuda.launch("conv", "depthwise", x.dtype, y.size, x, weight, y, *sizes, *geometry(window))
        return y
    filters = weight.reshape(groups, k // groups, -1)
    with tf32(cuda, switches.allow_tf32_convolutions):
        for images in _batches(x, window):
            columns = _grouped(_columns(cuda, x[images], window), groups)
            out = y[images].reshape(columns.shape[0], groups, k // groups, -1)
            # (N, G, K/G, L) = (G, K/G, C/G*kH*kW) @ (N, G, C/G*kH*kW, L)
            xp.matmul(filters, columns, out=out)
    return y


def conv2d_input_grad(
    cuda: Any, dy: Any, weight: Any, x_shape: tuple[int, ...], window: Window, groups: int = 1
) -> Any:
    """See ``reference.conv.conv2d_input_grad``."""
    xp = cuda.xp
    dy, weight = xp.ascontiguousarray(dy), xp.ascontiguousarray(weight)
    k, out_size = weight.shape[0], dy.shape[2:]
    dx = xp.empty(x_shape, dy.dtype)
    if dx.size == 0 or dy.size == 0:
        return xp.zeros(x_shape, dy.dtype)
    sizes = (*x_shape[2:], *out_size)
    if _is_depthwise(weight, groups):
        channels = (x_shape[1], k // groups)
        cuda.launch(
            "conv", "depthwise_input_grad", dy.dtype, dx.size, dy, weight, dx, *channels, *sizes, *geometry(window)
        )
        return dx
    filters = xp.ascontiguousarray(weight.reshape(groups, k // groups, -1).swapaxes(1, 2))
    with tf32(cuda, switches.allow_tf32_convolutions):
        for images in _batches(dx, window):
            rows = dy[images].reshape(-1, groups, k // groups, out_size[0] * out_size[1])
            if _is_pointwise(window):
                xp.matmul(filters, rows, out=_grouped(_planes(dx[images]), groups))
                continue
            # (N, G, C/G*kH*kW, L) = (G, C/G*kH*kW, K/G) @ (N, G, K/G, L)
            columns = xp.matmul(filters, rows)
            part = dx[images]
            cuda.launch("conv", "col2im", dy.dtype, part.size, columns, part, x_shape[1], *sizes, *geometry(window))
    return dx


def conv2d_weight_grad(
    cuda: Any, dy: Any, x: Any, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> Any:
    """See ``reference.conv.conv2d_weight_grad``."""
    xp = cuda.xp
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    n, k, out_h, out_w = dy.shape
    d_weight = xp.zeros(weight_shape, x.dtype)
    if dy.size == 0 or x.size == 0:
        return d_weight
    if weight_shape[1] == 1 and groups > 1:
        sizes = (n, x.shape[1], k // groups, *x.shape[2:], out_h, out_w)
        cuda.launch(
            "conv", "depthwise_weight_grad", x.dtype, d_weight.size, dy, x, d_weight, *sizes, *geometry(window),
            block_each=True,
        )  # fmt: skip
        return d_weight
    filters = d_weight.reshape(groups, k // groups, -1)
    with tf32(cuda, switches.allow_tf32_convolutions):
        for images in _batches(x, window):
            rows = xp.ascontiguousarray(dy[images].transpose(1, 0, 2, 3)).reshape(groups, k // groups, -1)
            columns = _joined_columns(cuda, x[images], window).reshape(groups, filters.shape[2], -1)
            for group in range(groups):  # a 2-d product reads a transposed factor in place
                # (K/G, C/G*kH*kW) += (K/G, N*L) @ (N*L, C/G*kH*kW)
                filters[group] += xp.matmul(rows[group], columns[group].T)
    return d_weight


def geometry(window: Window) -> tuple[int, ...]:
    """The eight integers that kernels call WINDOW."""
    (above, _), (left, _) = window.padding
    return (*window.kernel_size, *window.stride, above, left, *window.dilation)


def _columns(cuda: Any, x: Any, window: Window) -> Any:
    """The pixels of each window: (N, C * kH * kW, L)."""
    if _is_pointwise(window):
        return _planes(x)
    n, c = x.shape[:2]
    out_h, out_w = window.output_size(x.shape[2:])
    rows, windows = c * window.kernel_size[0] * window.kernel_size[1], out_h * out_w
    columns = cuda.xp.empty((n, rows, windows), x.dtype)
    _im2col(cuda, x, columns, window, image_stride=rows * windows, row_stride=windows)
    return columns


def _joined_columns(cuda: Any, x: Any, window: Window) -> Any:
    """The columns of all images side by side: (C * kH * kW, N * L)."""
    n, c = x.shape[:2]
    out_h, out_w = window.output_size(x.shape[2:])
    rows, windows = c * window.kernel_size[0] * window.kernel_size[1], out_h * out_w
    columns = cuda.xp.empty((rows, n * windows), x.dtype)
    _im2col(cuda, x, columns, window, image_stride=windows, row_stride=n * windows)
    return columns


def _im2col(cuda: Any, x: Any, columns: Any, window: Window, image_stride: int, row_stride: int) -> None:
    sizes = (*x.shape[1:], *window.output_size(x.shape[2:]), image_stride, row_stride)
    cuda.launch("conv", "im2col", x.dtype, columns.size, x, columns, *sizes, *geometry(window))


def _is_depthwise(weight: Any, groups: int) -> bool:
    return groups > 1 and weight.shape[1] == 1


def _is_pointwise(window: Window) -> bool:
    return window.kernel_size == window.stride == (1, 1) and not any(sum(window.padding, ()))


def _planes(x: Any) -> Any:
    """(N, C, H, W) -> (N, C, H * W)."""
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _grouped(columns: Any, groups: int) -> Any:
    """(N, C * kH * kW, L) -> (N, G, C/G * kH * kW, L)."""
    n, rows, windows = columns.shape
    return columns.reshape(n, groups, rows // groups, windows)


def _batches(x: Any, window: Window) -> Iterator[slice]:
    """Slices of the batch small enough for their columns to fit in COLUMN_BYTES."""
    out_h, out_w = window.output_size(x.shape[2:])
    taps = window.kernel_size[0] * window.kernel_size[1]
    step = max(1, COLUMN_BYTES // max(1, x.shape[1] * taps * out_h * out_w * x.dtype.itemsize))
    return (slice(start, start + step) for start in range(0, x.shape[0], step))
