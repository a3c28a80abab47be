"""Pooling on the GPU: forward each window collects from its pixels, backward each pixel from its windows."""

from __future__ import annotations

from math import prod
from typing import Any

from ..base import Pair, Window
from .compiler import real
from .conv import geometry
from .planes import lanes_for

LARGE_CELL = 64  # pixels that are worth a block of threads


def max_pool2d(cuda: Any, x: Any, window: Window, out_size: Pair) -> tuple[Any, Any]:
    """See ``reference.pooling.max_pool2d``."""
    x = cuda.xp.ascontiguousarray(x)
    y = cuda.xp.empty((*x.shape[:2], *out_size), x.dtype)
    indices = cuda.xp.empty(y.shape, "int64")
    _launch(cuda, "max_pool2d", y, (x, y, indices), (*x.shape[2:], *out_size), window)
    return y, indices


def max_pool2d_grad(cuda: Any, dy: Any, indices: Any, x_shape: tuple[int, ...], window: Window) -> Any:
    """See ``reference.pooling.max_pool2d_grad``."""
    dy, indices = cuda.xp.ascontiguousarray(dy), cuda.xp.ascontiguousarray(indices)
    dx = cuda.xp.empty(x_shape, dy.dtype)
    _launch(cuda, "max_pool2d_grad", dx, (dy, indices, dx), (*x_shape[2:], *dy.shape[2:]), window)
    return dx


def avg_pool2d(cuda: Any, x: Any, window: Window, divisor: Any) -> Any:
    """See ``reference.pooling.avg_pool2d``."""
    x, divisor = cuda.xp.ascontiguousarray(x), _ready(cuda, divisor, x)
    y = cuda.xp.empty((*x.shape[:2], *divisor.shape), x.dtype)
    _launch(cuda, "avg_pool2d", y, (x, divisor, y), (*x.shape[2:], *divisor.shape), window)
    return y


def avg_pool2d_grad(cuda: Any, dy: Any, x_shape: tuple[int, ...], window: Window, divisor: Any) -> Any:
    """See ``reference.pooling.avg_pool2d_grad``."""
    dy, divisor = cuda.xp.ascontiguousarray(dy), _ready(cuda, divisor, dy)
    dx = cuda.xp.empty(x_shape, dy.dtype)
    _launch(cuda, "avg_pool2d_grad", dx, (dy, divisor, dx), (*x_shape[2:], *divisor.shape), window)
    return dx


def adaptive_avg_pool2d(cuda: Any, x: Any, out_size: Pair) -> Any:
    """See ``reference.pooling.adaptive_avg_pool2d``."""
    x = cuda.xp.ascontiguousarray(x)
    y = cuda.xp.empty((*x.shape[:2], *out_size), x.dtype)
    large = prod(x.shape[2:]) >= LARGE_CELL * prod(out_size)
    name = "adaptive_avg_pool2d_large" if large else "adaptive_avg_pool2d"
    cuda.launch("pooling", name, x.dtype, y.size, x, y, *x.shape[2:], *out_size, block_each=large)
    return y


def adaptive_avg_pool2d_grad(cuda: Any, dy: Any, x_shape: tuple[int, ...]) -> Any:
    """See ``reference.pooling.adaptive_avg_pool2d_grad``."""
    dy = cuda.xp.ascontiguousarray(dy)
    dx = cuda.xp.empty(x_shape, dy.dtype)
    _launch(cuda, "adaptive_avg_pool2d_grad", dx, (dy, dx), (*x_shape[2:], *dy.shape[2:]))
    return dx


def _launch(
    cuda: Any, name: str, written: Any, arrays: tuple[Any, ...], sizes: tuple[int, ...], window: Window | None = None
) -> None:
    """Launch a kernel whose jobs are the planes, (n, c), of the images that it writes."""
    lanes, planes = lanes_for(written.shape[2:]), written.shape[0] * written.shape[1]
    further = () if window is None else geometry(window)
    cuda.launch("pooling", name, written.dtype, planes, *arrays, *sizes, lanes, *further, lanes=lanes)


def _ready(cuda: Any, divisor: Any, like: Any) -> Any:
    """``divisor`` in the dtype in which kernels compute with numbers ``like`` these."""
    return cuda.xp.ascontiguousarray(divisor, real(like.dtype))
