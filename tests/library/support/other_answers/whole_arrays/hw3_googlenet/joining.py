"""Homework 3, joining.py: the holes, filled in another way."""

import numpy as np


class Cat:
    def forward(ctx, *xs, axis):
        # Joined along the first axis, then turned back.
        ctx.axis, ctx.borders = axis, []
        turned = [np.moveaxis(x, axis, 0) for x in xs]
        slices = [piece for x in turned for piece in x]
        for x in turned:
            ctx.borders.append(len(x) + (ctx.borders[-1] if ctx.borders else 0))
        return np.ascontiguousarray(np.moveaxis(np.stack(slices), 0, axis))

    def backward(ctx, dy):
        return tuple(np.split(dy, ctx.borders[:-1], axis=ctx.axis))
