"""Homework 1, activation.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.ops.activation import logistic


class ReLU:
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        dx = dy.copy()
        dx[y == 0] = 0
        return dx


class LeakyReLU:
    def forward(ctx, x, slope):
        factor = ctx.backend.xp.full_like(x, slope)
        factor[x > 0] = 1
        ctx.save_for_backward(factor)
        return factor * x

    def backward(ctx, dy):
        (factor,) = ctx.saved_tensors
        return factor * dy, None


class Sigmoid:
    def backward(ctx, dy):
        # y (1 - y) is a parabola around y = 1/2
        (y,) = ctx.saved_tensors
        return dy * (0.25 - (y - 0.5) ** 2)


class SiLU:
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        s, rest = logistic(ctx.backend.xp, x), logistic(ctx.backend.xp, -x)  # rest = 1 - s
        through_x = dy * s
        through_s = dy * x * s * rest
        return through_x + through_s


class Tanh:
    def forward(ctx, x):
        s = logistic(ctx.backend.xp, 2 * x)
        ctx.save_for_backward(s)
        return s - logistic(ctx.backend.xp, -2 * x)

    def backward(ctx, dy):
        # tanh x = 2 s(2 x) - 1
        (s,) = ctx.saved_tensors
        return 4 * dy * s * (1 - s)
