"""Panels of weights and pixels: packing and unpacking by their formulas."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory, packing, tiles
from minicnn.backend.cpu.microkernel import VECTORS
from minicnn.backend.cpu.target import target
from tests.library.support import strategies

DTYPES = {"float32": 1e-5, "float64": 1e-13}


@given(st.integers(1, 70), st.integers(1, 5), st.sampled_from((4, 8)))
def test_panels_cover_the_filters(columns: int, repeats: int, size: int) -> None:
    lanes = target().lanes(size)
    widths = tiles.panel_widths(columns, size)
    assert [first for first, _, _ in widths] == list(range(0, columns, VECTORS * lanes))
    assert sum(used for _, _, used in widths) == columns
    assert all((vectors - 1) * lanes < used <= vectors * lanes for _, vectors, used in widths)
    table = tiles.repeated(tiles.rows_table(columns, 3, 5), repeats, 1000, 2000)
    reached = [(tile["read"] // 1000, tile["read"] % 1000 // 3 + i) for tile in table for i in range(tile["rows"])]
    assert sorted(reached) == [(n, row) for n in range(repeats) for row in range(columns)]


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.sampled_from(tuple(DTYPES)), strategies.SEEDS)
def test_packing_is_its_formula(filters: int, channels: int, taps: int, dtype: str, seed: int) -> None:
    weight = strategies.normal((filters, channels, taps), seed).astype(dtype)
    order = tuple(np.random.default_rng(seed).permutation(taps)[: 1 + seed % taps].tolist())
    with memory.guarded():
        forward = packing.pack(weight, filters, channels, tuple(range(taps)), channels * taps, taps)
        turned = packing.pack(weight, channels, filters, order, taps, channels * taps)
    width = VECTORS * target().lanes(weight.itemsize)
    for packed, wanted in (
        (forward, weight.transpose(2, 1, 0).reshape(-1, filters)),
        (turned, weight.transpose(2, 0, 1)[list(order)].reshape(-1, channels)),
    ):
        columns = wanted.shape[1]
        padded = np.zeros((len(wanted), len(packed) * width), dtype)
        padded[:, :columns] = wanted
        assert np.array_equal(packed, padded.reshape(len(wanted), -1, width).transpose(1, 0, 2))


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.sampled_from(tuple(DTYPES)))
def test_unpacking_is_its_formula(filters: int, channels: int, taps: int, dtype: str) -> None:
    sums = strategies.normal((taps * channels, filters + 3), 0).astype(dtype)
    with memory.guarded() as pool:
        result = pool.empty((filters, channels * taps), dtype)
        packing.unpack(sums, channels, result)
    assert np.array_equal(
        result.reshape(filters, channels, taps), sums[:, :filters].reshape(taps, channels, filters).transpose(2, 1, 0)
    )


@numba.njit
def copied_strips(to, to_step, source, source_step, count, size):
    """The intrinsic, called from Python."""
    packing.copy_strips(to, to_step, source, source_step, count, size)


@given(st.integers(1, VECTORS * target().lanes(4)), st.integers(0, 3), st.integers(1, 40))
def test_strips_of_every_length_are_copied_and_nothing_between_them(length: int, gap: int, count: int) -> None:
    pixels = strategies.normal((count, length + 5), length).astype("float32")
    with memory.guarded() as pool:
        panel = pool.empty(((count - 1) * (length + gap) + length,), "float32")
        copied_strips(
            panel.ctypes.data, 4 * (length + gap), pixels[:, 2:].ctypes.data, pixels.strides[0], count, 4 * length
        )
    for strip in range(count):
        place = strip * (length + gap)
        assert np.array_equal(panel[place : place + length], pixels[strip, 2 : 2 + length])
        assert np.isnan(panel[place + length : place + length + gap]).all()
