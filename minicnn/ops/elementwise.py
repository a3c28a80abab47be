"""Functions of one number applied to every element, and choices between two."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..dtypes import get_default_dtype
from ..tensors import Tensor
from .broadcast import Operand, operands, unbroadcast


class Exp(Function):
    """y = exp x, and dy/dx = y."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return dy * y


class Log(Function):
    """y = log x, and dy/dx = 1 / x."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return ctx.backend.xp.log(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return dy / x


class Sqrt(Function):
    """y = sqrt x, and dy/dx = 1 / (2 y)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.sqrt(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return dy / (2 * y)


class Abs(Function):
    """y = |x|, and dy/dx = sign x (0 at 0)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return abs(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        xp = ctx.backend.xp
        return xp.where(x > 0, dy, xp.where(x < 0, -dy, 0))


class Sin(Function):
    """y = sin x, and dy/dx = cos x."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return ctx.backend.xp.sin(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return dy * ctx.backend.xp.cos(x)


class Cos(Function):
    """y = cos x, and dy/dx = -sin x."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return ctx.backend.xp.cos(x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return -dy * ctx.backend.xp.sin(x)


class Step(Function):
    """A function that is constant between its jumps, so that no cotangent gets through."""

    @staticmethod
    def forward(ctx: Any, x: Any, function: Any) -> Any:
        return function(ctx.backend.xp, x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return ctx.backend.xp.zeros_like(dy), None


class Clamp(Function):
    """y = x held between two bounds; the cotangent passes where x is within them, the bounds included."""

    @staticmethod
    def forward(ctx: Any, x: Any, low: float | None, high: float | None) -> Any:
        xp = ctx.backend.xp
        ctx.bounds = low, high
        ctx.save_for_backward(x)
        y = x if low is None else xp.maximum(x, low)
        return y if high is None else xp.minimum(y, high)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        within = x == x  # not NaN
        if low is not None:
            within &= x >= low
        if high is not None:
            within &= x <= high
        return ctx.backend.xp.where(within, dy, 0), None, None


class Maximum(Function):
    """c = max(a, b); where they tie, each gets half of the cotangent."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return ctx.backend.xp.maximum(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        return _to_winners(ctx, dc, a, b, a < b, a > b)


class Minimum(Function):
    """c = min(a, b); where they tie, each gets half of the cotangent."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return ctx.backend.xp.minimum(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        return _to_winners(ctx, dc, a, b, a > b, a < b)


def _to_winners(ctx: Any, dc: Any, a: Any, b: Any, a_loses: Any, b_loses: Any) -> tuple[Any, Any]:
    """A tie is shared; if one is NaN, both get the whole cotangent, as in PyTorch."""
    xp = ctx.backend.xp
    share = xp.where(a == b, dc / 2, dc)
    shapes = getattr(a, "shape", ()), getattr(b, "shape", ())
    wants_a, wants_b = ctx.needs_input_grad
    return (
        unbroadcast(xp.where(a_loses, 0, share), shapes[0]) if wants_a else None,
        unbroadcast(xp.where(b_loses, 0, share), shapes[1]) if wants_b else None,
    )


class Where(Function):
    """c = a where the condition holds, b elsewhere; the cotangent goes where the value came from."""

    @staticmethod
    def forward(ctx: Any, condition: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(condition)
        ctx.shapes = getattr(a, "shape", ()), getattr(b, "shape", ())
        return ctx.backend.xp.where(condition, a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        xp = ctx.backend.xp
        (condition,) = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        _, wants_a, wants_b = ctx.needs_input_grad
        return (
            None,
            unbroadcast(xp.where(condition, dc, 0), a_shape) if wants_a else None,
            unbroadcast(xp.where(condition, 0, dc), b_shape) if wants_b else None,
        )


def as_float(input: Tensor) -> Tensor:
    """``input``, with integers and bools turned into the default float dtype."""
    return input if input.is_floating_point() else input.to(get_default_dtype())


def exp(input: Tensor) -> Tensor:
    """``e ** input``, elementwise."""
    return Exp.apply(as_float(input))


def log(input: Tensor) -> Tensor:
    """Natural logarithm, elementwise; -inf at 0, NaN below."""
    return Log.apply(as_float(input))


def sqrt(input: Tensor) -> Tensor:
    """Square root, elementwise; NaN below 0."""
    return Sqrt.apply(as_float(input))


def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``, elementwise."""
    return 1 / sqrt(input)


def square(input: Tensor) -> Tensor:
    """``input * input``."""
    return input * input


def abs_(input: Tensor) -> Tensor:
    """``|input|``, elementwise; its gradient at 0 is 0."""
    return Abs.apply(input)


def sin(input: Tensor) -> Tensor:
    """Sine, elementwise, of radians."""
    return Sin.apply(as_float(input))


def cos(input: Tensor) -> Tensor:
    """Cosine, elementwise, of radians."""
    return Cos.apply(as_float(input))


def clamp(input: Tensor, min: float | Tensor | None = None, max: float | Tensor | None = None) -> Tensor:
    """``input`` held within ``[min, max]``; the gradient passes on the bounds and between them.

    Raises:
        ValueError: if neither bound is given.
    """
    if min is None and max is None:
        raise ValueError("clamp: expected at least one of min and max")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        held = input if min is None else maximum(input, min)
        return held if max is None else minimum(held, max)
    for bound in (min, max):
        if bound is not None:
            input, _ = operands("clamp", input, bound)
    return Clamp.apply(input, min, max)


def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of two elements; NaN where either is NaN."""
    return Maximum.apply(*operands("maximum", input, other))


def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of two elements; NaN where either is NaN."""
    return Minimum.apply(*operands("minimum", input, other))


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """``input`` where ``condition`` (bool) holds, ``other`` elsewhere; all three broadcast."""
    condition = condition if isinstance(condition, Tensor) else Tensor(condition)
    if condition.dtype.kind != "b":
        raise TypeError(f"where: expected a bool condition, got {condition.dtype}")
    return Where.apply(condition, *operands("where", input, other))


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; NaN counts as 0. The gradient is 0."""
    return Step.apply(input, lambda xp, x: xp.nan_to_num(xp.sign(x)))


def round_(input: Tensor) -> Tensor:
    """To the nearest integer, halves to even; the gradient is 0."""
    return Step.apply(input, lambda xp, x: xp.round(x))


def floor(input: Tensor) -> Tensor:
    """Down to an integer; the gradient is 0."""
    return Step.apply(input, lambda xp, x: xp.floor(x))


def ceil(input: Tensor) -> Tensor:
    """Up to an integer; the gradient is 0."""
    return Step.apply(input, lambda xp, x: xp.ceil(x))


class Predicate(Function):
    """A question to every element, by the name of NumPy's function: a bool each, without gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any, name: str) -> Any:
        return getattr(ctx.backend.xp, name)(x)


def isnan(input: Tensor) -> Tensor:
    """Where the elements are NaN."""
    return Predicate.apply(input, "isnan")


def isinf(input: Tensor) -> Tensor:
    """Where the elements are infinite."""
    return Predicate.apply(input, "isinf")


def isfinite(input: Tensor) -> Tensor:
    """Where the elements are neither NaN nor infinite."""
    return Predicate.apply(input, "isfinite")
