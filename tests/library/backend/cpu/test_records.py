<<<<<<< HEAD
"""Records: the fields of a NamedTuple, read by name in compiled code and in NumPy."""
=======
"""Groups of numbers, made in Python and read by name in compiled code."""
>>>>>>> refs/heads/cpuconv

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
<<<<<<< HEAD
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
=======
import pytest

from minicnn.backend.cpu.microkernel import PANEL, PRODUCT, TILE, Tile, call_tile
from minicnn.backend.cpu.records import located, one, record


class Size(NamedTuple):
    height: int
    width: int


@numba.njit
def area(sizes):
    return sizes[0].height * 10 + sizes[0].width


def test_a_kernel_reads_the_fields_by_name() -> None:
    assert area(one(Size(height=3, width=4), record(Size))) == 34


def test_an_array_is_kept_with_its_address() -> None:
    array = np.zeros(3)
    assert located(array) == (array, array.ctypes.data)


def test_a_tile_takes_no_record_of_another_kind() -> None:
    """It is called with addresses, which do not show the kind."""
    tile = one(Tile(0, 0, 1), TILE)
    called = numba.njit(lambda products, tiles, panels: call_tile(products[0], tiles[0], panels[0], 0, 0, 0, 0, 0))
    with pytest.raises((AssertionError, numba.errors.TypingError)):
        called(tile, tile, np.zeros(1, PANEL))
    assert PRODUCT.names is not None and PRODUCT.names[0] == "function"
>>>>>>> refs/heads/cpuconv
