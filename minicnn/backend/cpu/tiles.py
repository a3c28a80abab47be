"""Which tiles a product is cut into, and the loop that runs them.

A convolution becomes a table of tiles (where each reads its pixels and writes its results) and a table of panels
(where the weights of each block of filters lie). Every tile meets every panel. The tables are made in NumPy; the
compiled loop only follows them, so that all geometry can be read, and tested, in Python.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from .compiling import kernel
from .microkernel import VECTORS, address_of, call_tile
from .moments import call_gather, gather_function
from .sharing import share_out
from .silu import call_rows, rows_function
from .target import target

# Columns of a table of tiles, offsets in bytes.
READ, WRITE, ROWS = range(3)
# Columns of a table of panels; the first three and the last are addresses and offsets in bytes.
WEIGHTS, READ_MORE, WRITE_MORE, WIDTH, LANES, START = range(6)


@cache
def split(count: int) -> tuple[int, ...]:
    """``count`` rows as heights of tiles, cheapest first.

    A tile of fewer than four rows takes as long as one of four: its sums wait for each other.
    """
    heights = target().row_counts
    cost = [0.0] + [float("inf")] * min(count, 4 * heights[0])
    last = [0] * len(cost)
    for total in range(1, len(cost)):
        for height in heights:
            if height <= total:
                price = cost[total - height] + max(height, 4) + 0.5
                if price < cost[total]:
                    cost[total], last[total] = price, height
    full = max(0, -(-(count - len(cost) + 1) // heights[0]))
    found, left = [heights[0]] * full, count - full * heights[0]
    while left:
        found.append(last[left])
        left -= last[left]
    return tuple(sorted(found, reverse=True))


def rows_table(count: int, read_step: int, write_step: int) -> np.ndarray:
    """Tiles along ``count`` rows that lie ``read_step`` and ``write_step`` bytes apart: (tiles, 3)."""
    heights = np.array(split(count), np.int64)
    starts = np.cumsum(heights) - heights
    return np.stack([starts * read_step, starts * write_step, heights], axis=1)


def repeated(table: np.ndarray, count: int, read_step: int, write_step: int) -> np.ndarray:
    """The tiles of ``table`` ``count`` times over, each time moved on by these steps in bytes."""
    moves = np.arange(count, dtype=np.int64)[:, None] * np.array([read_step, write_step, 0], np.int64)
    return (moves[:, None] + table).reshape(-1, 3)


def panel_widths(columns: int, itemsize: int) -> list[tuple[int, int, int]]:
    """``columns`` (filters) in panels: (first column, vectors, columns used) of each."""
    lanes = target().lanes(itemsize)
    found = []
    for first in range(0, columns, VECTORS * lanes):
        used = min(VECTORS * lanes, columns - first)
        found.append((first, -(-used // lanes), used))
    return found


class Product(NamedTuple):
    """What all tiles of a product have in common; steps in bytes."""

    function: int  # from ``microkernel.tile_function``
    a_row: int
    a_step: int
    segments: np.ndarray  # (count,) offsets of the stretches that the reduction runs along
    length: int  # of each stretch, in numbers
    b_step: int
    b_segment: int
    y_row: int
    start: np.ndarray | None  # where the sums start: two vectors; ``None`` if the table of panels has the addresses
    floor: np.ndarray  # (1,) no result is less: 0 for a ReLU, else minus infinity
    silu: int = 0  # from ``silu.rows_function``: applied to the results of each tile, while they are in the cache

    def numbers(self) -> np.ndarray:
        """For the compiled loop. The arrays must outlive it."""
        return np.array(
            [
                self.function, self.a_row, self.a_step, self.segments.ctypes.data, len(self.segments), self.length,
                self.b_step, self.b_segment, self.y_row, 0 if self.start is None else self.start.ctypes.data,
                self.floor.ctypes.data,
                self.silu,
                gather_function(),
            ],
            np.int64,
        )  # fmt: skip


@kernel()
def run_tiles(product, tiles, panels, x, y, residual, sums=0, between=0):
    """Every tile with every panel. ``residual`` is an address like ``y``, or 0.

    With ``sums``, an address, the results' moments are added there: see ``moments.py``.
    """
    function, a_row, a_step, segments, count, length = product[:6]
    b_step, b_segment, y_row, start, floor, silu, gather = product[6:13]
    for number in range(len(panels)):
        panel = panels[number]
        for index in range(len(tiles)):
            tile = tiles[index]
            # The first panel finds the pixels in memory, all others in the cache: have the next tile's fetched.
            following = index + 1 < len(tiles) and number == 0
            ahead = x + tiles[index + 1, READ] + panel[READ_MORE] if following else panel[WEIGHTS]
            write = tile[WRITE] + panel[WRITE_MORE]
            call_tile(
                function, tile[ROWS], panel[WIDTH], x + tile[READ] + panel[READ_MORE], a_row, a_step, segments, count,
                length, panel[WEIGHTS], b_step, b_segment, start + panel[START], y + write, y_row, panel[LANES],
                residual + write if residual != 0 else 0, floor, ahead,
            )  # fmt: skip
            if silu != 0:
                call_rows(silu, y + write, y_row, tile[ROWS], panel[LANES])
            if sums != 0:  # 8 bytes for each of 4
                place = sums + 2 * panel[WRITE_MORE]
                call_gather(gather, y + write, y_row, tile[ROWS], panel[LANES], place, between)


@kernel()
def _run_part(job, product, tiles, panels, x, y, residual, tile_cuts, panel_cuts, sums):
    parts = tile_cuts.size - 1
    part, block = job % parts, job // parts
    run_tiles(
        product,
        tiles[tile_cuts[part] : tile_cuts[part + 1]],
        panels[panel_cuts[block] : panel_cuts[block + 1]],
        x,
        y,
        residual,
        address_of(sums[job]) if sums.shape[2] else 0,
        sums.shape[2] * 8,
    )


@kernel()
def share_tiles(product, tiles, panels, x, y, residual, tile_cuts, panel_cuts, sums):
    """``run_tiles`` for each part of the tiles and each block of panels, on all threads."""
    jobs = (tile_cuts.size - 1) * (panel_cuts.size - 1)
    share_out(jobs, _run_part, (product, tiles, panels, x, y, residual, tile_cuts, panel_cuts, sums))


NO_SUMS = np.zeros((1, 2, 0))  # for ``share_tiles``


def cuts(count: int, parts: int) -> np.ndarray:
    """``count`` things in ``parts`` runs of nearly equal length: where each begins, and the end."""
    return np.arange(parts + 1) * count // parts


def zeros(itemsize: int) -> np.ndarray:
    """Two vectors of zeros: where sums start that have no bias."""
    return np.zeros(VECTORS * target().lanes(itemsize), f"f{itemsize}")


def floor(dtype: np.dtype, activation: str | None = None) -> np.ndarray:
    """The least result: 0 behind a ReLU."""
    return np.array([0.0 if activation == "relu" else -np.inf], dtype)


def silu_function(dtype: np.dtype, activation: str | None) -> int:
    """What ``Product`` takes for an activation."""
    return rows_function(dtype) if activation == "silu" else 0
