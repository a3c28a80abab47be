"""Winograd's form of the 3x3 convolution against im2col in float64, forward and both gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv, memory, weight_grad, winograd, winograd_weight
from minicnn.backend.cpu.sweep import forward_sweep, input_grad_sweeps
from minicnn.backend.cpu.target import target
from minicnn.backend.reference import conv as reference
from tests.library.support import strategies
from tests.library.support.convolutions import ACTIVATIONS

pytestmark = pytest.mark.skipif(not target().fma, reason="not used without fused multiply-adds")
LANES = target().lanes(4)
PADDED = Window((3, 3), (1, 1), ((1, 1), (1, 1)))


@pytest.fixture(autouse=True)
def small_problems(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Use it for small problems too, with small blocks; the list says what it was used for."""
    used: list[str] = []
    for module, function in ((winograd, "run_sweep"), (winograd_weight, "sums")):
        compute = getattr(module, function)
        monkeypatch.setattr(
            module, function, lambda *a, compute=compute, name=function, **k: (used.append(name), compute(*a, **k))[1]
        )
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    monkeypatch.setattr(winograd, "PATCHES", 5)
    monkeypatch.setattr(winograd, "BLOCK_BYTES", 1)
    monkeypatch.setattr(winograd, "WORTH", winograd.Worth(gain=0, patches=0))
    monkeypatch.setattr(winograd_weight, "WORTH", winograd.Worth(gain=0, patches=7))
    monkeypatch.setattr(winograd_weight, "BLOCK_BYTES", 1)
    plans = winograd.winograd_plan, winograd_weight.winograd_weight_grad_plan
    for plan in plans:
        plan.cache_clear()
    yield used
    for plan in plans:
        plan.cache_clear()


def agree(result: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to some roundings in float32, relative to the largest number."""
    assert result.shape == expected.shape and result.dtype == np.float32
    assert abs(result - expected).max() <= 3e-6 * abs(expected).max()


CHANNELS = st.sampled_from((2 * LANES, 3 * LANES, 4 * LANES))
SIZES = st.integers(4, 13)  # odd and even: the last patches may hang over the edge


@given(CHANNELS, CHANNELS, SIZES, SIZES, st.integers(1, 3), st.tuples(*[st.integers(0, 2)] * 4), strategies.SEEDS)
def test_forward_and_gradients(
    channels: int, filters: int, height: int, width: int, n: int, padding: Any, seed: int
) -> None:
    window = Window((3, 3), (1, 1), (padding[:2], padding[2:]))
    if min(window.output_size((height, width))) < 1:
        return
    x, weight = strategies.normal((n, channels, height, width), seed), strategies.normal((filters, channels, 3, 3), 1)
    expected = reference.conv2d(x.astype("f").astype("d"), weight.astype("f").astype("d"), window)
    dy = strategies.random_cotangent(expected.shape).astype("f").astype("d")
    x, weight = x.astype("f"), weight.astype("f")
    with memory.guarded():
        agree(conv.conv2d(x, weight, window), expected)
        agree(
            conv.conv2d_input_grad(dy.astype("f"), weight, x.shape, window),
            reference.conv2d_input_grad(dy, weight.astype("d"), x.shape, window),
        )
        agree(
            weight_grad.conv2d_weight_grad(dy.astype("f"), x, weight.shape, window),
            reference.conv2d_weight_grad(dy, x.astype("d"), weight.shape, window),
        )


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bias_residual_and_activation(small_problems: list[str], residual: bool, activation: str | None) -> None:
    x = strategies.normal((2, 2 * LANES, 7, 9), 0).astype("f")
    weight, bias = strategies.normal((3 * LANES, 2 * LANES, 3, 3), 1).astype("f"), strategies.normal((3 * LANES,), 2)
    other = strategies.normal((2, 3 * LANES, 7, 9), 3).astype("f") if residual else None
    with memory.guarded():
        result = conv.Packed(weight, PADDED, 1, bias.astype("f"))(x, other, activation=activation)
    expected = reference.conv2d(x.astype("d"), weight.astype("d"), PADDED) + bias[:, None, None]
    expected = expected + (0 if other is None else other)
    agree(result, ACTIVATIONS[activation](expected))
    assert small_problems == ["run_sweep"]


def test_filters_are_kept_in_one_form(small_problems: list[str]) -> None:
    weight = strategies.normal((2 * LANES, 2 * LANES, 3, 3), 1).astype("f")
    packed = conv.Packed(weight, PADDED, again=lambda: weight)
    for side, form in (
        (8, "_transformed"),
        (2, "_panels"),
        (6, "_transformed"),
        (3, "_panels"),
    ):  # below 4 it is not used
        x = strategies.normal((2, 2 * LANES, side, side), side).astype("f")
        agree(packed(x), reference.conv2d(x.astype("d"), weight.astype("d"), PADDED))
        kept = {name for name in ("_panels", "_transformed") if getattr(packed.filters, name) is not None}
        assert kept == {form}
    assert small_problems == ["run_sweep", "run_sweep"]


def test_where_it_is_used(small_problems: list[str]) -> None:
    x, weight = np.ones((2, 2 * LANES, 6, 6), np.float32), np.ones((2 * LANES, 2 * LANES, 3, 3), np.float32)
    y = conv.conv2d(x, weight, PADDED)
    conv.conv2d_input_grad(y, weight, x.shape, PADDED)
    weight_grad.conv2d_weight_grad(y, x, weight.shape, PADDED)
    assert small_problems == ["run_sweep", "run_sweep", "sums"]


@pytest.mark.parametrize(
    "change",
    [
        {"window": PADDED._replace(stride=(2, 2))},
        {"window": PADDED._replace(dilation=(1, 2))},
        {"window": Window((3, 2))},
        {"window": Window((3, 3))._replace(kernel_size=(3, 4))},
        {"channels": 2 * LANES + 1},
        {"filters": LANES},
        {"groups": 2},
        {"dtype": np.float64},
        {"size": (3, 9)},
    ],
    ids=str,
)
def test_where_it_is_not_used(change: dict[str, Any]) -> None:
    case = {
        "window": PADDED,
        "channels": 2 * LANES,
        "filters": 2 * LANES,
        "groups": 1,
        "dtype": np.float32,
        "size": (9, 9),
    }
    case |= change
    sweep = forward_sweep(case["window"], case["size"])
    x_shape = (2, *case["size"], case["channels"])
    assert not winograd.suits(sweep, x_shape, case["filters"], case["groups"], np.dtype(case["dtype"]))
    phases = input_grad_sweeps(PADDED._replace(stride=(2, 2)), (9, 9))
    assert not any(phase.square for phase in phases)
