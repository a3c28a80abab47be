"""Joining tensors and taking them apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library.support.strategies import arrays, shapes


@given(x=arrays(shapes(min_dims=1)), count=st.integers(1, 5))
def test_chunks_and_slices_put_together_again(x, count):
    t = minicnn.tensor(x)
    np.testing.assert_array_equal(minicnn.cat(t.chunk(count)).numpy(), x)
    assert len(t.chunk(count)) <= count
    np.testing.assert_array_equal(minicnn.stack(t.unbind(-1), -1).numpy(), x)
    assert len(t.unbind(-1)) == x.shape[-1]


def test_cat_promotes():
    whole, short, long = minicnn.tensor([1]), minicnn.tensor([1.0]), minicnn.tensor([1.0], dtype=minicnn.float64)
    assert minicnn.cat([whole, short]).dtype == np.float32
    assert minicnn.cat([short, long]).dtype == np.float64
    assert minicnn.stack([whole, whole]).dtype == np.int64
