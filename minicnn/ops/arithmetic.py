"""``+ - * / **``, with broadcasting; forward and chain rule side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..deferral import Pending
from ..errors import ShapeError
from ..tensor import Tensor
from .broadcast import operands, unbroadcast


class Add(Function):
    """c = a + b: the cotangent goes to both, unchanged."""

    takes_pending = True
    extended = 0  # the operand that the sum takes over, if it is a pending

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.shapes = np.shape(a), np.shape(b)
        if isinstance(a, Pending):
            return a.plus(b)
        if isinstance(b, Pending):
            ctx.extended = 1
            return b.plus(a)
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


class Mul(Function):
    """c = a * b: each factor's gradient is the cotangent times the other factor."""

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
        return unbroadcast(dc * b, a_shape) if wants_a else None, unbroadcast(dc * a, b_shape) if wants_b else None


class Div(Function):
    """c = a / b: dc / b to a, and -dc * a / b^2 to b."""

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
        da = dc / b
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


class Neg(Function):
    """c = -a."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return -a

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        return -dc


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``."""
    return Add.apply(*operands("add", input, other if alpha == 1 else mul(other, alpha)))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``."""
    return Sub.apply(*operands("sub", input, other if alpha == 1 else mul(other, alpha)))


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


def neg(input: Tensor) -> Tensor:
    """``-input``."""
    return Neg.apply(input)


def residual_add(branch: Tensor, shortcut: Tensor) -> Tensor:
    """``F(x) + x``, the sum that makes a residual block (lecture line L2.2.3; He et al. 2015, equation 1).

    Unlike ``+`` it refuses to broadcast: a branch and a shortcut of different shapes are a mistake in the block.

    Raises:
        ShapeError: if the shapes differ.
    """
    if branch.shape != shortcut.shape:
        raise ShapeError(f"residual_add: the branch has shape {branch.shape}, the shortcut {shortcut.shape}")
    return add(branch, shortcut)


def compare(name: str) -> Any:
    """The elementwise function called ``name`` in NumPy (``"less"``, ``"bitwise_and"`` ...), which has no gradient."""

    def comparison(input: Any, other: Any) -> Tensor:
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
lt, le, gt, ge = compare("less"), compare("less_equal"), compare("greater"), compare("greater_equal")
eq, ne = compare("equal"), compare("not_equal")
logical_and, logical_or = compare("logical_and"), compare("logical_or")


def logical_not(input: Tensor) -> Tensor:
    """Elementwise ``not``."""
    return eq(input, False)
