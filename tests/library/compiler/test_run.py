"""The node of a plan on the tape: several passes, hooks, and writes between forward and backward."""

from __future__ import annotations

from typing import Any

import pytest

import minicnn
from minicnn.errors import AutogradError
from minicnn.nn import functional as F
from tests.library.support.steps import FORWARDS, Of, images, objective, twins, x_of


@pytest.fixture(autouse=True)
def _the_same_weights_every_time() -> None:
    minicnn.manual_seed(0)


def test_gradients_add_up_over_several_backwards() -> None:
    pair = twins()

    def accumulate(forward: Any, model: Any) -> Any:
        for seed in range(3):
            objective(forward(x_of(seed))).backward()
        return []

    for _ in range(2):
        pair.compare(*pair.both(accumulate))


def test_several_forwards_before_their_backwards() -> None:
    pair = twins(FORWARDS["dropout"])

    def train(forward: Any, model: Any) -> Any:
        losses = [objective(forward(x_of(seed))) for seed in range(3)]
        losses[1].backward()
        (losses[0] * losses[2]).backward()
        return losses

    for _ in range(2):
        pair.compare(*pair.both(train))


def test_one_output_in_two_losses() -> None:
    pair = twins()

    def train(forward: Any, model: Any) -> Any:
        y = forward(x_of())
        (objective(y) + (y * y).sum()).backward()
        return y

    for _ in range(2):
        pair.compare(*pair.both(train))


def test_only_one_of_several_outputs_is_used() -> None:
    """What belongs to the others gets no gradient at all: not zeros, which an optimiser would decay."""
    pair = twins(lambda m, x: (m.conv(x), m.back(m.conv(x))))
    for _ in range(2):
        pair.compare(*pair.both(lambda forward, model: forward(x_of())[0].sum().backward() or []))
        assert pair.model.back.weight.grad is None


def test_backward_twice() -> None:
    pair = twins(FORWARDS["a gate"])

    def train(forward: Any, model: Any) -> Any:
        loss = objective(forward(x_of()))
        for keep in (True, True, False):
            loss.backward(retain_graph=keep)
        with pytest.raises(AutogradError, match="a second time"):
            loss.backward()
        return loss

    for _ in range(2):
        pair.compare(*pair.both(train))


def test_a_graph_is_freed_by_its_backward() -> None:
    pair = twins()
    pair.step(x_of())
    y = pair.compiled(x_of())
    node = y.grad_fn
    assert any(context is not None for context in node.contexts)
    objective(y).backward()
    assert node.contexts is None


def test_grad_and_inputs_of_backward() -> None:
    pair = twins()
    pair.step(x_of())

    def gradients(forward: Any, model: Any) -> Any:
        x = minicnn.Tensor(x_of().numpy(), requires_grad=True)
        found = minicnn.autograd.grad(objective(forward(x)), [x, model.conv.weight])
        objective(forward(x)).backward(inputs=[model.norm.weight])
        assert model.conv.bias.grad is None
        return found

    for _ in range(2):
        pair.compare(*pair.both(gradients))


def test_hooks_of_parameters_and_inputs() -> None:
    pair = twins(FORWARDS["twice the same layer"])

    def train(forward: Any, model: Any) -> Any:
        calls: list[int] = []
        x = minicnn.Tensor(x_of().numpy(), requires_grad=True)
        with (
            model.conv.weight.register_hook(lambda g: calls.append(1) or g * 2),
            (x * 1).register_hook(lambda g: g * 3),
        ):
            objective(forward(x)).backward()
        assert calls == [1]
        return x.grad

    for _ in range(2):
        pair.compare(*pair.both(train))


@pytest.mark.parametrize("target", ["conv.weight", "norm.weight", "input", "output"])
def test_a_saved_array_that_is_overwritten_is_an_error(target: str) -> None:
    compiled = minicnn.compile(Of(lambda m, x: F.relu(m.norm(m.conv(m.back(m.conv(x)))))))
    for _ in range(3):
        x = images((2, 3, 6, 6))
        y = compiled(x)
        with minicnn.no_grad():
            {"input": x, "output": y}.get(target, None if "." not in target else parameter(compiled, target)).mul_(2)
        with pytest.raises(AutogradError, match="overwritten in place"):
            y.sum().backward()


def parameter(compiled: Any, name: str) -> minicnn.Tensor:
    return dict(compiled.model.named_parameters())[name]


def test_what_is_not_saved_may_be_overwritten() -> None:
    pair = twins()

    def train(forward: Any, model: Any) -> Any:
        y = forward(x_of())
        with minicnn.no_grad():
            model.norm.bias.add_(1)
            model.conv.bias.add_(1)
        objective(y * 1).backward()
        return y

    for _ in range(3):
        pair.compare(*pair.both(train))


def test_gradients_belong_to_nobody_else() -> None:
    """What one leaf is given is not written into when another's gradient is added to."""
    pair = twins(lambda m, x: m.conv(x) + m.back.weight.sum() + x.sum())

    def train(forward: Any, model: Any) -> Any:
        x = minicnn.Tensor(x_of().numpy(), requires_grad=True)
        y = forward(x)
        cotangent = minicnn.ones(*y.shape).double()
        y.backward(cotangent, retain_graph=True)
        y.backward(cotangent)
        assert (cotangent.numpy() == 1).all()
        return x.grad

    for _ in range(2):
        pair.compare(*pair.both(train))


def test_a_plan_announces_each_gradient_once_whole_and_before_it_is_over() -> None:
    model = Of(FORWARDS["twice the same layer"]).double()
    compiled = minicnn.compile(model)
    for _ in range(3):
        model.zero_grad()
        announced: list[tuple[str, Any]] = []
        for name, parameter in model.named_parameters():

            def listen(gradient: Any, name: str = name, to: Any = announced, parameter: Any = parameter) -> None:
                assert parameter.grad is None
                to.append((name, gradient.copy()))

            parameter._announce = listen
        objective(compiled(x_of())).backward()
        used = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert sorted(name for name, _ in announced) == sorted(used)
        for name, gradient in announced:
            assert (gradient == used[name].numpy()).all(), name
