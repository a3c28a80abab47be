"""Functions of one's own: their gradients are checked, counted and named."""

from __future__ import annotations

import pytest

import minicnn
from minicnn.autograd import Function
from minicnn.errors import AutogradError
from tests.library.support.leaves import leaf


class Twice(Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, dy):
        return 2 * dy


def test_custom_function_and_its_name():
    x = leaf(2.0)
    y = Twice.apply(x)
    y.backward()
    assert x.grad.item() == 2.0 and y.grad_fn.name() == "Twice" and "grad_fn=<Twice>" in repr(y)


def test_gradients_may_come_in_a_list():
    class Sum(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dy):
            return [dy, 2 * dy]

    x, y = (minicnn.ones(3, requires_grad=True) for _ in range(2))
    Sum.apply(x, y).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    assert y.grad.tolist() == [2, 2, 2]


def test_wrong_number_of_gradients():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dz):
            return dz

    with pytest.raises(AutogradError, match="Bad returned 1 gradients, expected 2"):
        Bad.apply(leaf(1.0), leaf(1.0)).backward()


def test_wrong_gradient_shape_is_named():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(axis=0)

        @staticmethod
        def backward(ctx, dy):
            return dy

    x = minicnn.ones(2, 3, requires_grad=True)
    with pytest.raises(AutogradError, match=r"Bad returned a gradient of shape \(3,\) for argument 0.*\(2, 3\)"):
        Bad.apply(x).sum().backward()


def test_missing_cotangents_of_several_outputs_are_zero():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, da, db):
            return 2 * da + 3 * db

    x = leaf(1.0)
    a, b = Both.apply(x)
    b.backward(retain_graph=True)
    assert x.grad.item() == 3.0
    (a + b).backward()
    assert x.grad.item() == 8.0


def test_needs_input_grad_is_told():
    told = []

    class Watch(Function):
        @staticmethod
        def forward(ctx, x, y, option):
            told.append(ctx.needs_input_grad)
            return x * y

        @staticmethod
        def backward(ctx, dz):
            return dz, None, None

    Watch.apply(leaf(1.0), minicnn.tensor(2.0), "option")
    assert told == [(True, False, False)]


def test_double_backward_is_refused():
    with pytest.raises(AutogradError, match="create_graph"):
        leaf(1.0).exp().backward(create_graph=True)
