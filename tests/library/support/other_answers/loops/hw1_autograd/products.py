"""Homework 1, products.py: the holes, filled in another way."""

import numpy as np

from minicnn.ops.broadcast import unbroadcast


class Mul:
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        return unbroadcast(b * dc, np.shape(a)), unbroadcast(a * dc, np.shape(b))


class Div:
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a / b

    def backward(ctx, dc):
        # a / b is a product with 1 / b, and the slope of 1 / b is -1 / b^2
        a, b = ctx.saved_tensors
        da, db = dc / b, -a * dc / (b * b)
        return unbroadcast(da, np.shape(a)), unbroadcast(db, np.shape(b))
