"""Which arrays of a list a kernel can walk through in one call, and where they lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu.addresses import table_of

# An array to write into, and whether a kernel can do it.
KINDS = {
    "plain": (lambda: np.zeros((2, 3), np.float32), True),
    "Fortran": (lambda: np.zeros((3, 2), np.float32).T, True),
    "channels last": (lambda: np.zeros((1, 2, 2, 3), np.float32).transpose(0, 3, 1, 2), True),
    "of another dtype": (lambda: np.zeros(3), False),
    "with gaps": (lambda: np.zeros((2, 6), np.float32)[:, ::2], False),
    "empty": (lambda: np.zeros((0, 3), np.float32), False),
    "read-only": (lambda: np.broadcast_to(np.float32(0), (2, 3)), False),
}


@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=6), other_order=st.booleans())
def test_what_lies_in_one_piece_is_in_the_table(kinds, other_order):
    made = [np.zeros(4, np.float32), *(KINDS[kind][0]() for kind in kinds)]
    averages = [np.zeros_like(x) for x in made]
    grads = [np.ones(x.shape, x.dtype, "F" if other_order else "C") for x in made]
    table = table_of([made, averages], grads)
    fitting = [0, *(place for place, kind in enumerate(kinds, 1) if KINDS[kind][1])]
    assert table.dtype == np.float32
    assert table.places == fitting
    assert table.others == sorted(set(range(len(made))) - set(fitting))
    assert table.numbers == sum(made[place].size for place in fitting)


def test_parameters_that_share_memory_are_not_done_at_once():
    x = np.zeros(8, np.float32)
    table = table_of([[x[:5], x[4:]]], [np.ones(5, np.float32), np.ones(4, np.float32)])
    assert (table.places, table.others) == ([], [0, 1])
