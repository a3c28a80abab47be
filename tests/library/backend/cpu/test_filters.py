"""Filters packed for a sweep: each weight once, zeros beside them, and biases with their filters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu.filters import Filters, padded_bias
from minicnn.backend.cpu.sweep import forward_sweep
from minicnn.backend.cpu.tiles import width


@pytest.mark.parametrize("turned", [False, True])
@given(groups=st.integers(1, 3), filters=st.integers(1, 40), channels=st.integers(2, 3), kernel=st.integers(1, 2))
def test_every_weight_is_there_once_and_all_else_is_zero(turned, groups, filters, channels, kernel):
    weight = 1 + np.arange(groups * filters * channels * kernel, dtype="f").reshape(-1, channels, kernel, 1)
    sweep = forward_sweep(Window((kernel, 1)), (5, 5))
    panels = Filters(weight, groups, sweep.numbers, turned).panels.array
    assert len(panels) == groups and panels.shape[-1] == width(4)
    assert sorted(panels[panels != 0].tolist()) == weight.ravel().tolist()


@given(groups=st.integers(1, 3), own=st.integers(1, 70))
def test_a_bias_stands_where_its_filter_does(groups, own):
    bias = 1 + np.arange(groups * own, dtype="f")
    padded = padded_bias(bias, groups).array.reshape(groups, -1)
    assert padded.shape[1] % width(4) == 0
    np.testing.assert_array_equal(padded[:, :own], bias.reshape(groups, own))
    assert not padded[:, own:].any()


def test_later_writes_are_not_seen() -> None:
    weight = np.ones((4, 3, 1, 1), np.float32)
    filters = Filters(weight, 1, (0,))
    weight[...] = 2
    assert filters.panels.array.max() == 1
