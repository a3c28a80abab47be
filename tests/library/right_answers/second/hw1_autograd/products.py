"""``* / ** %``, with broadcasting; forward and chain rule side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function
from minicnn.ops.broadcast import operands, unbroadcast
from minicnn.tensor import Tensor


def _to_operands(ctx: Any, dc: Any, slopes: Any) -> tuple[Any, ...]:
    """The gradient of each operand that wants one: ``dc`` times its slope, added up over its uses."""
    operands = ctx.saved_tensors
    wanted = zip(operands, slopes(*operands), ctx.needs_input_grad, strict=True)
    return tuple(unbroadcast(dc * slope, x.shape) if wants else None for x, slope, wants in wanted)


class Mul(Function):
    """c = a * b, elementwise.

    ``a`` and ``b`` are arrays whose shapes broadcast, or one of them is a Python number, which leaves the dtype of the
    other as it is. ``dc`` has the shape of ``c``; backward returns a tuple of gradients in the shapes of ``a`` and
    ``b``. Where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return np.multiply(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        return _to_operands(ctx, dc, slopes=lambda a, b: (b, a))


class Div(Function):
    """c = a / b, elementwise; arguments and gradients as those of ``Mul``. Dividing by 0 gives infinity or NaN."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return np.divide(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        return _to_operands(ctx, dc, slopes=lambda a, b: (b**-1.0, -a * b**-2.0))


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
