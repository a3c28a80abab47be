"""Deformable sampling in Numba beside the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.library.support.deformations import BACKENDS, deformations, run


@pytest.mark.parametrize("kind", ["between", "on"])
@given(st.data())
def test_backends_agree_in_gradients(kind, data):
    case = data.draw(deformations(offsets=kind))
    (_, slow), (_, fast) = (run(*case, name) for name in BACKENDS)
    assert slow.keys() == fast.keys()
    for name in slow:
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e30, -1e30])
def test_wild_offsets_read_nothing_and_take_no_neighbour_down(bad):
    x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1))
    offset = np.zeros((1, 2, 3, 3))
    offset[0, 0, 1, 1] = bad
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    value, gradients = run({"input": x, "offset": offset, "weight": weight, "bias": None, "mask": None}, options, "cpu")
    expected = np.ones((1, 1, 3, 3))
    expected[0, 0, 1, 1] = 0
    np.testing.assert_array_equal(value, expected)
    assert gradients["input"][0, 0, 1, 1] == 0 and np.isfinite(gradients["offset"]).all()
