"""In-place methods and operators: the same numbers as out of place, in the same memory, and the tape knows."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given

import minicnn
from minicnn.autograd.gradcheck import gradcheck
from minicnn.errors import AutogradError, ShapeError
from tests.library.support.strategies import arrays, distinct, distinct_pair

UNARY = {
    "neg_": lambda x: -x,
    "exp_": np.exp,
    "abs_": np.abs,
    "relu_": lambda x: np.maximum(x, 0),
    "sigmoid_": lambda x: 1 / (1 + np.exp(-x)),
    "tanh_": np.tanh,
    "log_": np.log,
    "sqrt_": np.sqrt,
}
BINARY = {"add_": np.add, "sub_": np.subtract, "mul_": np.multiply, "div_": np.divide}
OPERATORS = {
    "+=": lambda x, y: x.__iadd__(y),
    "-=": lambda x, y: x.__isub__(y),
    "*=": lambda x, y: x.__imul__(y),
    "/=": lambda x, y: x.__itruediv__(y),
}


@pytest.mark.parametrize("name", UNARY)
@given(x=arrays(low=0.1, high=2.0))
def test_unary(name, x):
    t = minicnn.tensor(x)
    memory = t.numpy()
    assert getattr(t, name)() is t
    assert t.numpy() is memory
    np.testing.assert_allclose(memory, UNARY[name](x), rtol=1e-12)
    leaf = minicnn.tensor(x, requires_grad=True)
    assert gradcheck(lambda a: getattr(a * 1, name)(), leaf)


@pytest.mark.parametrize("name", [*BINARY, *OPERATORS])
@given(pair=distinct_pair(low=0.5))
def test_binary(name, pair):
    a, b = pair
    method = OPERATORS.get(name) or (lambda x, y: getattr(x, name)(y))
    function = dict(zip(OPERATORS, BINARY.values(), strict=True)).get(name) or BINARY[name]
    t, other = minicnn.tensor(a), minicnn.tensor(b)
    if np.broadcast_shapes(a.shape, b.shape) != a.shape:
        with pytest.raises(ShapeError, match="in place: a result of shape"):
            method(t, other)
        return
    memory = t.numpy()
    assert method(t, other) is t and t.numpy() is memory
    np.testing.assert_allclose(memory, function(a, b), rtol=1e-12)
    leaves = [minicnn.tensor(x, requires_grad=True) for x in pair]
    assert gradcheck(lambda x, y: method(x * 1, y), leaves)


def test_with_numbers_and_options():
    x = minicnn.tensor([1.0, 2.0, 3.0])
    assert x.add_(1).mul_(2).sub_(2).div_(4).tolist() == [0.5, 1.0, 1.5]
    assert x.clamp_(0.75, 1.25).tolist() == [0.75, 1.0, 1.25]
    assert x.clamp_(min=1).tolist() == [1.0, 1.0, 1.25]
    assert x.add_(minicnn.tensor([1.0, 1.0, 1.0]), alpha=-1).tolist() == [0.0, 0.0, 0.25]
    assert x.fill_(3).tolist() == [3.0, 3.0, 3.0]
    assert x.zero_().tolist() == [0.0, 0.0, 0.0]
    assert x.copy_(minicnn.tensor([1, 2, 3])).tolist() == [1.0, 2.0, 3.0]
    assert x.copy_(minicnn.tensor(7.0)).tolist() == [7.0, 7.0, 7.0]
    assert x.masked_fill_(minicnn.tensor([True, False, True]), -1).tolist() == [-1.0, 7.0, -1.0]
    assert x.pow_(2).tolist() == [1.0, 49.0, 1.0]
    assert x.dtype == np.float32


def test_the_dtype_stays():
    x = minicnn.ones(2)
    x += minicnn.ones(2, dtype=minicnn.float64)
    assert x.dtype == np.float32 and x.tolist() == [2.0, 2.0]
    whole = minicnn.tensor([1, 2])
    whole += 1
    assert whole.dtype == np.int64 and whole.tolist() == [2, 3]
    with pytest.raises(TypeError, match="float32 result cannot be written into a int64 tensor"):
        whole += 0.5


def test_random_filling_is_seeded():
    def drawn():
        minicnn.manual_seed(3)
        return minicnn.zeros(200).normal_(2.0, 0.5).tolist(), minicnn.zeros(200).uniform_(-1, 1).tolist()

    (normal, uniform), again = drawn(), drawn()
    assert (normal, uniform) == again
    assert abs(np.mean(normal) - 2) < 0.15 and abs(np.std(normal) - 0.5) < 0.1
    assert min(uniform) >= -1 and max(uniform) < 1 and abs(np.mean(uniform)) < 0.2
    coins = minicnn.zeros(200).bernoulli_(0.25)
    assert set(coins.tolist()) == {0.0, 1.0} and 20 < sum(coins.tolist()) < 80


def test_a_chain_of_writes_has_the_right_gradient():
    def fn(x, y):
        z = x * y
        z += x
        z *= y
        z[0] = x[1]
        z.relu_()
        z /= 3
        return z

    leaves = [minicnn.tensor(distinct((3,), seed), requires_grad=True) for seed in (0, 1)]
    assert gradcheck(fn, leaves)


def test_copy_passes_the_gradient_on():
    source = minicnn.tensor([1.0, 2.0], requires_grad=True)
    target = minicnn.zeros(3, 2)
    target.copy_(source)
    target.sum().backward()
    assert source.grad.tolist() == [3.0, 3.0]


def test_a_leaf_is_protected():
    leaf = minicnn.ones(2, requires_grad=True)
    for write in (
        lambda: leaf.add_(1),
        lambda: leaf.zero_(),
        lambda: leaf.copy_(minicnn.zeros(2)),
        lambda: leaf.normal_(),
    ):
        with pytest.raises(AutogradError, match="requires grad"):
            write()
    assert leaf.tolist() == [1.0, 1.0]
    with minicnn.no_grad():
        leaf.add_(1)
    assert leaf.tolist() == [2.0, 2.0] and leaf.requires_grad and leaf.is_leaf


@pytest.mark.parametrize(
    "write", [lambda y: y.add_(1), lambda y: y.mul_(2), lambda y: y.zero_(), lambda y: y[0].fill_(1)]
)
def test_overwriting_what_backward_needs_is_an_error(write):
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    loss = y.sum()
    with minicnn.no_grad():
        write(y)
    with pytest.raises(AutogradError, match="Exp.*overwritten in place"):
        loss.backward()


def test_overwriting_what_backward_does_not_need_is_fine():
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    y = x + 1
    y += 1
    y *= 3
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_method_shows_the_arguments_of_its_function() -> None:
    assert str(inspect.signature(minicnn.Tensor.clamp_)) == str(inspect.signature(minicnn.Tensor.clamp))
    assert minicnn.Tensor.clamp_.__name__ == "clamp_" and "In-place" in minicnn.Tensor.clamp_.__doc__
