"""Convolution, pooling, norms and matrix products as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..backend.base import Pair, Window
from ..ops import conv, matrix, normalization, pooling
from .deformable import DeformConv2d
from .errors import ExportError
from .table import Builder, one_node, writes
from .trace import Array, Batch

one_node({matrix.MatMul: "MatMul"})


def geometry(window: Window) -> dict[str, Any]:
    """A window as the attributes that all sliding operators of ONNX have."""
    (above, below), (left, right) = window.padding
    return {
        "kernel_shape": list(window.kernel_size),
        "strides": list(window.stride),
        "pads": [above, left, below, right],
        "dilations": list(window.dilation),
    }


@writes(conv.Conv2d)
def conv2d(b: Builder, x: Any, weight: Any, bias: Any, window: Window, groups: int) -> str:
    """One node."""
    return b.node("Conv", x, weight, bias, group=groups, **geometry(window))


@writes(DeformConv2d)
def deform_conv2d(
    b: Builder, x: Any, offset: Any, weight: Any, bias: Any, mask: Any, window: Window, groups: int, offset_groups: int
) -> str:
    """One node, of which ONNX's order of offsets is ours."""
    b.require_opset(19, "deformable convolution")
    options = {"group": groups, "offset_group": offset_groups, **geometry(window)}
    return b.node("DeformConv", x, weight, offset, bias, mask, **options)


@writes(matrix.Linear)
def linear(b: Builder, x: Array, weight: Any, bias: Any) -> str:
    """Gemm takes matrices only."""
    if x.ndim == 2:
        return b.node("Gemm", x, weight, bias, transB=1)
    y = b.node("MatMul", x, b.node("Transpose", weight, perm=[1, 0]))
    return y if bias is None else b.node("Add", y, bias)


@writes(pooling.MaxPool2d)
def max_pool2d(b: Builder, x: Array, window: Window, out_size: Pair) -> Any:
    """The padding is written out, with what ``ceil_mode`` lets hang over, and never wins."""
    plane = x.lengths()[1:]
    padded, window = _padded(b, x, _reaching(window, plane, out_size), -np.inf)
    indices = b.step.outputs[1]
    if id(indices) not in b.read:
        return b.node("MaxPool", padded, **geometry(window)), None
    if padded is not x:
        raise ExportError("positions under padding as wide as the kernel have no entry in the table")
    values, positions = b.node("MaxPool", x, outputs=2, **geometry(window))
    one_plane = b.constant(np.array(prod(plane)))  # ONNX counts through the whole batch, we through one plane
    return values, b.node("Mod", positions, one_plane)


@writes(pooling.AvgPool2d)
def avg_pool2d(b: Builder, x: Array, window: Window, divisor: np.ndarray) -> str:
    """ONNX's mean of a window, scaled where ours is divided by another number."""
    taps = prod(window.kernel_size)
    dtype = x.dtype
    x, window = _padded(b, x, _reaching(window, x.lengths()[1:], divisor.shape), 0)
    options = {name: value for name, value in geometry(window).items() if name != "dilations"}
    mean = b.node("AveragePool", x, count_include_pad=1, **options)
    scale = (taps / divisor).astype(dtype)
    return mean if (scale == 1).all() else b.node("Mul", mean, b.constant(scale))


def _reaching(window: Window, size: Sequence[int], out_size: Sequence[int]) -> Window:
    """``window`` with so much padding at the end that it has ``out_size`` places without ``ceil_mode``."""
    padding = []
    for axis in (0, 1):
        before, after = window.padding[axis]
        reach = (out_size[axis] - 1) * window.stride[axis] + window.extent(axis)
        padding.append((before, max(after, reach - size[axis] - before)))
    return window._replace(padding=(padding[0], padding[1]))


def _padded(b: Builder, x: Array, window: Window, value: float) -> tuple[Any, Window]:
    """Padding as wide as a kernel, which runtimes refuse, as a node of its own."""
    if all(max(window.padding[axis]) < window.kernel_size[axis] for axis in (0, 1)):
        return x, window
    (above, below), (left, right) = window.padding
    widths = b.integers(0, 0, above, left, 0, 0, below, right)
    padded = b.node("Pad", x, widths, b.constant(np.array(value, x.dtype)))
    return padded, window._replace(padding=((0, 0), (0, 0)))


@writes(pooling.AdaptiveAvgPool2d)
def adaptive_avg_pool2d(b: Builder, x: Array, out_size: Pair) -> str:
    """The whole plane, equal windows, or a product with the shares of each pixel from the left and the right."""
    _, height, width = x.lengths()
    if out_size == (1, 1):
        return b.node("GlobalAveragePool", x)
    if height % out_size[0] == 0 and width % out_size[1] == 0:
        window = [height // out_size[0], width // out_size[1]]
        return b.node("AveragePool", x, kernel_shape=window, strides=window)
    rows, columns = _shares(height, out_size[0], x.dtype), _shares(width, out_size[1], x.dtype)
    return b.node("MatMul", b.node("MatMul", b.constant(rows), x), b.constant(np.ascontiguousarray(columns.T)))


def _shares(length: int, cells: int, dtype: Any) -> np.ndarray:
    """(cells, length): row i averages from floor(i n / o) to ceil((i + 1) n / o)."""
    shares = np.zeros((cells, length), dtype)
    for i in range(cells):
        start, end = i * length // cells, -(-(i + 1) * length // cells)
        shares[i, start:end] = 1 / (end - start)
    return shares


@writes(normalization.FixedNorm)
def fixed_norm(b: Builder, x: Array, weight: Any, bias: Any, mean: Array, variance: Array, eps: float) -> str:
    """Batch norm in evaluation. In float64 eps is an input, because an attribute is float32."""
    channels = x.shape[1]
    if isinstance(channels, Batch):
        raise ExportError("batch norm over channels that depend on the number of images")
    ones, zeros = np.ones(channels, x.dtype), np.zeros(channels, x.dtype)
    scale = b.constant(ones) if weight is None else b.name(weight)
    shift = b.constant(zeros) if bias is None else b.name(bias)
    spread: Any = variance
    if x.dtype == np.float64:
        spread, eps = b.node("Add", variance, b.constant(np.array(eps))), 0.0
    return b.node("BatchNormalization", x, scale, shift, mean, spread, epsilon=float(eps))


@writes(normalization.BatchNorm)
def batch_norm(
    b: Builder, x: Array, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float
) -> str:
    """With the statistics of what comes in, as group norm takes them: written out."""
    over = b.integers(0, *range(2, x.ndim))
    centred = b.node("Sub", x, b.node("ReduceMean", x, over))
    spread = b.node("ReduceMean", b.node("Mul", centred, centred), over)
    deviation = b.node("Sqrt", b.node("Add", spread, b.constant(np.array(eps, x.dtype))))
    y = b.node("Div", centred, deviation)
    lined_up = b.integers(-1, *[1] * (x.ndim - 2))  # (C,) -> (C, 1, 1)
    for kind, part in (("Mul", weight), ("Add", bias)):
        if part is not None:
            y = b.node(kind, y, b.node("Reshape", part, lined_up))
    return y


@writes(normalization.LocalResponseNorm)
def local_response_norm(b: Builder, x: Array, size: int, alpha: float, beta: float, k: float) -> str:
    """ONNX's LRN is for images and float32, and lets an even window reach further up instead of down."""
    if x.ndim == 4 and size % 2 and x.dtype == np.float32:
        return b.node("LRN", x, size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
    channels = x.shape[1]
    if isinstance(channels, Batch):
        raise ExportError("local response norm over channels that depend on the number of images")
    widths = [0] * (2 * x.ndim)
    widths[1], widths[x.ndim + 1] = size // 2, (size - 1) // 2
    squares = b.node("Pad", b.node("Mul", x, x), b.integers(*widths))
    neighbours = [
        b.node("Slice", squares, b.integers(first), b.integers(first + channels), b.integers(1))
        for first in range(size)
    ]  # fmt: skip
    energy = b.node("Mul", b.node("Sum", *neighbours), b.constant(np.array(alpha / size, x.dtype)))
    base = b.node("Add", energy, b.constant(np.array(k, x.dtype)))
    return b.node("Mul", x, b.node("Pow", base, b.constant(np.array(-beta, x.dtype))))
