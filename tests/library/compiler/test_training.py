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
from minicnn.nn import functional as F
from tests.library.support.steps import FORWARDS, Of, add_into, block, compiling, images, keep, names, twins, x_of


@pytest.fixture(autouse=True)
def _the_same_weights_every_time() -> None:
    minicnn.manual_seed(0)


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
        (lambda m, x: m.conv(x) * m.conv(x).detach().max().item(), "reads the numbers"),
        (lambda m, x: m.conv(x) if x.mean() > 0 else m.conv(x) * 2, "reads the numbers"),
        (lambda m, x: m.conv(x) + minicnn.Tensor(m.conv(x).detach().numpy()), "reads the numbers"),
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
