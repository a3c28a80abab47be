"""Homework 1, products.py: the holes, filled in another way."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.ops.broadcast import unbroadcast


def _to_operands(ctx: Any, dc: Any, slopes: Any) -> tuple[Any, ...]:
    """The gradient of each operand that wants one: ``dc`` times its slope, added up over its uses."""
    operands = ctx.saved_tensors
    wanted = zip(operands, slopes(*operands), ctx.needs_input_grad, strict=True)
    return tuple(unbroadcast(dc * slope, x.shape) if wants else None for x, slope, wants in wanted)


class Mul:
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return np.multiply(a, b)

    def backward(ctx, dc):
        return _to_operands(ctx, dc, slopes=lambda a, b: (b, a))


class Div:
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return np.divide(a, b)

    def backward(ctx, dc):
        return _to_operands(ctx, dc, slopes=lambda a, b: (b**-1.0, -a * b**-2.0))
