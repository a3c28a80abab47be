"""Homework 1, sums.py: the holes, filled in another way."""

from __future__ import annotations

from typing import Any

from minicnn.ops.axes import count, kept


def _total(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """Bring the axes to the front, make one of them, and multiply by a row of ones."""
    xp = ctx.backend.xp
    rows = xp.moveaxis(x, axes, range(len(axes))).reshape(count(x.shape, axes), -1)
    shape = tuple(1 if axis in axes else length for axis, length in enumerate(x.shape) if keepdim or axis not in axes)
    return (xp.ones(len(rows), x.dtype) @ rows).reshape(shape)


def _repeated(ctx: Any, dy: Any) -> Any:
    """``dy`` copied along each axis that was summed over."""
    dy = kept(dy, ctx.shape, ctx.axes)
    for axis in ctx.axes:
        dy = dy.repeat(ctx.shape[axis], axis=axis)
    return dy


class Sum:
    def forward(ctx, x, axes, keepdim):
        ctx.shape, ctx.axes = x.shape, axes
        return _total(ctx, x, axes, keepdim)

    def backward(ctx, dy):
        return _repeated(ctx, dy), None, None


class Mean:
    def forward(ctx, x, axes, keepdim):
        ctx.shape, ctx.axes = x.shape, axes
        return _total(ctx, x * (1 / count(x.shape, axes)), axes, keepdim)

    def backward(ctx, dy):
        return _repeated(ctx, dy * (1 / count(ctx.shape, ctx.axes))), None, None
