"""Records: the fields of a NamedTuple, read by name in compiled code and in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu.records import record

INT64 = st.integers(-(2**63), 2**63 - 1)


class Sizes(NamedTuple):
    rows: int
    columns: int
    step: int = 7


@numba.njit
def third(sizes, place):
    return sizes[place].rows, sizes[place].columns, sizes[place].step


@given(st.lists(st.tuples(INT64, INT64), min_size=1, max_size=4))
def test_compiled_code_reads_what_python_wrote(pairs):
    written = [Sizes(*pair) for pair in pairs]
    array = np.array(written, record(Sizes))
    assert array.dtype.names == Sizes._fields and array.itemsize == 8 * len(Sizes._fields)
    for place, sizes in enumerate(written):
        assert third(array, place) == sizes
    assert array["step"].tolist() == [7] * len(written)
