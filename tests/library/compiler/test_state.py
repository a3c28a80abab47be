"""A change of the model is noticed; reading it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.models import create_model
from tests.library.support.inference import Of, assert_same, of, randomised
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import compiling, images


def changes() -> dict[str, Callable[[Any], Any]]:
    def exchange(model: Any) -> None:
        model.norm = randomised(nn.BatchNorm2d(4), seed=5)

    def step(model: Any) -> None:
        for parameter in model.parameters():
            parameter.grad = minicnn.ones(*parameter.shape)
        minicnn.optim.SGD(model.parameters(), lr=0.1).step()

    def assign(array: np.ndarray) -> None:
        array[...] = 2

    return {
        "a parameter written": lambda m: m.conv.bias.detach().zero_(),
        "a parameter added to": lambda m: m.conv.bias.detach().add_(1),
        "an array exchanged": lambda m: setattr(m.conv.weight, "array", m.conv.weight.array * 2),
        "an activation exchanged": lambda m: setattr(m, "activation", nn.Sigmoid().eval()),
        "a buffer written": lambda m: m.norm.running_var.fill_(3),
        "through data": lambda m: m.conv.weight.data.mul_(0.5),
        "through an array": lambda m: assign(m.norm.running_mean.numpy()),
        "data exchanged": lambda m: setattr(m.conv.weight, "data", m.conv.weight.data * 2),
        "a parameter exchanged": lambda m: setattr(m.conv, "bias", nn.Parameter(minicnn.ones(4))),
        "a module exchanged": exchange,
        "a state loaded": lambda m: m.load_state_dict(randomised(Of(m.function), seed=7).state_dict()),
        "an optimiser's step": step,
        "a setting": lambda m: setattr(m.norm, "eps", 0.5),
        "a tensor that is no parameter": lambda m: m.table.add_(1),
        "a tensor that is no parameter exchanged": lambda m: setattr(m, "table", minicnn.ones(4, 1, 1) * 9),
        "a tensor in a list": lambda m: m.listed[0].add_(1),
        "a list": lambda m: m.listed.append(minicnn.ones(4, 1, 1)),
        "a module in a list": lambda m: m.hidden[0].weight.detach().add_(1),
        "another dtype and back": lambda m: (m.conv.weight.data.add_(1), m.double(), m.float()),
    }


@pytest.mark.parametrize("change", changes())
def test_a_change_of_the_model_is_noticed(change: str) -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.activation(m.norm(m.conv(x))) + m.table
        for item in m.listed:
            y = y + item
        return m.hidden[0](y)

    model = Of(forward)
    model.table = minicnn.ones(4, 1, 1)
    model.activation = nn.Tanh()
    model.listed = [minicnn.ones(4, 1, 1)]
    model.hidden = [nn.Conv2d(4, 2, 1)]
    model.hidden[0].eval()
    compiled = minicnn.compile(randomised(model))
    shapes = (2, 3, 6, 6), (1, 3, 4, 4)
    with compiling():
        before = [compiled(images(shape)).numpy() for shape in shapes]
        compiled.model.requires_grad_(False)
        changes()[change](compiled.model)
        for shape, old in zip(shapes, before, strict=True):
            assert_same(compiled, images(shape))
            assert abs(compiled(images(shape)).numpy() - old).max() > 1e-3
        plans = compiled.plans
        assert_same(compiled, images(shapes[0]))
        assert compiled.plans == plans  # and it is recorded once


def test_reading_the_model_does_not_record_it_again() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    compiled(images((1, 3, 32, 32)))
    plans = compiled.plans
    compiled.model.state_dict(), list(compiled.model.parameters()), repr(compiled)
    with minicnn.no_grad():
        compiled.model(images((1, 3, 32, 32)))
    compiled(images((1, 3, 32, 32)))
    assert compiled.plans == plans


def test_an_index_of_the_models_own() -> None:
    """Indexing takes the raw array of the index, at every recording; that does not make the other plans old."""
    model = Of(lambda m, x: m.conv(x)[:, m.order][:, m.listed[0]] * float(m.listed[1]))
    model.register_buffer("order", minicnn.tensor([2, 0, 1]))
    model.listed = [minicnn.tensor([1, 0]), minicnn.tensor(3.0)]
    compiled, x = minicnn.compile(model.eval()), images((1, 3, 4, 4))
    with compiling():
        for shape in ((1, 3, 4, 4), (2, 3, 4, 4), (1, 3, 5, 5)):
            compiled(images(shape))
        assert len(compiled.plans) == 3
        for tensor, index, value in ((model.listed[1], ..., 5.0), (model.listed[0], 1, 2), (model.order, 1, 3)):
            before = compiled(x).numpy()
            tensor[index] = value
            assert abs(compiled(x).numpy() - before).max() > 1e-3
            assert_same(compiled, x)
            compiled(x)


def test_hooks_run() -> None:
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), images((2, 3, 6, 6))
    expected = compiled(x).numpy()
    with compiled.model.conv.register_forward_hook(lambda module, args, output: output * 0):
        assert_same(compiled, x)
        assert abs(compiled(x).numpy() - expected).max() > 0.1
    called = []
    with compiled.model.norm.register_forward_pre_hook(lambda module, args: called.append(module)):
        for _ in range(3):
            compiled(x)
    assert len(called) == 3
    np.testing.assert_array_equal(compiled(x).numpy(), expected)
