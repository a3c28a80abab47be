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
from .microkernel import PANEL, PRODUCT, TILE, VECTORS, Panel, Product, call_tile, tile_function
from .records import one, record
from .sharing import share_out
from .silu import call_rows, rows_function
from .target import target


class Arrays(NamedTuple):
    """Addresses of the arrays of one call, to which the offsets in the tables are added."""

    x: int
    weights: int
    y: int
    residual: int = 0  # like y; 0 for none


ARRAYS = record(Arrays)


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
    """Tiles along ``count`` rows that lie ``read_step`` and ``write_step`` bytes apart."""
    heights = np.array(split(count), np.int64)
    starts = np.cumsum(heights) - heights
    table = np.zeros(len(heights), TILE)
    table["read"], table["write"], table["rows"] = starts * read_step, starts * write_step, heights
    return table


def repeated(table: np.ndarray, count: int, read_step: int, write_step: int) -> np.ndarray:
    """The tiles of ``table`` ``count`` times over, each time moved on by these steps in bytes."""
    copies = np.tile(table, (count, 1))
    times = np.arange(count)[:, None]
    copies["read"] += times * read_step
    copies["write"] += times * write_step
    return copies.reshape(-1)


def width(itemsize: int) -> int:
    """Filters in a full panel, or channels in a chunk of a depthwise convolution."""
    return VECTORS * target().lanes(itemsize)


def panel_widths(columns: int, itemsize: int) -> list[tuple[int, int, int]]:
    """``columns`` (filters) in panels: (first column, vectors, columns used) of each."""
    lanes = target().lanes(itemsize)
    found = []
    for first in range(0, columns, VECTORS * lanes):
        used = min(VECTORS * lanes, columns - first)
        found.append((first, -(-used // lanes), used))
    return found


def panels_table(columns: int, itemsize: int, step: int, bias: bool = False) -> np.ndarray:
    """The panels of ``columns`` filters, whose weights lie ``step`` bytes apart; ``bias``: padded to whole panels."""
    rows = [
        Panel(
            weights=number * step, read=0, write=first * itemsize, vectors=vectors, lanes=used,
            start=first * itemsize if bias else 0,
        )
        for number, (first, vectors, used) in enumerate(panel_widths(columns, itemsize))
    ]  # fmt: skip
    return np.array(rows, PANEL)


def product(dtype: np.dtype, activation: str | None = None, spread: bool = True, **numbers: int) -> np.ndarray:
    """An array of one record of ``Product``: the tiles of a dtype, starting at zeros."""
    silu = rows_function(dtype) if activation == "silu" else 0
    common = {
        "function": tile_function(dtype, spread), "start": zeros(dtype.itemsize).ctypes.data,
        "floor": floor(dtype, activation).ctypes.data, "silu": silu,
    }  # fmt: skip
    return one(Product(**(common | numbers)), PRODUCT)


@kernel()
def run_tiles(product, tiles, panels, x, weights, y, residual):
    """Every tile with every panel. ``residual`` is an address like ``y``, or 0."""
    for number in range(len(panels)):
        panel = panels[number]
        for index in range(len(tiles)):
            tile = tiles[index]
            # The first panel finds the pixels in memory, all others in the cache: have the next tile's fetched.
            following = index + 1 < len(tiles) and number == 0
            ahead = x + tiles[index + 1].read + panel.read if following else weights + panel.weights
            call_tile(product, tile, panel, x, weights, y, residual, ahead)
            if product.silu != 0:
                call_rows(product.silu, y + tile.write + panel.write, product.y_row, tile.rows, panel.lanes)


@kernel()
def part_of(table, number, parts):
    """Part ``number`` of a table that is cut into parts of nearly equal length."""
    return table[number * len(table) // parts : (number + 1) * len(table) // parts]


@kernel()
def _run_part(job, product, tiles, panels, arrays, tile_parts, panel_parts):
    some, block = part_of(tiles, job % tile_parts, tile_parts), part_of(panels, job // tile_parts, panel_parts)
    run_tiles(product, some, block, arrays.x, arrays.weights, arrays.y, arrays.residual)


@kernel()
def share_tiles(products, tiles, panels, arrays, tile_parts, panel_parts):
    """``run_tiles`` for each part of the tiles and each part of the panels, on all threads."""
    arguments = (products[0], tiles, panels, arrays[0], tile_parts, panel_parts)
    share_out(tile_parts * panel_parts, _run_part, arguments)


@cache
def zeros(itemsize: int) -> np.ndarray:
    """Two vectors of zeros: where sums start that have no bias."""
    return np.zeros(width(itemsize), f"f{itemsize}")


@cache
def floor(dtype: np.dtype, activation: str | None = None) -> np.ndarray:
    """The least result: 0 after a ReLU."""
    return np.array([0.0 if activation == "relu" else -np.inf], dtype)
