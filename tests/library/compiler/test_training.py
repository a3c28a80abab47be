"""What a compiled model in training has in common with an eager one, feature by feature."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.backend import cpu
from minicnn.errors import AutogradError
from minicnn.nn import functional as F
from tests.library.support.steps import Twins, compiling, images, objective


@pytest.fixture(autouse=True)
def _the_same_weights_every_time() -> None:
    minicnn.manual_seed(0)


class Of(nn.Module):
    """A model with the forward ``function(model, x)``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.back, self.second = nn.Conv2d(4, 3, 1), nn.BatchNorm2d(4)
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def block(m: Any, x: Any) -> Any:
    """A residual block."""
    return F.relu(m.norm(m.conv(x)) + x.mean(1, keepdim=True).expand(-1, 4, -1, -1))


def twins(function: Callable[..., Any] = block) -> Twins:
    return Twins(Of(function).double(), 1e-10)


def x_of(seed: int = 0, shape: tuple[int, ...] = (2, 3, 6, 6)) -> minicnn.Tensor:
    return images(shape, "float64", seed)


def names(compiled: Any) -> list[str]:
    (plan,) = compiled.plans.values()
    return [step.call.name for step in plan.steps]


FORWARDS: dict[str, Callable[..., Any]] = {
    "a block": block,
    "twice the same layer": lambda m, x: m.conv(m.back(F.relu(m.norm(m.conv(x))))),
    "twice the same norm": lambda m, x: F.relu(m.norm(m.conv(x)) + F.relu(m.norm(m.conv(x * 2)))),
    "two norms and their sum": lambda m, x: F.relu(m.norm(m.conv(x)) + m.second(m.conv(x))),
    "a value that several want": lambda m, x: (lambda y: F.silu(m.norm(y)) + y + F.relu(y))(m.conv(x)),
    "a norm that is returned too": lambda m, x: (lambda y: (F.relu(y), y))(m.norm(m.conv(x))),
    "several outputs": lambda m, x: {"a": m.conv(x), "b": [F.relu(m.norm(m.conv(x))), None, 3]},
    "the same output twice": lambda m, x: (lambda y: (y, y))(m.conv(x)),
    "an output that is detached": lambda m, x: (m.conv(x).sum(), m.norm(m.conv(x)).detach()),
    "the input as output": lambda m, x: (x, m.conv(x)),
    "a parameter as output": lambda m, x: (m.conv.weight, m.conv(x)),
    "a branch without gradient": lambda m, x: m.conv(x) * F.relu(m.norm(m.conv(x))).detach(),
    "no_grad inside": lambda m, x: without_grad(m, x) + m.conv(x),
    "a product with itself": lambda m, x: (lambda y: y * y + y)(m.conv(x)),
    "a gate": lambda m, x: (lambda y: y * F.sigmoid(F.adaptive_avg_pool2d(y, 1)))(F.silu(m.norm(m.conv(x)))),
    "cat and split": lambda m, x: minicnn.cat([m.conv(x), x, F.relu(m.conv(x))], 1)[:, 1:9],
    "pooling": lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2) + F.avg_pool2d(m.conv(x), 2),
    "pooling with indices": lambda m, x: (lambda y, i: y + i.to(np.float64))(*pool_indices(m.conv(x))),
    "dropout": lambda m, x: F.dropout(m.conv(x), 0.4) + F.dropout2d(m.norm(m.conv(x)), 0.3),
    "computed weights": lambda m, x: F.conv2d(x, m.conv.weight - m.conv.weight.mean(), m.conv.bias),
    "in place": lambda m, x: add_into(m.norm(m.conv(x)), x[:, :1]).relu(),
    "a linear head": lambda m, x: F.relu(F.linear(m.conv(x).flatten(1)[:, :12], m.back.weight.reshape(1, 12))),
    "a network without norm": lambda m, x: F.relu(m.back(F.relu(m.conv(x)))),
}


def without_grad(m: Any, x: Any) -> Any:
    with minicnn.no_grad():
        return F.relu(m.norm(m.conv(x)))


def pool_indices(y: Any) -> Any:
    return F.max_pool2d(y, 2, return_indices=True)


def add_into(target: Any, value: Any) -> Any:
    target += value
    return target


@pytest.mark.parametrize("least", [0, 1 << 14], ids=["kernels", "small"])
@pytest.mark.parametrize("name", FORWARDS)
def test_steps(name: str, least: int) -> None:
    """With and without the gradient of the input, at another size between, and back."""
    pair = twins(FORWARDS[name])
    pair.least = least
    for seed, shape in enumerate([(2, 3, 6, 6)] * 2 + [(3, 3, 6, 8), (2, 3, 6, 6)]):
        pair.step(x_of(seed, shape))
        pair.step(x_of(seed, shape), input_grad=True)
    assert len(pair.compiled.plans) == 4


def test_what_becomes_of_a_block() -> None:
    pair = twins()
    pair.step(x_of())
    assert "BatchNorm + Add + ReLU" in names(pair.compiled)
    text = str(next(iter(pair.compiled.plans.values())))
    (line,) = (line for line in text.splitlines() if line.startswith("BatchNorm + Add + ReLU"))
    assert line.split()[5:] == ["2", "x", "4", "x", "6", "x", "6", "norm,", "Of", "norm,", "norm_grad"]


def test_the_norms_statistics_are_updated_in_their_order() -> None:
    """The first call of a norm is not moved behind the second."""
    pair = twins(lambda m, x: F.relu(m.norm(m.conv(x)) + F.relu(m.norm(m.conv(x * 2)))))
    for seed in range(3):
        pair.step(x_of(seed))
    assert names(pair.compiled).count("BatchNorm + ReLU") == 1


def test_writes_into_the_model_are_counted() -> None:
    """A backward that has saved running statistics notices that they have been written into, as in eager."""
    pair = twins()
    pair.step(x_of())
    before = pair.model.norm.running_mean.memory.writes
    pair.compiled(x_of())
    assert pair.model.norm.running_mean.memory.writes == before + 1
    assert pair.model.norm.num_batches_tracked.item() == 2


# ------------------------------------------------------------ several passes


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


# ------------------------------------------------------------ changes between the steps


def freeze(model: Any) -> None:
    model.conv.requires_grad_(False)


def unfreeze(model: Any) -> None:
    model.conv.requires_grad_(True)


def load(model: Any) -> None:
    minicnn.manual_seed(5)
    model.load_state_dict(Of(block).double().state_dict())


def exchange(model: Any) -> None:
    minicnn.manual_seed(7)
    model.norm = nn.BatchNorm2d(4).double()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "frozen": freeze,
    "unfrozen": lambda m: (freeze(m), unfreeze(m)),
    "all frozen": lambda m: m.requires_grad_(False),
    "a state loaded": load,
    "evaluation": lambda m: m.eval(),
    "a norm in evaluation": lambda m: m.norm.eval(),
    "evaluation and back": lambda m: (m.eval(), m.train()),
    "a setting": lambda m: setattr(m.norm, "momentum", 0.7),
    "data exchanged": lambda m: setattr(m.conv.weight, "data", m.conv.weight.data * 2),
    "written in place": lambda m: m.conv.weight.detach().mul_(2),
    "through an array": lambda m: m.conv.weight.detach().numpy().__imul__(2),
    "a parameter exchanged": lambda m: setattr(m.conv, "bias", nn.Parameter(minicnn.ones(4).double())),
    "a parameter removed": lambda m: m.conv.register_parameter("bias", None),
    "a module exchanged": exchange,
    "float32": lambda m: m.float(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_between_the_steps(name: str) -> None:
    pair = twins()
    pair.step(x_of(0))
    pair.step(x_of(1))
    for model in (pair.eager, pair.model):
        CHANGES[name](model)
    pair.pairs = list(zip(pair.eager.named_parameters(), pair.model.parameters(), strict=True))
    pair.tolerance = 1e-4 if name == "float32" else pair.tolerance
    dtype = pair.model.conv.weight.dtype
    for seed in range(3):
        if name == "all frozen":
            pair.compare(*pair.both(lambda forward, model, seed=seed: forward(x_of(seed))))
        else:
            pair.step(x_of(seed).to(dtype))


def test_training_and_evaluation_in_turn() -> None:
    """Each has its plan; what is folded into filters follows the parameters."""
    pair = twins(lambda m, x: F.relu(m.norm(m.conv(x))))
    for seed in range(3):
        pair.step(x_of(seed), lr=0.3)
        for model in (pair.eager, pair.model):
            model.eval()
        with minicnn.no_grad():
            pair.compare(*pair.both(lambda forward, model, seed=seed: forward(x_of(seed + 9))))
        for model in (pair.eager, pair.model):
            model.train()
    assert len(pair.compiled.plans) == 2


def test_training_mode_without_gradients() -> None:
    """The statistics move, the result requires no grad."""
    pair = twins()
    for seed in range(3):
        with minicnn.no_grad():
            pair.compare(*pair.both(lambda forward, model, seed=seed: forward(x_of(seed))))
    assert pair.model.norm.num_batches_tracked.item() == 3


# ------------------------------------------------------------ writes between forward and backward


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


# ------------------------------------------------------------ what runs as it is


class Doubled(minicnn.autograd.Function):
    """Its backward is not that of its forward, and its output is its input."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return -2 * dy


def test_operations_of_somebody_else() -> None:
    pair = twins(lambda m, x: (lambda y: y + Doubled.apply(y))(m.conv(x)))
    for seed in range(3):
        pair.step(x_of(seed))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.conv(x) * m.conv(x).detach().max().item(), "looks at the numbers"),
        (lambda m, x: m.conv(x) if x.mean() > 0 else m.conv(x) * 2, "looks at the numbers"),
        (lambda m, x: m.conv(x) + minicnn.Tensor(m.conv(x).detach().numpy()), "looks at the numbers"),
        (lambda m, x: m.conv(x) + 0 * minicnn.Tensor(minicnn.randn(1).numpy()).to(np.float64), "random numbers"),
        (lambda m, x: m.conv(x) + keep(m, m.conv(x)), "changes the model"),
        (
            lambda m, x: m.conv(x) + add_into(minicnn.zeros(1, 4, 1, 1, dtype=minicnn.float64), 1),
            "not the model's own|not its own",
        ),
        (lambda m, x: (lambda y: (y, y[:, :2]))(m.conv(x)), "two tensors on one memory"),
        (lambda m, x: beside_the_tape(m.conv(x)), "beside the tape"),
    ],
)
def test_a_recording_that_would_not_hold_is_not_used(function: Callable[..., Any], reason: str) -> None:
    compiled = minicnn.compile(Of(function).double())
    pair = twins(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(3):
            compiled(x_of(seed))
    assert len(caught) == 1
    assert re.search(reason, str(caught[0].message)), caught[0].message
    assert not compiled.plans
    pair.compiled = compiled
    compiled.model.load_state_dict(pair.eager.state_dict())
    pair.model = compiled.model
    pair.pairs = list(zip(pair.eager.named_parameters(), pair.model.parameters(), strict=True))
    if "random" not in reason:
        pair.step(x_of(), input_grad=False)


def keep(model: Any, value: Any) -> Any:
    model.kept = value
    return value


def beside_the_tape(y: Any) -> Any:
    with minicnn.no_grad():
        y.mul_(2)
    return y


def test_anomaly_mode_and_plain_are_eager() -> None:
    compiled = minicnn.compile(Of(block))
    x = images((2, 3, 6, 6))
    with compiling():
        nothing = x * float("nan")
        with minicnn.detect_anomaly(), pytest.raises(minicnn.errors.AnomalyError, match=r"Of\.conv"):
            compiled(nothing)
        with cpu.plain():
            compiled(x)
        with compiled.model.conv.register_forward_hook(lambda module, args, output: output * 0):
            compiled(x)
    assert not compiled.plans


def test_an_error_leaves_nothing_behind() -> None:
    compiled = minicnn.compile(Of(lambda m, x: m.conv(x).sum() + 1 / 0))
    with pytest.raises(ZeroDivisionError):
        compiled(images((2, 3, 6, 6)))
    assert "array" not in vars(minicnn.Tensor)


def test_other_threads_are_not_recorded() -> None:
    started, ended = threading.Event(), threading.Event()

    def forward(m: Any, x: Any) -> Any:
        if not ended.is_set():
            started.set()
            assert ended.wait(30)
        return m.conv(x)

    def elsewhere() -> None:
        started.wait(30)
        assert minicnn.ones(3).sum().item() == 3
        ended.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    compiled = minicnn.compile(Of(forward))
    compiled(images((2, 3, 6, 6)))
    thread.join()
    with compiling():
        compiled(images((2, 3, 6, 6)))
    (plan,) = compiled.plans.values()
    assert [step.call.name for step in plan.steps] == ["Conv2d"]
