"""The filters of a sweep, packed."""

from __future__ import annotations

import numpy as np

from minicnn.backend.cpu.filters import Filters, padded_bias
from minicnn.backend.cpu.tiles import width
from tests.library.support import strategies


def test_turned_filters_are_those_of_the_transpose() -> None:
    weight = strategies.normal((5, 7, 3, 3), 0).astype("float32")
    turned = Filters(weight, 1, tuple(range(9)), turned=True).panels.array
    transposed = np.ascontiguousarray(weight.transpose(1, 0, 2, 3))
    assert np.array_equal(turned, Filters(transposed, 1, tuple(range(9))).panels.array)


def test_later_writes_are_not_seen() -> None:
    weight = np.ones((4, 3, 1, 1), np.float32)
    filters = Filters(weight, 1, (0,))
    weight[...] = 2
    assert filters.panels.array.max() == 1


def test_a_bias_is_padded_per_group() -> None:
    bias = padded_bias(np.arange(6, dtype=np.float32), 2).array.reshape(2, -1)
    assert bias.shape == (2, width(4)) and bias[:, :3].tolist() == [[0, 1, 2], [3, 4, 5]] and not bias[:, 3:].any()
