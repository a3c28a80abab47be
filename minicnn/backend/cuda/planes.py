"""How many threads share a plane of an image. ``FOR_EACH_GROUP`` in ``kernels/common.cuh`` is the other side."""

from __future__ import annotations

from functools import cache
from math import prod

from .compiler import BLOCK

JOBS = 1024  # blocks to keep a large GPU busy: where there are fewer, each job is cut
PIXELS = 8  # of each thread, about: fewer are not worth the way to the plane
TOGETHER = 8  # threads whose neighbouring numbers come from memory in one access


@cache
def lanes_for(size: tuple[int, ...]) -> int:
    """How many threads take a plane of this size: a power of two, at most a block."""
    pixels = prod(size)
    wanted = max(pixels // PIXELS, min(pixels, TOGETHER) - 1)
    return min(1 << wanted.bit_length(), BLOCK) if pixels else 1
