"""Sum, mean, variance, extremes, products, norms: many numbers into fewer. Forward and chain rule side by side."""

from __future__ import annotations

from typing import Any, NamedTuple, overload

from .. import backend
from ..autograd import Function
from ..dtypes import DType, int64, uint8
from ..errors import ShapeError
from ..tensors import Tensor
from .arithmetic import ne
from .axes import Dims, axes_of, count, kept, normal_dim, reduced
from .elementwise import as_float


class Sum(Function):
    """y = the sum of x over ``axes``, in the dtype of x.

    ``axes`` is sorted, not negative, and empty only for a single number, of shape (). The axes are left out of y's
    shape, or with ``keepdim`` stay as axes of length 1. The gradient has the shape of x; ``axes`` and ``keepdim`` get
    none.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        ctx.shape, ctx.axes = x.shape, axes
        return x.sum(axis=axes, keepdims=keepdim)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        # every summand gets the cotangent of its sum
        return ctx.backend.xp.broadcast_to(kept(dy, ctx.shape, ctx.axes), ctx.shape), None, None


class Mean(Function):
    """y = the mean of x over ``axes``; arguments and gradients as those of ``Sum``."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        ctx.shape, ctx.axes = x.shape, axes
        return x.mean(axis=axes, keepdims=keepdim)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        share = kept(dy, ctx.shape, ctx.axes) / count(ctx.shape, ctx.axes)  # one of m numbers moves the mean by 1/m
        return ctx.backend.xp.broadcast_to(share, ctx.shape), None, None


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


class Extreme(Function):
    """y = the largest (or smallest) x; where several tie, they share the cotangent evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool, name: str) -> Any:
        y = getattr(x, name)(axis=axes, keepdims=True)
        ctx.axes = axes
        ctx.save_for_backward(x, y)
        return y if keepdim else y.reshape(reduced(x.shape, axes))

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, y = ctx.saved_tensors
        xp = ctx.backend.xp
        ties = (x == y) | (xp.isnan(x) & xp.isnan(y))
        return ties * (kept(dy, x.shape, ctx.axes) / ties.sum(axis=ctx.axes, keepdims=True)), None, None, None


class ExtremeAlong(Function):
    """y = the largest (or smallest) x along one axis, and where; the first of equals gets the whole cotangent."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, keepdim: bool, name: str) -> Any:
        xp = ctx.backend.xp
        indices = xp.expand_dims(getattr(x, f"arg{name}")(axis=axis), axis)
        ctx.shape, ctx.axis = x.shape, axis
        ctx.save_for_backward(indices)
        values = xp.take_along_axis(x, indices, axis)
        if not keepdim:
            values, indices = values.squeeze(axis), indices.squeeze(axis)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx: Any, dy: Any, _: Any) -> Any:
        (indices,) = ctx.saved_tensors
        xp = ctx.backend.xp
        positions = xp.arange(ctx.shape[ctx.axis]).reshape(-1, *[1] * (len(ctx.shape) - 1 - ctx.axis))
        return xp.where(positions == indices, kept(dy, ctx.shape, (ctx.axis,)), 0), None, None, None


class Prod(Function):
    """y = product of x; each factor gets the cotangent times the product of all the others, zeros included."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, keepdim: bool) -> Any:
        ctx.axis = axis
        ctx.save_for_backward(x)
        return x.prod(axis=axis, keepdims=keepdim)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        xp = ctx.backend.xp
        if x.size == 0:
            return xp.zeros_like(x), None, None
        along = xp.moveaxis(x, ctx.axis, -1)
        ones = xp.ones((*along.shape[:-1], 1), x.dtype)
        before = xp.concatenate([ones, xp.cumprod(along, axis=-1)[..., :-1]], axis=-1)
        after = xp.concatenate([ones, xp.cumprod(along[..., ::-1], axis=-1)[..., :-1]], axis=-1)[..., ::-1]
        return kept(dy, x.shape, (ctx.axis,)) * xp.moveaxis(before * after, -1, ctx.axis), None, None


class Cumsum(Function):
    """y_i = x_1 + ... + x_i along an axis: x_i gets the cotangents from i on."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        ctx.axis = axis
        return x.cumsum(axis=axis)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        xp = ctx.backend.xp
        return xp.flip(xp.flip(dy, ctx.axis).cumsum(axis=ctx.axis), ctx.axis), None


class ValuesIndices(NamedTuple):
    """What ``max`` and ``min`` along a dimension return."""

    values: Tensor
    indices: Tensor


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum over ``dim`` (an int, several, or all); bools and integers add up as int64."""
    if dtype is not None:
        input = input.to(dtype)
    elif not input.is_floating_point():
        input = input.to(int64)
    return Sum.apply(input, axes_of(input, dim), keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
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


def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element over ``dim``; ties share the gradient evenly."""
    return Extreme.apply(input, _searched("amax", input, dim), keepdim, "max")


def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element over ``dim``; ties share the gradient evenly."""
    return Extreme.apply(input, _searched("amin", input, dim), keepdim, "min")


def _searched(name: str, input: Tensor, dim: Dims) -> tuple[int, ...]:
    """The axes of ``dim``; a ShapeError where there is nothing along them, which has no largest element."""
    axes = axes_of(input, dim)
    if input.ndim and count(input.shape, axes) == 0:
        raise ShapeError(f"{name}: expected at least one element to choose from, got shape {input.shape}, dim={dim}")
    return axes


@overload
def max(input: Tensor) -> Tensor: ...
@overload
def max(input: Tensor, dim: int, keepdim: bool = False) -> ValuesIndices: ...
@overload
def max(input: Tensor, dim: Tensor) -> Tensor: ...
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along an int ``dim`` a pair ``(values, indices)``; with a tensor, ``maximum``.

    A NaN counts as the largest. Of several along a dimension the first is taken, on a GPU any of them.
    """
    return _extreme("max", input, dim, keepdim)


@overload
def min(input: Tensor) -> Tensor: ...
@overload
def min(input: Tensor, dim: int, keepdim: bool = False) -> ValuesIndices: ...
@overload
def min(input: Tensor, dim: Tensor) -> Tensor: ...
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; along an int ``dim`` a pair ``(values, indices)``; with a tensor, ``minimum``.

    A NaN counts as the smallest. Of several along a dimension the first is taken, on a GPU any of them.
    """
    return _extreme("min", input, dim, keepdim)


def _extreme(name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Tensor):
        return input.maximum(dim) if name == "max" else input.minimum(dim)
    axes = _searched(name, input, None if dim is None else normal_dim(input, dim))
    if dim is None:
        return Extreme.apply(input, axes, keepdim, name)
    if input.ndim == 0:
        return ValuesIndices(input.clone(), argmax(input))
    return ValuesIndices(*ExtremeAlong.apply(input, axes[0], keepdim, name))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element, along ``dim`` or in the flattened tensor; the first of equals.

    A NaN counts as the largest: of several the first, on a GPU any of them.
    """
    return _arg("argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element, along ``dim`` or in the flattened tensor; the first of equals.

    A NaN counts as the smallest: of several the first, on a GPU any of them.
    """
    return _arg("argmin", input, dim, keepdim)


def _arg(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    xp = backend.get(input.device).xp
    axes = _searched(name, input, None if dim is None else normal_dim(input, dim))
    axis = None if dim is None or input.ndim == 0 else axes[0]
    return Tensor.wrap(xp.asarray(getattr(xp, name)(input.array, axis=axis, keepdims=keepdim)), input.device)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product over ``dim``, or of all elements; right in value and gradient with zeros too."""
    if not input.is_floating_point():
        input = input.to(int64)
    axis = 0 if dim is None else normal_dim(input, dim)
    if dim is None or input.ndim == 0:
        return Prod.apply(input.reshape(-1), axis, keepdim and input.ndim > 0)
    return Prod.apply(input, axis, keepdim)


def cumsum(input: Tensor, dim: int) -> Tensor:
    """Running sums along ``dim``."""
    axis = normal_dim(input, dim)
    if input.ndim == 0:
        return cumsum(input.reshape(1), 0).reshape(())
    return Cumsum.apply(input if input.is_floating_point() else input.to(int64), axis)


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, without overflow."""
    input = as_float(input)
    if input.ndim and count(input.shape, axes_of(input, dim)) == 0:
        return sum(input, dim, keepdim) - float("inf")
    top = amax(input, dim, keepdim=True).detach()
    top = Tensor.wrap(_finite_or_zero(top), top.device)
    total = (input - top).exp().sum(dim, keepdim=True).log() + top
    return total if keepdim else total.reshape(reduced(input.shape, axes_of(input, dim)))


def _finite_or_zero(top: Tensor) -> Any:
    xp = backend.get(top.device).xp
    return xp.where(xp.isfinite(top.array), top.array, 0)


def norm(input: Tensor, p: float = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The p-norm ``(sum |x|^p)^(1/p)`` over ``dim``.

    ``inf`` gives the largest absolute value, ``-inf`` the smallest, and 0 counts the elements that are not 0.
    """
    if abs(p) == float("inf"):
        return (amax if p > 0 else amin)(input.abs(), dim, keepdim)
    if p == 0:
        return ne(input, 0).to(input.dtype).sum(dim, keepdim)
    if p == 2:
        return RootOfSquares.apply((input * input).sum(dim, keepdim))
    if p == 1:
        return input.abs().sum(dim, keepdim)
    return (input.abs() ** p).sum(dim, keepdim) ** (1 / p)


def all_(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element over ``dim`` is true (not zero)."""
    return _truth("all", input, dim, keepdim)


def any_(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element over ``dim`` is true (not zero)."""
    return _truth("any", input, dim, keepdim)


def _truth(name: str, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    xp = backend.get(input.device).xp
    answer = xp.asarray(getattr(xp, name)(input.array, axis=axes_of(input, dim), keepdims=keepdim))
    return Tensor.wrap(answer.astype(input.dtype) if input.dtype == uint8 else answer, input.device)  # as PyTorch
