"""Homework 3, joining.py: the holes, filled in another way."""

import numpy as np


class Cat:
    def forward(ctx, *xs, axis):
        # Make room for everything, then write each array into its place.
        shape = list(xs[0].shape)
        shape[axis] = sum(x.shape[axis] for x in xs)
        ctx.places = []
        out = np.empty(shape, dtype=xs[0].dtype)
        start = 0
        for x in xs:
            place = [slice(None)] * out.ndim
            place[axis] = slice(start, start + x.shape[axis])
            out[tuple(place)] = x
            ctx.places.append(tuple(place))
            start += x.shape[axis]
        return out

    def backward(ctx, dy):
        return tuple(dy[place].copy() for place in ctx.places)
