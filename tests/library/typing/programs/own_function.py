"""A differentiable operation of one's own, and its check."""

from typing import Any

import minicnn as torch
from minicnn.autograd import Function, gradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * dy


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return factor * x

    @staticmethod
    def backward(ctx, dy):
        return ctx.factor * dy, None


def cube(x: torch.Tensor) -> torch.Tensor:
    return Cube.apply(x)


x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
y = cube(x)
y.backward(torch.ones_like(y))
assert x.grad is not None and x.grad.tolist() == [3.0, 12.0]
assert gradcheck(cube, (x,))
assert gradcheck(lambda t: Scale.apply(t, 2.0), (x,))
(dx,) = torch.autograd.grad(cube(x).sum(), [x])
print(dx, y.grad_fn, x.is_leaf)
