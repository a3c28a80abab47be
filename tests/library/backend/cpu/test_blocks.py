"""Blocks of rows with the zeros around them: row by row, NumPy's padded image."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu.blocks import blocks_of, copy_padded_row, lines_of, rows_in_block, source_row
from minicnn.backend.cpu.sweep import forward_sweep

AXIS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 2))


@given(AXIS, AXIS, st.integers(1, 6), st.integers(1, 6), st.integers(0, 2), st.integers(1, 4))
def test_every_row_that_a_window_sees_is_a_row_of_the_padded_image(down, along, height, width, between, rows):
    kernel, stride, before, after, dilation = zip(down, along, strict=True)
    window = Window(kernel, stride, tuple(zip(before, after, strict=True)), dilation)
    assume(min(window.output_size((height, width))) > 0)
    sweep = forward_sweep(window, (height, width))
    whole = np.random.default_rng(0).standard_normal((2, height, width, 3 + between)).astype("f")
    x = whole[..., :3]  # channels of larger images
    blocks = blocks_of(sweep, x.shape, whole.shape[3] * 4, 4, rows)
    padded = np.pad(x, ((0, 0), *window.padding, (0, 0)))
    columns = sweep.seen[1]
    found = np.empty((columns, 3), np.float32)
    for image, row in np.ndindex(2, sweep.seen[0]):
        found[...] = np.nan
        source = source_row(blocks[0], whole.ctypes.data, image, row + sweep.first[0])
        copy_padded_row(blocks[0], source, found.ctypes.data)
        first = sweep.first[0] + window.padding[0][0], sweep.first[1] + window.padding[1][0]
        np.testing.assert_array_equal(found, padded[image, first[0] + row, first[1] : first[1] + columns])


@given(
    st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4)
)
def test_blocks_cover_the_image_and_fit_where_they_can(size, kernel, stride, most, pieces, workers):
    assume(size >= kernel)
    sweep = forward_sweep(Window((kernel, 1), (stride, 1)), (size, 1))
    rows = rows_in_block(sweep, 1, most * kernel, pieces, workers)
    assert 1 <= rows <= sweep.count[0]
    assert lines_of(sweep, rows) <= most * kernel or rows == 1
