"""Whole operations in compiled form, by the names of their classes in ``minicnn.ops``.

Most operations are a line of NumPy, and that line is what ``minicnn.ops`` shows. Here the same forward and backward go
through memory once and on all threads. Each may answer ``NotImplemented``: then the operation computes for itself.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ...deferral import Pending
from .. import cpu


class _Modules:
    """The modules beside this one, each imported at its first use: Numba with the first."""

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(f".{name}", __package__)
        setattr(self, name, module)
        return module


compiled = _Modules()


def _worth_it(work: int, *arrays: Any) -> bool:
    """Whether compiled code is to compute on these arrays (``None`` aside)."""
    there = tuple(array for array in arrays if array is not None)
    return cpu.worth_it(work, there) and all(array.size for array in there)


class ReLU:
    """y = max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        if not _worth_it(x.size, x):
            return NotImplemented
        y = compiled.pointwise.relu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return compiled.pointwise.relu_grad(dy, *ctx.saved_tensors)


class SiLU:
    """y = x * sigmoid(x)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        if not _worth_it(x.size, x):
            return NotImplemented
        ctx.save_for_backward(x)
        return compiled.pointwise.silu(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return compiled.pointwise.silu_grad(dy, *ctx.saved_tensors)


class Add:
    """c = a + b of one shape."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        if not _alike(a, b) or not _worth_it(a.size, a, b):
            return NotImplemented
        return compiled.pointwise.add(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        wants_a, wants_b = ctx.needs_input_grad
        return dc if wants_a else None, dc if wants_b else None


class Mul:
    """c = x * gate, images (N, C, H, W) and a number for each of their channels (N, C, 1, 1)."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        if not all(isinstance(factor, np.ndarray) and factor.ndim == 4 for factor in (a, b)):
            return NotImplemented
        x, gate = (a, b) if a.size >= b.size else (b, a)
        if gate.shape != (*x.shape[:2], 1, 1) or x.shape == gate.shape or not _worth_it(x.size, x, gate):
            return NotImplemented
        ctx.gate_first = gate is a
        ctx.save_for_backward(x, gate)
        return compiled.pointwise.scale_channels(x, gate)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        dx, dgate = compiled.pointwise.scale_channels_grad(dc, *ctx.saved_tensors)
        return (dgate, dx) if ctx.gate_first else (dx, dgate)


class Cat:
    """Images end to end along the channels."""

    @staticmethod
    def forward(ctx: Any, *xs: Any, axis: int) -> Any:
        if axis != 1 or any(x.ndim != 4 for x in xs) or not _worth_it(sum(x.size for x in xs), *xs):
            return NotImplemented
        ctx.lengths = [x.shape[1] for x in xs]
        return compiled.joining.cat_channels(xs)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return tuple(compiled.joining.split_channels(dy, ctx.lengths))


class MaxPool2d:
    """The largest pixel of each window; which one it was is kept in a byte."""

    @staticmethod
    def forward(ctx: Any, x: Any, window: Any, out_size: Any) -> Any:
        if not _worth_it(x.size, x) or not compiled.pooling.all_see_pixels(x.shape, window, out_size):
            return NotImplemented
        y, taps = compiled.pooling.max_pool_taps(x, window, out_size)
        indices = _Indices(taps, x.shape, window)
        ctx.x_shape, ctx.window = x.shape, window
        ctx.save_for_backward(taps)
        ctx.mark_non_differentiable(indices)
        return y, indices

    @staticmethod
    def backward(ctx: Any, dy: Any, _: Any) -> Any:
        (taps,) = ctx.saved_tensors
        return compiled.pooling.max_pool_taps_grad(dy, taps, ctx.x_shape, ctx.window), None, None


class _Indices(Pending):
    """The winners' positions, for the few who ask."""

    def __init__(self, taps: np.ndarray, x_shape: tuple[int, ...], window: Any) -> None:
        super().__init__(np.broadcast_to(np.int64(0), taps.shape), ())
        self.parts = taps, x_shape, window

    def compute(self) -> Any:
        return compiled.pooling.taps_to_indices(*self.parts)

    def plus(self, other: Any) -> Any:
        return self.values() + other

    def relu(self, ctx: Any) -> Any:
        return np.maximum(self.values(), 0)


class Conv2d:
    """y = x * w + b, the bias where the sums begin."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, window: Any, groups: int) -> Any:
        out_h, out_w = window.output_size(x.shape[2:])
        if not _worth_it(x.shape[0] * weight.size * out_h * out_w >> 3, x, weight, bias):
            return NotImplemented
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.x_shape, ctx.weight_shape, ctx.window, ctx.groups = x.shape, weight.shape, window, groups
        return compiled.conv.conv2d(x, weight, window, groups, bias)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight = ctx.saved_tensors
        geometry = ctx.window, ctx.groups
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        return (
            compiled.conv.conv2d_input_grad(dy, weight, ctx.x_shape, *geometry) if wants_x else None,
            compiled.weight_grad.conv2d_weight_grad(dy, x, ctx.weight_shape, *geometry) if wants_weight else None,
            compiled.pointwise.channel_sums(dy) if wants_bias else None,
            None,
            None,
        )


class Linear:
    """Y = X @ W^T + b."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any) -> Any:
        if x.ndim != 2 or not _worth_it(x.shape[0] * weight.size >> 3, x, weight, bias):
            return NotImplemented
        ctx.save_for_backward(x, weight)
        return compiled.matmul.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            compiled.matmul.product(dy, weight) if wants_x else None,
            compiled.matmul.product(dy.T, x) if wants_weight else None,
            dy.sum(axis=0) if wants_bias else None,
        )


def total(so_far: Any, gradient: Any, in_place: bool) -> Any:
    """The sum of two gradients that arrive at one place, in the memory of the first if that is ``in_place``."""
    if not _alike(so_far, gradient) or not _worth_it(so_far.size, so_far, gradient):
        return NotImplemented
    if not in_place:
        return compiled.pointwise.add(so_far, gradient)
    compiled.pointwise.add_into(so_far, gradient)
    return so_far


def _alike(a: Any, b: Any) -> bool:
    """Whether both are arrays of one shape and dtype."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype


OPERATIONS: dict[str, Any] = {
    operation.__name__: operation for operation in (ReLU, SiLU, Add, Mul, Cat, MaxPool2d, Conv2d, Linear)
}
OPERATIONS["total"] = total
