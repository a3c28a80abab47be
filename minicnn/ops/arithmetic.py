"""``+ - * / ** %`` and comparisons, with broadcasting; forward and chain rule side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..tensors import Tensor
from .broadcast import operands, result_type, unbroadcast
from .integers import check_bits


class Add(Function):
    """c = a + b: the cotangent goes to both, unchanged."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.shapes = np.shape(a), np.shape(b)
        return a + b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        return tuple(
            unbroadcast(dc, shape) if wanted else None
            for shape, wanted in zip(ctx.shapes, ctx.needs_input_grad, strict=True)
        )


class Sub(Function):
    """c = a - b: the cotangent goes to a, its negative to b."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.shapes = np.shape(a), np.shape(b)
        return a - b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        return unbroadcast(dc, a_shape) if wants_a else None, -unbroadcast(dc, b_shape) if wants_b else None


class Neg(Function):
    """c = -a."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return -a

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        return -dc


class Mul(Function):
    """c = a * b, elementwise.

    ``a`` and ``b`` are arrays whose shapes broadcast, or one of them is a Python number, which leaves the dtype of the
    other as it is. ``dc`` has the shape of ``c``; backward returns a tuple of gradients in the shapes of ``a`` and
    ``b``. Where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        wants_a, wants_b = ctx.needs_input_grad
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a if wants_b else None, b if wants_a else None)
        return a * b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        # each factor's gradient is the cotangent times the other factor
        return unbroadcast(dc * b, a_shape) if wants_a else None, unbroadcast(dc * a, b_shape) if wants_b else None


class Div(Function):
    """c = a / b, elementwise; arguments and gradients as those of ``Mul``. Dividing by 0 gives infinity or NaN."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a if ctx.needs_input_grad[1] else None, b)
        return a / b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        da = dc / b  # and dc * -a / b^2 to b
        return (
            unbroadcast(da, a_shape) if wants_a else None,
            unbroadcast(-da * (a / b), b_shape) if wants_b else None,
        )


class Pow(Function):
    """c = a^b: b a^(b-1) to the base, a^b log a to the exponent; both 0 where b = 0 or a = 0 would give 0 * inf."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        c = a**b
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b, c if ctx.needs_input_grad[1] else None)
        return c

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        xp = ctx.backend.xp
        a, b, c = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        da = db = None
        if wants_a:
            if isinstance(b, (int, float)):
                slope = b * a ** (b - 1) if b != 0 else xp.zeros_like(a)
            else:
                slope = xp.where(b == 0, xp.zeros_like(b), b * a ** (b - 1))
            da = unbroadcast(dc * slope, a_shape)
        if wants_b:
            slope = xp.where((a == 0) & (b >= 0), xp.zeros_like(c), c * xp.log(xp.asarray(a, dtype=c.dtype)))
            db = unbroadcast(dc * slope, b_shape)
        return da, db


class Remainder(Function):
    """c = a - b floor(a / b), with the sign of b: 1 to a, -floor(a / b) to b."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return a % b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        return unbroadcast(dc, a_shape) if wants_a else None, unbroadcast(-dc * (a // b), b_shape) if wants_b else None


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``; integers take a whole ``alpha`` only."""
    return Add.apply(*operands("add", input, other if alpha == 1 else _scaled("add", input, other, alpha)))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``; bools cannot be subtracted, and integers take a whole ``alpha`` only."""
    return Sub.apply(*operands("sub", input, other if alpha == 1 else _scaled("sub", input, other, alpha)))


def _scaled(name: str, input: Any, other: Any, alpha: float) -> Any:
    if isinstance(alpha, float) and result_type(input, other).kind != "f":
        raise TypeError(f"{name}: expected a whole number as alpha for integers, got {alpha}")
    return mul(other, alpha)


def neg(input: Tensor) -> Tensor:
    """``-input``."""
    return Neg.apply(input)


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``."""
    return Mul.apply(*operands("mul", input, other))


def div(input: Any, other: Any) -> Tensor:
    """``input / other``; integers are divided as floats."""
    return Div.apply(*operands("div", input, other, floating=True))


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``."""
    return Pow.apply(*operands("pow", input, exponent))


def remainder(input: Any, other: Any) -> Tensor:
    """``input % other``, with the sign of ``other``."""
    return Remainder.apply(*operands("remainder", input, other))


def compare(name: str) -> Any:
    """The elementwise function called ``name`` in NumPy (``"less"``, ``"bitwise_and"`` ...), which has no gradient."""

    def comparison(input: Any, other: Any) -> Tensor:
        check_bits(name, input, other)
        a, b = operands(name, input, other)
        a, b = (x.detach() if isinstance(x, Tensor) else x for x in (a, b))
        return Compare.apply(a, b, name=name)

    comparison.__name__ = name
    comparison.__doc__ = f"Elementwise ``{name}``, without gradient."
    return comparison


class Compare(Function):
    """One of the elementwise functions without gradient."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, name: str) -> Any:
        return getattr(ctx.backend.xp, name)(a, b)


floor_divide = compare("floor_divide")
bitwise_and, bitwise_or, bitwise_xor = compare("bitwise_and"), compare("bitwise_or"), compare("bitwise_xor")
bitwise_left_shift, bitwise_right_shift = compare("left_shift"), compare("right_shift")
lt, le, gt, ge = compare("less"), compare("less_equal"), compare("greater"), compare("greater_equal")
eq, ne = compare("equal"), compare("not_equal")
logical_and, logical_or = compare("logical_and"), compare("logical_or")


def logical_not(input: Tensor) -> Tensor:
    """Elementwise ``not``."""
    return eq(input, False)


def bitwise_not(input: Tensor) -> Tensor:
    """``~input``: every bit of an integer turned over; of a bool, ``not``."""
    return bitwise_xor(input, True if input.dtype.kind == "b" else -1)
