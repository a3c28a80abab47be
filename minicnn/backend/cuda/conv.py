"""Convolution on the GPU: im2col around matrix products, and depthwise convolution directly.

The columns of an image are (C * kH * kW, L) with L = oH * oW windows, in G groups of R = C/G * kH * kW rows. One
product per image gives (N, G, K/G, L), which is the layout of the output: nothing has to be transposed. cuBLAS makes
all of them in one call, or for a grouped convolution in as many as there are groups or images, whichever are fewer. A
1x1 convolution with stride 1 needs no columns: they are the image.

The gradient at the weight is a sum over images: one product each, (K/G, L) @ (L, R), added up afterwards; or, where
that writes more numbers than it saves, a single product whose columns are those of all images side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from .. import cuda as switches
from ..base import Pair, Window
from .compiler import real
from .matrix import product
from .planes import lanes_for

COLUMN_BYTES = 2**29  # the most memory for columns: larger batches are cut
POINT = Window((1, 1))


def conv2d(cuda: Any, x: Any, weight: Any, window: Window, groups: int = 1) -> Any:
    """See ``reference.conv.conv2d``."""
    xp = cuda.xp
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    k, out_size = weight.shape[0], output_size(window, x.shape[2:])
    y = xp.empty((x.shape[0], k, *out_size), x.dtype)
    if y.size == 0:
        return y
    if _is_depthwise(weight.shape, groups):
        sizes = (x.shape[1], k // groups, *x.shape[2:], *out_size)
        _launch_planes(cuda, "depthwise", y, (x, weight, y, *sizes), window)
        return y
    filters = weight.reshape(groups, k // groups, -1)
    for images in _batches(x, window):
        columns = _columns(cuda, x[images], window, groups)
        # (N, G, K/G, L) = (G, K/G, R) @ (N, G, R, L)
        product(cuda, filters, columns, _rows(y[images], groups), switches.allow_tf32_convolutions)
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
    if _is_depthwise(weight.shape, groups):
        sizes = (x_shape[1], k // groups, *x_shape[2:], *out_size)
        _launch_planes(cuda, "depthwise_input_grad", dx, (dy, weight, dx, *sizes), window)
        return dx
    filters = weight.reshape(groups, k // groups, -1).swapaxes(1, 2)  # (G, R, K/G), read where it lies
    for images in _batches(dx, window):
        rows, part = _rows(dy[images], groups), dx[images]
        if _is_pointwise(window):
            product(cuda, filters, rows, _rows(part, groups), switches.allow_tf32_convolutions)
            continue
        # (N, G, R, L) = (G, R, K/G) @ (N, G, K/G, L)
        columns = xp.empty((len(part), groups, filters.shape[1], rows.shape[3]), dy.dtype)
        product(cuda, filters, rows, columns, switches.allow_tf32_convolutions)
        _launch_planes(cuda, "col2im", part, (columns, part, *x_shape[2:], *out_size), window)
    return dx


def conv2d_weight_grad(
    cuda: Any, dy: Any, x: Any, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> Any:
    """See ``reference.conv.conv2d_weight_grad``."""
    xp = cuda.xp
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    (n, k), out_size = dy.shape[:2], dy.shape[2:]
    if dy.size == 0 or x.size == 0:
        return xp.zeros(weight_shape, x.dtype)
    if _is_depthwise(weight_shape, groups):
        d_weight = xp.empty(weight_shape, x.dtype)
        sizes = (n, x.shape[1], k // groups, *x.shape[2:], *out_size)
        lanes = lanes_for(out_size)
        cuda.launch(
            "conv", "depthwise_weight_grad", x.dtype, d_weight.size, dy, x, d_weight, *sizes, lanes, *geometry(window),
            block_each=True,
        )  # fmt: skip
        return d_weight
    filters = xp.empty((groups, k // groups, x.shape[1] // groups * _taps(window)), real(x.dtype))
    correlate = _image_by_image if _one_product_per_image(filters, out_size, window) else _all_at_once
    for images in _batches(x, window):
        correlate(cuda, dy[images], x[images], window, filters, add=images.start > 0)
    return filters.reshape(weight_shape).astype(x.dtype, copy=False)


def _image_by_image(cuda: Any, dy: Any, x: Any, window: Window, filters: Any, add: bool) -> None:
    """The gradient at the weight into ``filters`` (G, K/G, R), or added to it: as many products as images."""
    rows, columns = _rows(dy, len(filters)), _columns(cuda, x, window, len(filters))
    # (N, G, K/G, R) = (N, G, K/G, L) @ (N, G, L, R)
    products = cuda.xp.empty((len(rows), *filters.shape), filters.dtype)
    product(cuda, rows, columns.swapaxes(2, 3), products, switches.allow_tf32_convolutions)
    if add:
        filters += products.sum(axis=0)
    else:
        products.sum(axis=0, out=filters)


def _all_at_once(cuda: Any, dy: Any, x: Any, window: Window, filters: Any, add: bool) -> None:
    """The same by one product over the windows of all images."""
    rows, columns = (_side_by_side(cuda, a, w, len(filters)) for a, w in ((dy, POINT), (x, window)))
    # (G, K/G, R) = (G, K/G, N*L) @ (G, N*L, R)
    product(cuda, rows, columns.swapaxes(1, 2), filters, switches.allow_tf32_convolutions, add)


@cache
def output_size(window: Window, size: Pair) -> Pair:
    """``window.output_size(size)``."""
    return window.output_size(size)


@cache
def geometry(window: Window) -> tuple[int, ...]:
    """The eight integers that kernels call WINDOW."""
    (above, _), (left, _) = window.padding
    return (*window.kernel_size, *window.stride, above, left, *window.dilation)


def _columns(cuda: Any, x: Any, window: Window, groups: int) -> Any:
    """The pixels of each window: (N, G, R, L)."""
    if _is_pointwise(window):
        return _rows(x, groups)
    n, c = x.shape[:2]
    rows, (out_h, out_w) = c * _taps(window), output_size(window, x.shape[2:])
    columns = cuda.xp.empty((n, groups, rows // groups, out_h * out_w), x.dtype)
    _im2col(cuda, x, columns, window, image_stride=rows * out_h * out_w, row_stride=out_h * out_w)
    return columns


def _side_by_side(cuda: Any, x: Any, window: Window, groups: int) -> Any:
    """The columns of all images side by side: (G, R, N * L)."""
    n, c = x.shape[:2]
    rows, (out_h, out_w) = c * _taps(window), output_size(window, x.shape[2:])
    columns = cuda.xp.empty((groups, rows // groups, n * out_h * out_w), x.dtype)
    _im2col(cuda, x, columns, window, image_stride=out_h * out_w, row_stride=n * out_h * out_w)
    return columns


def _im2col(cuda: Any, x: Any, columns: Any, window: Window, image_stride: int, row_stride: int) -> None:
    n, c, height, width = x.shape
    out_size = output_size(window, (height, width))
    lanes = lanes_for(out_size)
    sizes = (c, height, width, *out_size, image_stride, row_stride, lanes)
    jobs = n * c * window.kernel_size[0]
    cuda.launch("conv", "im2col", x.dtype, jobs, x, columns, *sizes, *geometry(window), lanes=lanes)


def _launch_planes(cuda: Any, name: str, written: Any, args: tuple[Any, ...], window: Window) -> None:
    """Launch a kernel whose jobs are the planes, (n, channel), of the images that it writes."""
    lanes = lanes_for(written.shape[2:])
    planes = written.shape[0] * written.shape[1]
    cuda.launch("conv", name, written.dtype, planes, *args, lanes, *geometry(window), lanes=lanes)


def _one_product_per_image(filters: Any, out_size: Any, window: Window) -> bool:
    """Whether products of single images, (K, R) numbers each, are fewer than what has to be laid side by side instead.

    That is dy, (K, L) per image, and x where its columns would not be needed otherwise.
    """
    groups, k, r = filters.shape
    windows = out_size[0] * out_size[1]
    return k * r <= (k + r * _is_pointwise(window)) * windows


def _taps(window: Window) -> int:
    return window.kernel_size[0] * window.kernel_size[1]


def _is_depthwise(weight_shape: tuple[int, ...], groups: int) -> bool:
    return groups > 1 and weight_shape[1] == 1


def _is_pointwise(window: Window) -> bool:
    return window.kernel_size == window.stride == (1, 1) and not any(sum(window.padding, ()))


def _rows(x: Any, groups: int) -> Any:
    """(N, C, H, W) -> (N, G, C/G, H * W)."""
    n, c, height, width = x.shape
    return x.reshape(n, groups, c // groups, height * width)


def _batches(x: Any, window: Window) -> Iterator[slice]:
    """Slices of the batch small enough for their columns to fit in COLUMN_BYTES."""
    out_h, out_w = output_size(window, x.shape[2:])
    step = max(1, COLUMN_BYTES // max(1, x.shape[1] * _taps(window) * out_h * out_w * x.dtype.itemsize))
    return (slice(start, start + step) for start in range(0, x.shape[0], step))
