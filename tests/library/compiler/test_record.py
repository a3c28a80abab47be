"""Recording: whatever a model returns and does, and recordings that would not hold."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import minicnn
from minicnn.backend import cpu
from minicnn.nn import functional as F
from tests.library.support.inference import TOLERANCE, Of, assert_close, assert_same, of, plainly, randomised
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import compiling, images


def repeated(y: Any, times: int) -> Any:
    """Arrays come and go: a new one may get the place, and the id, of one that is gone."""
    for _ in range(times):
        y = y * 1.5 + minicnn.ones(1)
    return y


class Pair(NamedTuple):
    logits: minicnn.Tensor
    features: list[minicnn.Tensor]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (m.conv(x), m.norm(m.conv(x))),
        lambda m, x: [m.conv(x), None, 3, "word"],
        lambda m, x: {"a": m.conv(x), "b": (x, m.norm.running_mean)},
        lambda m, x: Pair(m.conv(x).mean((1, 2, 3)), [m.conv(x)]),
        lambda m, x: m.conv(x)[0],
        lambda m, x: m.conv(x).sum(),
        lambda m, x: m.conv(x[0]),  # one image (C, H, W)
        lambda m, x: x,
        lambda m, x: x.flatten(1),
        lambda m, x: m.conv.weight,
        lambda m, x: F.max_pool2d(m.conv(x), 2, return_indices=True),
        lambda m, x: m.conv(x).max(dim=1),
        lambda m, x: F.dropout(m.conv(x), training=m.training),
        lambda m, x: F.conv2d(x, m.conv.weight / (m.conv.weight**2).sum((1, 2, 3), keepdim=True).sqrt()),
        lambda m, x: F.conv2d(x, x[:, :, :3, :3]),  # filters that depend on the input
        lambda m, x: F.batch_norm(x, m.norm.running_mean[:3], x.var((0, 2, 3)), training=False),
        lambda m, x: m.conv(x) + m.norm.running_mean.reshape(-1, 1, 1),
        lambda m, x: m.conv(x) + minicnn.ones(*m.conv(x).shape),
        lambda m, x: F.softmax(m.conv(x).flatten(1), 1),
        lambda m, x: F.group_norm(m.conv(x), 2),
        lambda m, x: F.local_response_norm(m.conv(x), 3),
        lambda m, x: F.avg_pool2d(F.silu(m.conv(x)), 2),
        lambda m, x: minicnn.stack(m.conv(x).split(2, 1)),
        lambda m, x: m.conv(x)[:, [2, 0]],
        lambda m, x: F.relu(F.relu(m.conv(x)) + m.conv(x)),
        lambda m, x: (lambda y: y + y)(m.conv(x)),
        lambda m, x: m.conv(x) + m.conv(x)[:1, :1],  # no residual: broadcast
        lambda m, x: repeated(m.conv(x), 10),
    ],
)
def test_whatever_a_model_returns_and_does(function: Callable[..., Any]) -> None:
    compiled, x = of(function), images((2, 3, 6, 6))
    with compiling():
        for seed in range(2):
            x = images((2, 3, 6, 6), seed=seed)
            got, expected = compiled(x), plainly(compiled.model, x)
            assert isinstance(expected, type(got))
            assert getattr(got, "requires_grad", False) == getattr(expected, "requires_grad", False)
            assert_close(got, expected, TOLERANCE["float32"])
    assert len(compiled.plans) == 1


def test_operations_of_ones_own() -> None:
    class Cube(minicnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.mark_non_differentiable(x)
            return x**3

    class Same(minicnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

    class ReLU(minicnn.autograd.Function):  # a name is not enough
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x - 100

    compiled = of(lambda m, x: Same.apply(F.relu(ReLU.apply(m.conv(Cube.apply(x))) + 99)))
    with compiling(), cpu.small_work(0):
        assert_same(compiled, images((2, 3, 6, 6)))


def write(tensor: Any, index: Any, value: Any) -> Any:
    tensor[index] = value
    return tensor


def add_into(target: Any, value: Any) -> Any:
    target += value
    return target


def keep(model: Any, value: Any) -> Any:
    model.kept = value
    return value


def with_gradients(m: Any, x: Any) -> Any:
    with minicnn.enable_grad():
        return add_into(m.conv(x) * 1, 1).detach()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.conv(x) if x.mean() > 0 else x[:, :2], "reads the numbers"),
        (lambda m, x: m.conv(x) * float(m.conv(x).max()), "reads the numbers"),
        (lambda m, x: m.conv(x) * m.conv(x).sum().item(), "reads the numbers"),
        (lambda m, x: minicnn.Tensor(np.sign(m.conv(x).detach().numpy())), "reads the numbers"),
        (lambda m, x: minicnn.Tensor(np.asarray(m.conv(x)) + 1), "reads the numbers"),
        (lambda m, x: minicnn.tensor(m.conv(x).tolist()), "reads the numbers"),
        (lambda m, x: m.conv(x) * len(repr(m.conv(x))), "reads the numbers"),
        (lambda m, x: m.conv(x).argmax(1), "reads the numbers"),
        (lambda m, x: m.conv(x).data * 2, "reads the numbers"),
        (lambda m, x: write(minicnn.zeros(2, 3, 6, 6), 0, x[0]), "not the model's own"),
        (lambda m, x: m.conv(x) + 0 * minicnn.randn(1), "random numbers"),
        (lambda m, x: add_into(x, 1), "writes into"),
        (lambda m, x: add_into(x[:, :], 1), "writes into"),
        (lambda m, x: m.conv(x) + add_into(m.norm.running_mean[:2], 1).sum(), "writes into"),
        (lambda m, x: keep(m, m.conv(x)), "changes the model"),
        (lambda m, x: add_into(m.conv(x), minicnn.ones(1, 4, 1, 1).double()), "another dtype"),
        (lambda m, x: (lambda c: x * c + write(c, 0, 5.0))(minicnn.ones(6)), "not the model's own"),
        (lambda m, x: (lambda y, v: add_into(y, 1) + v)(*(lambda y: (y, y[:, :]))(m.conv(x))), "a view of a tensor"),
        (lambda m, x: (lambda y: (add_into(y[:, 1:], 1), y)[1])(m.conv(x)), "a view of a tensor"),
        (with_gradients, "switches gradients on"),
        (lambda m, x: {1, 2}, "returns a set"),
        (lambda m, x: (x, iter(())), "returns a tuple_iterator"),
    ],
)
def test_a_recording_that_would_not_hold_is_not_used(function: Callable[..., Any], reason: str) -> None:
    """Then the model runs as it is, and says so once; its first run is not repeated, for it may have changed things."""
    compiled = of(function)
    twin = copy.deepcopy(compiled.model)
    warned = []
    for seed in range(4):
        x = images((2, 3, 6, 6), seed=seed) + (-1) ** seed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got = compiled(minicnn.Tensor(x.numpy().copy()))
        warned += [str(warning.message) for warning in caught]
        if "random" not in reason and "iterator" not in reason:
            assert_close(got, plainly(twin, x), 1e-5)
    assert len(warned) == 1 and "Of is not compiled for inputs of shape (2, 3, 6, 6)" in warned[0], warned
    assert reason in warned[0]
    assert not compiled.plans


def test_a_tensor_of_the_model_as_its_input() -> None:
    """Then the recording could not tell the two."""
    model = randomised(Of(lambda m, x: F.relu(m.conv(x)) + m.template.sum()))
    model.template = images((2, 3, 6, 6))
    compiled = minicnn.compile(model)
    with pytest.warns(UserWarning, match="its input is one of its own tensors"):
        assert_close(compiled(model.template), plainly(model, model.template), 1e-4)
    assert_same(compiled, images((2, 3, 6, 6), seed=1))


def test_writing_in_place_is_followed() -> None:
    """As public code writes a residual block, and where nothing else shows the memory any more."""

    def forward(m: Any, x: Any) -> Any:
        out = m.norm(m.conv(x))
        out += x[:, :1]
        early = out.mean()  # before the write, and a copy
        out[:, :].mean()  # a view that nobody uses afterwards
        out.clamp_(min=0)
        late = out[:, 1:]  # of what is there now
        return early, out * 2, late

    compiled = of(forward)
    with compiling():
        for seed in range(2):
            assert_same(compiled, images((2, 3, 6, 6), seed=seed))


def test_a_model_whose_weights_another_thread_wrote_while_it_was_recorded_is_recorded_again() -> None:
    """It is left as it is for a few calls, not for good."""
    disturbed = [True]

    def forward(model: Any, x: Any) -> Any:
        if disturbed[0]:
            thread = threading.Thread(target=minicnn.no_grad()(lambda: model.conv.weight.mul_(1)))
            thread.start()
            thread.join()
        return model.conv(x)

    compiled, x = of(forward), images((2, 3, 6, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            compiled(x)
    assert not compiled.plans
    disturbed[0] = False
    for _ in range(6):
        assert_same(compiled, x)
    assert compiled.plans
