"""Operations whose right gradients can be changed."""

from __future__ import annotations

import numpy as np

from minicnn.autograd import Function
from minicnn.tensors import Tensor
from tests.library.support.strategies import normal


def leaf(shape=(), seed=0, dtype=np.float64):
    return Tensor(normal(shape, seed).astype(dtype), requires_grad=True)


def cube(change=lambda gradient: gradient):
    """``x ** 3`` as an operation whose right gradient passes through ``change``."""

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return change(3 * x**2 * cotangent)

    return Cube.apply


def broadcast_product(change_first=lambda g: g, change_second=lambda g: g):
    """``a * b`` for ``b`` of shape (1, C, 1), as an operation whose right gradients pass through the changes."""

    class Product(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, cotangent):
            a, b = ctx.saved_tensors
            return change_first(cotangent * b), change_second((cotangent * a).sum(axis=(0, 2), keepdims=True))

    return Product.apply
