"""What this processor can do at most, measured: multiply-adds out of its nearest memory, and bytes out of its farthest.

No network is faster than either roof allows [Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance
Model", CACM 52(4), 2009]: its multiply-adds over ``measure_peak()``, its bytes over ``measure_bandwidth()``. The first
runs the same register tile as every convolution here does, but on numbers that stay in the first-level cache, so that
nothing is left to wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .compiling import LOCK, kernel, threads
from .sharing import share_out
from .target import target
from .tiles import panels_table, product, repeated, rows_table, run_tiles, width

LENGTH = 128  # steps of the reduction: weights of 16 KiB and pixels of 7 KiB, within any first-level cache
SEGMENTS = 16  # how often a tile runs along them before it writes its sums
TILES = 256  # for each thread and run: about a millisecond
MEBIBYTE = 2**20


def measure_peak(seconds: float = 0.2) -> float:
    """FLOP/s (a multiply-add is two) in float32 of all threads together, each running its own tile.

    Args:
        seconds: how long to try; the fastest run counts.
    """
    rows, itemsize = target().tile_rows, 4
    columns = width(itemsize)
    pixels, weights = np.ones((rows, LENGTH), np.float32), np.ones((LENGTH, columns), np.float32)
    sums, segments = np.empty((threads(), rows, columns), np.float32), np.zeros(SEGMENTS, np.int64)
    common = product(
        np.dtype(np.float32), "relu", a_row=LENGTH * itemsize, a_step=itemsize, segments=segments.ctypes.data,
        segment_count=SEGMENTS, length=LENGTH, b_step=columns * itemsize, b_segment=0, y_row=columns * itemsize,
    )  # fmt: skip
    tiles = repeated(rows_table(rows, LENGTH * itemsize, columns * itemsize), TILES, 0, 0)
    panels, places = panels_table(columns, itemsize, 0), (pixels.ctypes.data, weights.ctypes.data, sums.ctypes.data)

    def run() -> None:
        _run_everywhere(common, tiles, panels, *places, sums.strides[0], threads())

    with LOCK:
        return 2 * sums.size * LENGTH * SEGMENTS * TILES / _fastest(run, seconds)


def measure_bandwidth(seconds: float = 0.5, mebibytes: int = 128) -> float:
    """Bytes per second at which all threads together add two arrays into a third: two are read, one is written.

    Args:
        seconds: how long to try; the fastest run counts.
        mebibytes: of each array. Three of 128 MiB are more than most last-level caches hold.
    """
    x, y, total = (np.ones(mebibytes * MEBIBYTE // 4, np.float32) for _ in range(3))
    with LOCK:
        return 3 * x.nbytes / _fastest(lambda: _add_everywhere(x, y, total, threads()), seconds)


def _fastest(run: Callable[[], None], seconds: float) -> float:
    """Seconds of the fastest of the runs that fit into ``seconds``; one before them warms up."""
    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


@kernel()
def _run(part, product, tiles, panels, pixels, weights, sums, sums_step):
    run_tiles(product, tiles, panels, pixels, weights, sums + part * sums_step, 0)


@kernel()
def _run_everywhere(products, tiles, panels, pixels, weights, sums, sums_step, parts):
    share_out(parts, _run, (products[0], tiles, panels, pixels, weights, sums, sums_step))


@kernel()
def _add(part, x, y, total, parts):
    first, last = part * x.size // parts, (part + 1) * x.size // parts
    x, y, total = x[first:last], y[first:last], total[first:last]
    for i in range(x.size):
        total[i] = x[i] + y[i]


@kernel()
def _add_everywhere(x, y, total, parts):
    share_out(parts, _add, (x, y, total, parts))
