"""Checkpointing (``minicnn.utils.checkpoint``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.utils.checkpoint import checkpoint
from tests.library.support.model_checks import images


def part(dropout: float = 0.0) -> nn.Sequential:
    minicnn.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(4, 2, 1)
    return nn.Sequential(*layers).double()


def gradients(part: nn.Module, x: minicnn.Tensor, run: Any) -> dict[str, np.ndarray]:
    out = run(part, x)
    minicnn.rand(3)  # the stream moves on between forward and backward
    (out * minicnn.tensor(images(out.shape, np.float64, seed=1))).sum().backward()
    found = {name: parameter.grad.numpy() for name, parameter in part.named_parameters()}
    return {"output": out.detach().numpy(), **found, **({"x": x.grad.numpy()} if x.requires_grad else {})}


def direct(part: nn.Module, x: minicnn.Tensor) -> minicnn.Tensor:
    return part(x)


@pytest.mark.parametrize("input_needs_gradient", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_same_results_and_gradients(input_needs_gradient: bool, dropout: float) -> None:
    """With dropout as well: the second run draws the same numbers, and the stream goes on as if there were none."""
    x = images((2, 3, 5, 5), np.float64)
    results, after = [], []
    for run in (direct, checkpoint):
        module = part(dropout)
        minicnn.manual_seed(5)
        results.append(gradients(module, minicnn.tensor(x, requires_grad=input_needs_gradient), run))
        after.append(minicnn.random.default_generator.get_state())
    assert results[0].keys() == results[1].keys()
    for name, expected in results[0].items():
        assert np.array_equal(results[1][name], expected), name
    assert after[0] == after[1]


def test_it_holds_only_its_input_until_backward() -> None:
    calls = []

    class Spy(minicnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: np.ndarray) -> np.ndarray:
            calls.append("forward")
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, cotangent: np.ndarray) -> np.ndarray:
            calls.append("backward")
            return cotangent * 2

    x = minicnn.tensor([1.0], requires_grad=True)
    y = checkpoint(lambda x: Spy.apply(Spy.apply(x)), x)
    assert calls == ["forward"] * 2
    names, frontier = [], [y.grad_fn]
    while frontier:
        node = frontier.pop()
        names.append(node.name())
        frontier += [below for below, _ in node.next_functions if below is not None]
    assert "Spy" not in names  # the nodes inside are gone, and with them what they saved
    y.backward()
    assert calls == ["forward"] * 4 + ["backward"] * 2
    assert x.grad.item() == 4


def test_autograd_grad_reaches_the_parameters_inside() -> None:
    module = part()
    x = minicnn.tensor(images((2, 3, 5, 5), np.float64))
    (expected,) = minicnn.autograd.grad(module(x).sum(), [module[0].weight])
    (found,) = minicnn.autograd.grad(checkpoint(module, x).sum(), [module[0].weight])
    assert np.array_equal(found.numpy(), expected.numpy())


def test_checkpoints_in_a_row_and_inside_each_other() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 2)
    x = minicnn.tensor(images((4, 3)), requires_grad=True)
    expected = minicnn.autograd.grad(second(first(x).tanh()).sum(), [x, first.weight, second.bias])

    def inner(x: minicnn.Tensor) -> minicnn.Tensor:
        return checkpoint(first, x).tanh()

    def outer(x: minicnn.Tensor) -> minicnn.Tensor:
        return checkpoint(second, checkpoint(inner, x))

    for result in (outer(x), checkpoint(outer, x)):
        found = minicnn.autograd.grad(result.sum(), [x, first.weight, second.bias])
        for got, wanted in zip(found, expected, strict=True):
            assert np.array_equal(got.numpy(), wanted.numpy())


def test_several_outputs_and_plain_arguments() -> None:
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)

    def powers(x: minicnn.Tensor, factor: float, *, shift: float) -> tuple[minicnn.Tensor, ...]:
        return x * factor + shift, x * x, x.argmax(), x.detach() + 1

    linear, square, largest, constant = checkpoint(powers, x, 3.0, shift=1.0)
    assert linear.tolist() == [4.0, 7.0] and square.tolist() == [1.0, 4.0] and largest.item() == 1
    assert not largest.requires_grad and not constant.requires_grad
    (linear.sum() + 2 * square.sum()).backward()
    assert x.grad.tolist() == [3.0 + 4.0, 3.0 + 8.0]
    x.grad = None
    linear, square, *_ = checkpoint(powers, x, 3.0, shift=1.0)
    square.sum().backward()  # the other output's cotangent is zero
    assert x.grad.tolist() == [2.0, 4.0]


def test_without_the_tape_it_is_a_call() -> None:
    with minicnn.no_grad():
        out = checkpoint(lambda x: x * 2, minicnn.tensor([1.0], requires_grad=True))
    assert not out.requires_grad
    assert not checkpoint(lambda x: x * 2, minicnn.tensor([1.0])).requires_grad


def test_what_was_overwritten_meanwhile_is_an_error() -> None:
    module = part()
    x = minicnn.tensor(images((2, 3, 5, 5), np.float64))
    out = checkpoint(module, x)
    x.zero_()
    with pytest.raises(minicnn.errors.AutogradError, match="overwritten in place"):
        out.sum().backward()
    out = checkpoint(module, x)
    with minicnn.no_grad():
        module[0].weight.zero_()
    with pytest.raises(minicnn.errors.AutogradError, match="overwritten in place"):
        out.sum().backward()


def test_a_result_computed_outside_must_be_an_argument() -> None:
    x = minicnn.tensor([1.0], requires_grad=True)
    outside = x * 2
    with pytest.raises(minicnn.errors.AutogradError, match="computed outside: pass it as an argument"):
        checkpoint(lambda x: x + outside, x)
