"""Pooling on the GPU: one thread per output, and in backward one per input."""

from __future__ import annotations

from typing import Any

from ..base import Pair, Window
from .conv import geometry


def max_pool2d(cuda: Any, x: Any, window: Window, out_size: Pair) -> tuple[Any, Any]:
    """See ``reference.pooling.max_pool2d``."""
    x = cuda.xp.ascontiguousarray(x)
    y = cuda.xp.empty((*x.shape[:2], *out_size), x.dtype)
    indices = cuda.xp.empty(y.shape, "int64")
    cuda.launch("pooling", "max_pool2d", x.dtype, y.size, x, y, indices, *x.shape[2:], *out_size, *geometry(window))
    return y, indices


def max_pool2d_grad(cuda: Any, dy: Any, indices: Any, x_shape: tuple[int, ...]) -> Any:
    """See ``reference.pooling.max_pool2d_grad``; the order in which a pixel's cotangents add up is not fixed."""
    dy, indices = cuda.xp.ascontiguousarray(dy), cuda.xp.ascontiguousarray(indices)
    dx = cuda.xp.zeros(x_shape, dy.dtype)
    pixels, windows = x_shape[2] * x_shape[3], dy.shape[2] * dy.shape[3]
    cuda.launch("pooling", "max_pool2d_grad", dy.dtype, dy.size, dy, indices, dx, pixels, windows)
    return dx


def avg_pool2d(cuda: Any, x: Any, window: Window, divisor: Any) -> Any:
    """See ``reference.pooling.avg_pool2d``."""
    x, divisor = cuda.xp.ascontiguousarray(x), cuda.xp.ascontiguousarray(divisor.astype(x.dtype))
    y = cuda.xp.empty((*x.shape[:2], *divisor.shape), x.dtype)
    sizes = (*x.shape[2:], *divisor.shape)
    cuda.launch("pooling", "avg_pool2d", x.dtype, y.size, x, divisor, y, *sizes, *geometry(window))
    return y


def avg_pool2d_grad(cuda: Any, dy: Any, x_shape: tuple[int, ...], window: Window, divisor: Any) -> Any:
    """See ``reference.pooling.avg_pool2d_grad``."""
    dy, divisor = cuda.xp.ascontiguousarray(dy), cuda.xp.ascontiguousarray(divisor.astype(dy.dtype))
    dx = cuda.xp.empty(x_shape, dy.dtype)
    sizes = (*x_shape[2:], *divisor.shape)
    cuda.launch("pooling", "avg_pool2d_grad", dy.dtype, dx.size, dy, divisor, dx, *sizes, *geometry(window))
    return dx


def adaptive_avg_pool2d(cuda: Any, x: Any, out_size: Pair) -> Any:
    """See ``reference.pooling.adaptive_avg_pool2d``."""
    x = cuda.xp.ascontiguousarray(x)
    y = cuda.xp.empty((*x.shape[:2], *out_size), x.dtype)
    cuda.launch("pooling", "adaptive_avg_pool2d", x.dtype, y.size, x, y, *x.shape[2:], *out_size)
    return y


def adaptive_avg_pool2d_grad(cuda: Any, dy: Any, x_shape: tuple[int, ...]) -> Any:
    """See ``reference.pooling.adaptive_avg_pool2d_grad``."""
    dy = cuda.xp.ascontiguousarray(dy)
    dx = cuda.xp.empty(x_shape, dy.dtype)
    cuda.launch("pooling", "adaptive_avg_pool2d_grad", dy.dtype, dx.size, dy, dx, *x_shape[2:], *dy.shape[2:])
    return dx
