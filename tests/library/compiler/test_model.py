"""What ``compile`` returns: its plans, shapes, layouts, threads and memory, and what runs as it is."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.backend import cpu
from minicnn.backend.cpu import memory
from minicnn.models import create_model
from minicnn.nn import functional as F
from tests.library.support.inference import Of, assert_close, assert_same, of, plainly, randomised
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import compiling, images


def test_writing_into_a_result_harms_nothing() -> None:
    compiled, x = of(lambda m, x: (m.conv(x), m.conv.weight * 2, (m.conv.weight * 3)[:1])), images((2, 3, 6, 6))
    expected = plainly(compiled.model, x)
    for _ in range(2):
        for result in compiled(x):
            result.zero_()
    assert_close(compiled(x), expected, 1e-4)


def test_a_compiled_model_inside_another() -> None:
    inner = randomised(Of(lambda m, x: F.relu(m.norm(m.conv(x)))))
    outer = Of(lambda m, x: m.norm(m.held[0](x) + 1))
    outer.held = [minicnn.compile(inner)]
    compiled = minicnn.compile(randomised(outer))
    with compiling():
        for seed in range(2):
            assert_same(compiled, images((2, 3, 6, 6), seed=seed))


def test_several_shapes_share_their_filters() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    with compiling():
        for shape in ((2, 3, 32, 32), (1, 3, 32, 32), (3, 3, 20, 28), (2, 3, 32, 32)):
            assert_same(compiled, images(shape))
    assert len(compiled.plans) == 3
    filters = [{id(value) for _, value in plan.preparation.values} for plan in compiled.plans.values()]
    assert filters[0] == filters[1] == filters[2] and len(filters[0]) == 19


def test_there_are_never_too_many_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minicnn.compiler.model.MOST_PLANS", 3)
    compiled = of(lambda m, x: m.norm(m.conv(x)))
    for size in (4, 5, 6, 7, 8, 4):
        assert_same(compiled, images((1, 3, size, size)))
    assert len(compiled.plans) == 3


def test_inputs_of_every_layout() -> None:
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), np.random.default_rng(0).standard_normal((2, 6, 6, 3))
    frozen = x.astype("float32").transpose(0, 3, 1, 2).copy()
    frozen.flags.writeable = False
    for array in (x.astype("float32").transpose(0, 3, 1, 2), frozen, frozen[:, ::-1], frozen[:, :, ::-1, ::2]):
        assert_same(compiled, minicnn.Tensor(array))


def test_what_runs_as_it_is() -> None:
    """Nothing is to be won there; and who asks for single operations gets them."""
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), images((2, 3, 6, 6))
    with compiling():
        with cpu.plain():
            assert_same(compiled, x)
        with minicnn.detect_anomaly(), pytest.raises(minicnn.errors.AnomalyError):
            compiled(x * float("nan"))
        assert compiled(x[:0]).shape == (0, 4, 6, 6)
        assert not compiled.plans
        compiled.model.to(dtype=np.float16)
        for _ in range(2):
            assert compiled(x.to(np.float16)).dtype == np.float16


def test_only_modules_are_compiled() -> None:
    with pytest.raises(TypeError, match="expected an nn.Module, got function"):
        minicnn.compile(lambda x: x)  # type: ignore[arg-type]


def test_a_model_that_completes_itself_at_its_first_call_is_compiled_at_the_second() -> None:
    def forward(m: Any, x: Any) -> Any:
        if m.grid is None:
            m.grid = minicnn.arange(6.0)
        return m.conv(x) + m.grid

    model = Of(forward)
    model.grid = None
    compiled = minicnn.compile(randomised(model))
    with compiling():
        for _ in range(3):
            assert_same(compiled, images((2, 3, 6, 6)))
    assert len(compiled.plans) == 1


def test_errors_are_the_models_own() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    with pytest.raises(minicnn.errors.ShapeError, match="expected 3 input channels, got 4"):
        compiled(images((1, 4, 32, 32)))
    with compiling():
        assert_same(compiled, images((1, 3, 32, 32)))


def test_threads_share_a_compiled_model() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    inputs = [images((1 + seed % 2, 3, 32, 32), seed=seed) for seed in range(8)]
    expected = [plainly(compiled.model, x) for x in inputs]
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for i in range(10):
                place = (first + i) % len(inputs)
                assert_close(compiled(inputs[place]), expected[place], 1e-4)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(compiled.plans) == 2


def test_a_call_needs_little_memory_and_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three values at a time: what a block is given, what it has made of it, and what becomes of both."""
    monkeypatch.setattr(memory, "LARGE", 1)  # count small arrays too
    monkeypatch.setattr(cpu, "allow_winograd", False)  # its transformed tiles are four times the image
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(12)]
    compiled, x = minicnn.compile(randomised(nn.Sequential(*layers))), images((4, 16, 32, 32))
    compiled(x)
    before = memory.statistics()
    monkeypatch.setattr(memory._pool, "peak", before["in_use"])
    for _ in range(20):
        compiled(x)
    after = memory.statistics()
    assert (after["in_use"], after["segments"]) == (before["in_use"], before["segments"])
    assert after["peak"] - before["in_use"] < 5 * x.numpy().nbytes


class Scaled(nn.Module):
    """x times a weight, or times a number that is given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(minicnn.ones(3, 1, 1))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: minicnn.Tensor, factor: float = 1.0) -> minicnn.Tensor:
        return self.dropout(x * self.weight) * factor


def test_everything_else_is_the_models_own() -> None:
    model = Scaled()
    compiled = minicnn.compile(model)
    assert [id(p) for p in compiled.parameters()] == [id(model.weight)]
    assert compiled.state_dict().keys() == model.state_dict().keys()
    assert compiled.eval() is compiled and not model.training and not compiled.training
    assert compiled.train() is compiled and model.training
    twin = copy.deepcopy(compiled)
    assert twin.weight is twin.model.weight is not model.weight
    with pytest.raises(AttributeError, match="'Scaled' object has no attribute 'bias'"):
        compiled.bias  # noqa: B018


def test_arguments_by_name_reach_the_model() -> None:
    compiled, x = minicnn.compile(Scaled()).eval(), images((2, 3, 4, 4))
    with pytest.warns(UserWarning, match="^Scaled is not compiled for arguments by name; it runs eagerly$") as caught:
        np.testing.assert_array_equal(compiled(x, factor=3.0).detach().numpy(), 3 * x.numpy())
        np.testing.assert_array_equal(compiled(x=x).detach().numpy(), x.numpy())
    assert [warning.filename for warning in caught] == [__file__]
    assert not compiled.plans
