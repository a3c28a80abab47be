"""Many random numbers drawn in blocks on all cores; the result does not depend on the number of cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Draw: TypeAlias = "Callable[[np.ndarray, np.random.Generator], object]"  # a string: numpy.random is imported when used

BLOCK = 1 << 18  # numbers; a megabyte of float32, which stays in a core's cache while it is drawn and scaled


def draw_in_blocks(draw: Draw, out: np.ndarray, rng: np.random.Generator) -> None:
    """Let ``draw(part, generator)`` fill every part of the contiguous array ``out``.

    A small array is one part, drawn from ``rng`` itself. A large one is cut into blocks, each with its own stream,
    whose seed comes from ``rng``: so every number depends on the seed alone, not on the number of threads.
    """
    flat = out.reshape(-1)
    if flat.size < 2 * BLOCK:
        draw(flat, rng)
        return
    from concurrent.futures import ThreadPoolExecutor

    parts = [flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK)]
    seeds = rng.integers(0, 2**63, size=len(parts))

    def draw_part(part: np.ndarray, seed: np.int64) -> None:
        draw(part, np.random.Generator(np.random.SFC64(seed)))  # NumPy releases the interpreter lock

    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1)) as pool:
        list(pool.map(draw_part, parts, seeds))
