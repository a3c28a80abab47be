"""Which tiles a product is cut into, and where sums start and end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import tiles
from minicnn.backend.cpu.microkernel import VECTORS
from minicnn.backend.cpu.target import target


@given(st.integers(1, 300))
def test_split_fills_the_rows_with_tiles_that_exist(count: int) -> None:
    heights = tiles.split(count)
    assert sum(heights) == count and set(heights) <= set(target().row_counts)
    assert len(heights) <= -(-count // target().tile_rows) + 2


def test_where_sums_start_and_end() -> None:
    """``floor`` and ``zeros`` are what tiles read whole vectors of."""
    assert tiles.zeros(4).size == VECTORS * target().lanes(4)
    assert tiles.floor(np.dtype("float32"), "relu")[0] == 0 and tiles.floor(np.dtype("float64"))[0] == -np.inf
