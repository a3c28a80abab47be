"""``+ - * / ** %`` and comparisons, with broadcasting; forward and chain rule side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..short_floats import FLOATS
from ..tensors import Tensor
from . import division
from .broadcast import Operand, operands, result_type, unbroadcast
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
        return division.remainder(ctx.backend, a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        wants_a, wants_b = ctx.needs_input_grad
        db = unbroadcast(-dc * division.floored_quotient(ctx.backend, a, b), b_shape) if wants_b else None
        return unbroadcast(dc, a_shape) if wants_a else None, db


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``; integers take a whole ``alpha`` only."""
    return Add.apply(*operands("add", input, other if alpha == 1 else _scaled("add", input, other, alpha)))


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``; bools cannot be subtracted, and integers take a whole ``alpha`` only."""
    return Sub.apply(*operands("sub", input, other if alpha == 1 else _scaled("sub", input, other, alpha)))


def _scaled(name: str, input: Any, other: Any, alpha: float) -> Any:
    if isinstance(alpha, float) and result_type(input, other).kind not in FLOATS:
        raise TypeError(f"{name}: expected a whole number as alpha for integers, got {alpha}")
    return mul(other, alpha)


def neg(input: Tensor) -> Tensor:
    """``-input``."""
    return Neg.apply(input)


def mul(input: Operand, other: Operand) -> Tensor:
    """``input * other``."""
    return Mul.apply(*operands("mul", input, other))


def div(input: Operand, other: Operand) -> Tensor:
    """``input / other``; integers are divided as floats."""
    return Div.apply(*operands("div", input, other, floating=True))


def pow(input: Operand, exponent: Operand) -> Tensor:
    """``input ** exponent``."""
    return Pow.apply(*operands("pow", input, exponent))


def remainder(input: Operand, other: Operand) -> Tensor:
    """``input % other``, with the sign of ``other``."""
    return Remainder.apply(*operands("remainder", input, other))


class Compare(Function):
    """One of the elementwise functions without gradient."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, name: str) -> Any:
        if name == "floor_divide":
            return division.floored_quotient(ctx.backend, a, b)
        return getattr(ctx.backend.xp, name)(a, b)


def _without_gradient(name: str, input: Operand, other: Operand) -> Tensor:
    """NumPy's function ``name`` of two operands, beside the tape."""
    check_bits(name, input, other)
    a, b = operands(name, input, other)
    a, b = (x.detach() if isinstance(x, Tensor) else x for x in (a, b))
    return Compare.apply(a, b, name=name)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """``input // other``, without gradient."""
    return _without_gradient("floor_divide", input, other)


def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """``input & other``, without gradient."""
    return _without_gradient("bitwise_and", input, other)


def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """``input | other``, without gradient."""
    return _without_gradient("bitwise_or", input, other)


def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """``input ^ other``, without gradient."""
    return _without_gradient("bitwise_xor", input, other)


def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """``input << other``, without gradient."""
    return _without_gradient("left_shift", input, other)


def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """``input >> other``, without gradient."""
    return _without_gradient("right_shift", input, other)


def lt(input: Operand, other: Operand) -> Tensor:
    """``input < other``, without gradient."""
    return _without_gradient("less", input, other)


def le(input: Operand, other: Operand) -> Tensor:
    """``input <= other``, without gradient."""
    return _without_gradient("less_equal", input, other)


def gt(input: Operand, other: Operand) -> Tensor:
    """``input > other``, without gradient."""
    return _without_gradient("greater", input, other)


def ge(input: Operand, other: Operand) -> Tensor:
    """``input >= other``, without gradient."""
    return _without_gradient("greater_equal", input, other)


def eq(input: Operand, other: Operand) -> Tensor:
    """``input == other``, without gradient."""
    return _without_gradient("equal", input, other)


def ne(input: Operand, other: Operand) -> Tensor:
    """``input != other``, without gradient."""
    return _without_gradient("not_equal", input, other)


def logical_and(input: Operand, other: Operand) -> Tensor:
    """Elementwise ``and``, without gradient."""
    return _without_gradient("logical_and", input, other)


def logical_or(input: Operand, other: Operand) -> Tensor:
    """Elementwise ``or``, without gradient."""
    return _without_gradient("logical_or", input, other)


def logical_not(input: Tensor) -> Tensor:
    """Elementwise ``not``."""
    return eq(input, False)


def bitwise_not(input: Tensor) -> Tensor:
    """``~input``: every bit of an integer turned over; of a bool, ``not``."""
    return bitwise_xor(input, True if input.dtype.kind == "b" else -1)
