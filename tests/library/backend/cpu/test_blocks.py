"""Blocks of rows and what they see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu.blocks import blocks_of, lines_of, rows_in_block
from minicnn.backend.cpu.sweep import forward_sweep


@given(st.integers(1, 60), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(0, 1 << 12))
def test_blocks_cover_the_positions_and_fit(height: int, stride: int, kernel: int, workers: int, most: int) -> None:
    window = Window((kernel, 1), (stride, 1), ((kernel, kernel), (0, 0)))
    sweep = forward_sweep(window, (height, 2))
    line = 8
    rows = rows_in_block(sweep, line, most, pieces=1, workers=workers)
    blocks = blocks_of(sweep, (1, height, 2, 1), x_pixel=4, itemsize=4, rows=rows)[0]
    assert (blocks["blocks"] - 1) * rows < blocks["positions"] <= blocks["blocks"] * rows
    assert rows == 1 or lines_of(sweep, rows) * line <= most
