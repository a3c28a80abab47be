"""Sum, mean, variance: many numbers into fewer. The chain rule spreads the cotangent out again."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Function
from minicnn.dtypes import int64
from minicnn.ops.axes import Dims, axes_of, count, kept
from minicnn.tensor import Tensor


def spread(ctx: Any, dy: Any) -> Any:
    """``dy`` at every place of x that went into it."""
    xp = ctx.backend.xp
    if not ctx.keepdim:
        for axis in ctx.axes:
            dy = xp.expand_dims(dy, axis)
    return dy * xp.ones(ctx.shape, dy.dtype)


class Sum(Function):
    """y = the sum of x over ``axes``, in the dtype of x.

    ``axes`` is sorted, not negative, and empty only for a single number, of shape (). The axes are left out of y's
    shape, or with ``keepdim`` stay as axes of length 1. The gradient has the shape of x; ``axes`` and ``keepdim`` get
    none.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        ctx.shape, ctx.axes, ctx.keepdim = x.shape, axes, keepdim
        for axis in reversed(axes):  # from the last, so that the numbers of the others stay right
            x = x.sum(axis=axis, keepdims=keepdim)
        return x

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return spread(ctx, dy), None, None


class Mean(Function):
    """y = the mean of x over ``axes``; arguments and gradients as those of ``Sum``."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        return Sum.forward(ctx, x, axes, keepdim) / count(x.shape, axes)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return spread(ctx, dy) / count(ctx.shape, ctx.axes), None, None


class Var(Function):
    """y = sum (x - mean)^2 / (m - correction); dx = 2 (x - mean) dy / (m - correction)."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool, correction: float) -> Any:
        ctx.save_for_backward(x)
        ctx.axes = axes
        spare = count(x.shape, axes) - correction
        ctx.divisor = spare if spare > 0 else 0  # nothing to spare: NaN or infinity, as in PyTorch
        centred = x - x.mean(axis=axes, keepdims=True)
        return (centred * centred).sum(axis=axes, keepdims=keepdim) / ctx.backend.xp.asarray(ctx.divisor, x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        centred = x - x.mean(axis=ctx.axes, keepdims=True)
        scale = ctx.backend.xp.asarray(2.0, x.dtype) / ctx.backend.xp.asarray(ctx.divisor, x.dtype)
        return kept(dy, x.shape, ctx.axes) * (scale * centred), None, None, None


class RootOfSquares(Function):
    """y = sqrt x for a sum of squares x; at its minimum 0 the gradient is 0, not infinite."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.sqrt(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        xp = ctx.backend.xp
        return dy / (2 * xp.where(y == 0, xp.inf, y))


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over ``dim`` (an int, several, or all); bools and integers add up as int64."""
    if dtype is not None:
        input = input.to(dtype)
    elif not input.is_floating_point():
        input = input.to(int64)
    return Sum.apply(input, axes_of(input, dim), keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over ``dim``.

    Raises:
        TypeError: for integers and bools.
    """
    input = _floating("mean", input if dtype is None else input.to(dtype))
    return Mean.apply(input, axes_of(input, dim), keepdim)


def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over ``dim``, divided by m - 1 (``unbiased``), m, or m - ``correction``."""
    if isinstance(dim, bool):  # PyTorch's var(unbiased)
        return var(input, None, dim, keepdim, correction=correction)
    input = _floating("var", input)
    return Var.apply(input, axes_of(input, dim), keepdim, int(unbiased) if correction is None else correction)


def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The square root of ``var``."""
    return RootOfSquares.apply(var(input, dim, unbiased, keepdim, correction=correction))


def _floating(name: str, input: Tensor) -> Tensor:
    if not input.is_floating_point():
        raise TypeError(f"{name}: expected a floating point tensor, got {input.dtype}: convert with .float()")
    return input
