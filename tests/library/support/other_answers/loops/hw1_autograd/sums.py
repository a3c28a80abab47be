"""Homework 1, sums.py: the holes, filled in another way."""

from __future__ import annotations

from typing import Any

from minicnn.ops.axes import count


def spread(ctx: Any, dy: Any) -> Any:
    """``dy`` at every place of x that went into it."""
    xp = ctx.backend.xp
    if not ctx.keepdim:
        for axis in ctx.axes:
            dy = xp.expand_dims(dy, axis)
    return dy * xp.ones(ctx.shape, dy.dtype)


class Sum:
    def forward(ctx, x, axes, keepdim):
        ctx.shape, ctx.axes, ctx.keepdim = x.shape, axes, keepdim
        for axis in reversed(axes):  # from the last, so that the numbers of the others stay right
            x = x.sum(axis=axis, keepdims=keepdim)
        return x

    def backward(ctx, dy):
        return spread(ctx, dy), None, None


class Mean:
    def forward(ctx, x, axes, keepdim):
        return Sum.forward(ctx, x, axes, keepdim) / count(x.shape, axes)

    def backward(ctx, dy):
        return spread(ctx, dy) / count(ctx.shape, ctx.axes), None, None
