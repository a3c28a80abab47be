"""Homework 1, matrix.py: the holes, filled in another way."""

from numpy import ndindex

from minicnn.ops.broadcast import unbroadcast


class MatMul:
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return ctx.backend.xp.einsum("...nk,...km->...nm", a, b)

    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        einsum = ctx.backend.xp.einsum
        da, db = einsum("...nm,...km->...nk", dc, b), einsum("...nk,...nm->...km", a, dc)
        return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


class Linear:
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        xp = ctx.backend.xp
        dx, dweight = xp.zeros(x.shape, x.dtype), xp.zeros(weight.shape, weight.dtype)
        dbias = xp.zeros(weight.shape[0], weight.dtype)
        for place in ndindex(*x.shape[:-1]):  # one linear map after another
            dx[place] = (weight * dy[place][:, None]).sum(axis=0)
            dweight += xp.outer(dy[place], x[place])
            dbias += dy[place]
        return dx, dweight, dbias if ctx.needs_input_grad[2] else None
