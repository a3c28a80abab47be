"""Order: Python's stable sort, also where values are equal, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn

VALUES = st.lists(st.integers(-3, 3), min_size=1, max_size=9)  # many ties


@given(values=VALUES, descending=st.booleans())
def test_sorting_is_stable_in_both_directions(values, descending):
    x = minicnn.tensor(values)
    order = sorted(range(len(values)), key=lambda i: -values[i] if descending else values[i])
    found = x.sort(descending=descending)
    assert x.argsort(descending=descending).tolist() == found.indices.tolist() == order
    assert found.values.tolist() == sorted(values, reverse=descending)


@given(values=VALUES, largest=st.booleans(), data=st.data())
def test_the_best_come_first_and_the_gradient_goes_back_to_them(values, largest, data):
    k = data.draw(st.integers(0, len(values)))
    x = minicnn.tensor([[float(v) for v in values]] * 2, requires_grad=True)
    best = x.topk(k, dim=1, largest=largest)
    order = sorted(range(len(values)), key=lambda i: -values[i] if largest else values[i])[:k]
    assert best.indices.tolist() == [order] * 2
    assert best.values.tolist() == [[values[i] for i in order]] * 2
    best.values.sum().backward()
    assert x.grad.tolist() == [[float(i in order) for i in range(len(values))]] * 2


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="expected k between 0 and 3, the length of dimension 1, got 4"):
        minicnn.zeros(2, 3).topk(4, 1)
