"""Many tensors as one argument of a kernel: ``Tensors`` in ``kernels/optimizer.cu``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

TENSORS, COLUMNS, CHUNK = 64, 5, 8192  # as in kernels/optimizer.cu

TABLE = np.dtype(
    [
        ("sizes", np.int64, TENSORS),
        ("arrays", np.uint64, (COLUMNS, TENSORS)),
        ("ends", np.int32, TENSORS),
        ("first", np.int32),
    ],
    align=True,
)


class Table(NamedTuple):
    """Up to ``TENSORS`` tensors for one launch, a block for each chunk."""

    argument: np.ndarray  # 0-d; CuPy passes it by value
    chunks: int


def tables(columns: Sequence[Sequence[Any]]) -> Iterator[Table]:
    """The tensors of ``columns``, in order. They are not kept: free them after the launches, not before.

    Args:
        columns: lists of contiguous arrays, one entry per tensor: first the parameters, then what belongs to each;
            ``None`` is a null pointer.

    Raises:
        TypeError: for parameters that are neither float32 nor float64.
    """
    for array in columns[0]:
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"expected tensors of float32 or float64, got {array.dtype}: convert with .float()")
    for first in range(0, len(columns[0]), TENSORS):
        table = np.zeros((), TABLE)
        part = slice(first, first + TENSORS)
        sizes = [array.size for array in columns[0][part]]
        ends = list(accumulate(-(-size // CHUNK) for size in sizes))
        table["sizes"][: len(sizes)] = sizes
        table["ends"][: len(sizes)] = ends
        table["first"] = first
        for column, addresses in zip(columns, table["arrays"], strict=False):
            addresses[: len(sizes)] = [0 if array is None else array.data.ptr for array in column[part]]
        yield Table(table, ends[-1])
