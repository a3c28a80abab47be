"""Fused kernels of compiled models on the GPU: what surrounds a product, and activations, in one pass each.

``compiler/rules.py`` says where they are used. A kernel is here if it saves launches or passes over memory. A plain sum
of two arrays is one launch of CuPy's already, and images that grow in place (dense blocks) would be copied by the
kernels that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..base import Window
from .compiler import real
from .planes import JOBS, lanes_for

ACTIVATIONS = {None: 0, "relu": 1, "silu": 2}  # as in kernels/activation.cuh


def conv2d(
    cuda: Any,
    x: Any,
    weight: Any,
    window: Window,
    groups: int,
    bias: Any = None,
    residual: Any = None,
    *,
    activation: str | None = None,
) -> Any:
    """See ``reference.fused_conv.conv2d``."""
    return _add_and_activate(cuda, cuda.conv2d(x, weight, window, groups), bias, residual, activation)


def conv2d_input_grad(
    cuda: Any, dy: Any, weight: Any, x_shape: tuple[int, ...], window: Window, groups: int, *, residual: Any = None
) -> Any:
    """See ``reference.fused_conv.conv2d_input_grad``."""
    dx = cuda.conv2d_input_grad(dy, weight, x_shape, window, groups)
    if residual is not None:
        dx += residual
    return dx


def pack(
    cuda: Any, weight: Any, window: Window, groups: int, bias: Any, again: Callable[[], Any] | None = None
) -> Callable[..., Any]:
    """See ``reference.fused_conv.pack``."""

    def packed(x: Any, residual: Any = None, *, activation: str | None = None) -> Any:
        return conv2d(cuda, x, weight, window, groups, bias, residual, activation=activation)

    return packed


def linear(cuda: Any, x: Any, weight: Any, bias: Any, activation: str | None = None) -> Any:
    """See ``reference.fused_conv.linear``."""
    return _add_and_activate(cuda, cuda.matmul(x, weight.T), bias, None, activation)


def relu_bias_grad(cuda: Any, dy: Any, y: Any) -> tuple[Any, Any]:
    """See ``reference.fused.relu_bias_grad``."""
    dx = cuda.xp.empty(y.shape, y.dtype)
    return dx, _channel_sums(cuda, dy, y, dx)


def channel_sums(cuda: Any, dy: Any) -> Any:
    """See ``reference.fused_conv.channel_sums``."""
    return _channel_sums(cuda, dy, None, None)


def relu(cuda: Any, x: Any) -> Any:
    """max(x, 0)."""
    return cuda.xp.maximum(x, 0)


def relu_grad(cuda: Any, dy: Any, y: Any) -> Any:
    """dy where y is positive, else 0."""
    return _each(cuda, "relu_grad", dy, y)


def silu(cuda: Any, x: Any) -> Any:
    """x times its sigmoid."""
    return _each(cuda, "silu", x)


def silu_grad(cuda: Any, dy: Any, x: Any) -> Any:
    """The gradient at x."""
    return _each(cuda, "silu_grad", dy, x)


def scale_channels(cuda: Any, x: Any, gate: Any) -> Any:
    """See ``reference.fused_conv.scale_channels``."""
    return x * gate


def scale_channels_grad(cuda: Any, dy: Any, x: Any, gate: Any) -> tuple[Any, Any]:
    """See ``reference.fused_conv.scale_channels_grad``."""
    dy, x, gate = map(cuda.xp.ascontiguousarray, (dy, x, gate))
    dx, d_gate = cuda.xp.empty(x.shape, x.dtype), cuda.xp.empty(gate.shape, gate.dtype)
    length = x.shape[2] * x.shape[3]
    cuda.launch(
        "pointwise", "scale_channels_grad", x.dtype, gate.size, dy, x, gate, dx, d_gate, length, block_each=True
    )
    return dx, d_gate


def _add_and_activate(cuda: Any, y: Any, bias: Any, residual: Any, activation: str | None) -> Any:
    """activation(y + bias + residual), written over y (N, C, ...), which nobody else has."""
    if bias is None and residual is None and activation is None:
        return y
    contiguous = cuda.xp.ascontiguousarray
    bias = None if bias is None else contiguous(bias, real(y.dtype))
    residual = None if residual is None else contiguous(residual, y.dtype)
    (images, channels), length = y.shape[:2], prod(y.shape[2:])
    lanes = lanes_for((length,))
    cuda.launch(
        "pointwise", "add_and_activate", y.dtype, images * channels, y, bias, residual, channels, length, lanes,
        ACTIVATIONS[activation], lanes=lanes,
    )  # fmt: skip
    return y


def _channel_sums(cuda: Any, dy: Any, y: Any, dx: Any) -> Any:
    """The sums (C,) of dy, or of dx, which is written: dy where y is positive, else 0."""
    contiguous = cuda.xp.ascontiguousarray
    dy, y = contiguous(dy), None if y is None else contiguous(y)
    images, channels, length = dy.shape[0], dy.shape[1], prod(dy.shape[2:])
    if dy.size == 0:
        return cuda.xp.zeros(channels, dy.dtype)
    parts = max(1, min(JOBS // channels, images))
    sums = cuda.xp.empty((channels, parts), real(dy.dtype))
    cuda.launch(
        "pointwise", "channel_sums", dy.dtype, sums.size, dy, y, dx, sums, images, channels, length, parts,
        block_each=True,
    )  # fmt: skip
    return sums.reshape(channels) if parts == 1 else sums.sum(axis=1)


def _each(cuda: Any, kernel: str, *arrays: Any) -> Any:
    """One number for each of the arrays' numbers, by a kernel that takes the arrays and the result."""
    arrays = tuple(map(cuda.xp.ascontiguousarray, arrays))
    result = cuda.xp.empty(arrays[0].shape, arrays[0].dtype)
    cuda.launch("pointwise", kernel, result.dtype, result.size, *arrays, result)
    return result


FUSED = (
    conv2d, conv2d_input_grad, pack, linear, relu_bias_grad, channel_sums, relu, relu_grad, silu, silu_grad,
    scale_channels, scale_channels_grad,
)  # fmt: skip
