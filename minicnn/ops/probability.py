"""Softmax and its logarithm: scores become probabilities."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..tensors import Tensor
from .axes import normal_dim
from .elementwise import as_float


class Softmax(Function):
    """y = exp x / sum exp x along an axis; dx = y (dy - sum dy y)."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        xp = ctx.backend.xp
        y = xp.exp(x - x.max(axis=axis, keepdims=True))
        y /= y.sum(axis=axis, keepdims=True)
        ctx.axis = axis
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return y * (dy - (dy * y).sum(axis=ctx.axis, keepdims=True)), None


class LogSoftmax(Function):
    """y = x - log sum exp x along an axis; dx = dy - softmax(x) sum dy."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        xp = ctx.backend.xp
        shifted = x - x.max(axis=axis, keepdims=True)
        y = shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))
        ctx.axis = axis
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return dy - ctx.backend.xp.exp(y) * dy.sum(axis=ctx.axis, keepdims=True), None


def softmax(input: Tensor, dim: int) -> Tensor:
    """Exponentials along ``dim`` scaled to sum to one; safe for inputs of any size."""
    return _along(Softmax, input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of ``softmax``, without taking the logarithm of something small."""
    return _along(LogSoftmax, input, dim)


def _along(function: type[Function], input: Tensor, dim: int) -> Tensor:
    axis, input = normal_dim(input, dim), as_float(input)
    if input.ndim == 0:  # which CuPy cannot reduce along an axis
        return function.apply(input.reshape(1), axis).reshape(())
    return function.apply(input, axis) if input.numel() else input.clone()
