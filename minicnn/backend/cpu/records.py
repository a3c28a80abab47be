"""Groups of numbers for compiled code, which reads them by name.

In Python a group is a NamedTuple of integers, in an array it is a record: ``tile.rows`` in a kernel reads the field
``rows`` of a record of ``record(Tile)``. Numba takes an array of records as soon as one of integers, but a NamedTuple
or a single record several microseconds later. So a kernel that is called from Python takes arrays of records, of one
record where there is one, and hands ``array[0]`` on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


def record(kind: Any) -> np.dtype:
    """The dtype of the records with the fields of a NamedTuple, each a 64-bit integer."""
    return np.dtype([(name, np.int64) for name in kind._fields])


def one(values: Any, dtype: np.dtype) -> np.ndarray:
    """An array of one record; sooner than NumPy makes one of a list."""
    array = np.empty(1, dtype)
    array[0] = values
    return array


class Located(NamedTuple):
    """An array that is kept, and its address: to ask for one takes a microsecond or two."""

    array: np.ndarray
    address: int


def located(array: np.ndarray) -> Located:
    """The array with its address."""
    return Located(array, array.ctypes.data)
