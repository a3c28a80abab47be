"""Tables of many tensors: every tensor in one of them, with as many chunks as it needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minicnn.backend.cuda.tensors import CHUNK, TENSORS, tables

SIZES = st.lists(st.sampled_from([0, 1, CHUNK, CHUNK + 1, 3 * CHUNK]), min_size=1, max_size=2 * TENSORS + 1)


@example([1] * (TENSORS + 1))
@given(SIZES)
def test_every_tensor_is_in_a_table_once_with_its_chunks(cuda, sizes):
    params = [cuda.xp.empty(size, "float32") for size in sizes]
    buffers = [None if i % 2 else param for i, param in enumerate(params)]
    found = list(tables([params, buffers]))
    assert len(found) == -(-len(sizes) // TENSORS)
    listed = []
    for number, (table, chunks) in enumerate(found):
        held = min(TENSORS, len(sizes) - number * TENSORS)
        part = slice(number * TENSORS, number * TENSORS + held)
        assert table["first"] == part.start and table["sizes"][:held].tolist() == sizes[part]
        assert table["ends"][:held].tolist() == np.cumsum([-(-size // CHUNK) for size in sizes[part]]).tolist()
        assert chunks == table["ends"][held - 1]
        assert table["arrays"][1, :held].tolist() == [0 if b is None else b.data.ptr for b in buffers[part]]
        listed += table["arrays"][0, :held].tolist()
    assert listed == [param.data.ptr for param in params]


def test_integers_are_refused(cuda):
    with pytest.raises(TypeError, match="expected tensors of float32 or float64, got int64"):
        list(tables([[cuda.xp.zeros(2, "int64")]]))
