"""Where the CPU backend's arrays live: a pool of memory that a training step fills again and again.

The system hands out memory page by page, zeroing each one on first touch, and takes large pieces back as soon as they
are free. A training step that asks for hundreds of megabytes pays for that with a fifth of its time. So large arrays
are cut from segments that stay: a step in steady state asks the system for nothing.

An array from here is an ordinary ``ndarray``. When it and all views of it are gone, its stretch of the segment is
free again, and joins the free stretches beside it.
"""

from __future__ import annotations

import bisect
import mmap
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

LARGE = 1 << 18  # bytes; NumPy's own allocator is quick for what is smaller
LINE = 64  # bytes of a line of the cache: a vector that begins on one is loaded in one piece
SEGMENT = 1 << 30  # bytes of address space; only what has been used takes memory
PAGE = 4096
# Arrays that all begin at the same place in a page would compete for the same lines of the cache.
STAGGER, TURNS = 17 * 64, 16
LOCK = threading.RLock()  # for taking from the pool


class Segment:
    """One stretch of address space, and which parts of it are free: ``(start, length)``, in order."""

    def __init__(self, size: int) -> None:
        flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        self.memory = mmap.mmap(-1, size, **flags)  # private: a forked process must not share it
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self.memory.madvise(mmap.MADV_HUGEPAGE)
        self.bytes = np.frombuffer(self.memory, np.uint8)
        self.address = self.bytes.ctypes.data
        self.free = [(0, size)]

    def take(self, length: int) -> int | None:
        """The start of a free stretch of ``length`` bytes, the lowest: memory that has been used before comes first."""
        best = next((index for index, (_, room) in enumerate(self.free) if room >= length), None)
        if best is None:
            return None
        start, room = self.free.pop(best)
        if room > length:
            self.free.insert(best, (start + length, room - length))
        return start

    def give(self, start: int, length: int) -> None:
        """Put a stretch back, joined with the free ones around it."""
        place = bisect.bisect(self.free, (start, 0))
        if place < len(self.free) and self.free[place][0] == start + length:
            length += self.free.pop(place)[1]
        if place and sum(self.free[place - 1]) == start:
            place -= 1
            before = self.free.pop(place)
            start, length = before[0], before[1] + length
        self.free.insert(place, (start, length))


class Loan:
    """A stretch of a segment in use. NumPy takes the array from its interface and keeps it alive."""

    __slots__ = ("__array_interface__", "length", "pool", "segment", "start")

    def __init__(self, pool: Pool, segment: Segment, start: int, length: int) -> None:
        self.pool, self.segment, self.start, self.length = pool, segment, start, length

    def array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array that begins ``offset`` bytes into the loan."""
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (self.segment.address + self.start + offset, False),
        }
        return np.asarray(self)

    def __del__(self) -> None:
        self.pool.returned.append((self.segment, self.start, self.length))  # may run anywhere: nothing but this


class Pool:
    """Segments, and the arrays cut from them. ``in_use`` and ``peak`` count the bytes of large arrays."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.returned: deque[tuple[Segment, int, int]] = deque()
        # What has come back, by its length, for the next array of that length: a training step asks for the same again.
        self.ready: dict[int, list[tuple[Segment, int]]] = {}
        self.in_use = self.peak = self.turn = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A C-contiguous array of any content."""
        dtype = np.dtype(dtype)
        size = int(prod(shape)) * dtype.itemsize  # of NumPy integers an address cannot be made
        if size < PAGE:
            return np.empty(shape, dtype)
        if size < LARGE:
            return _small(shape, dtype, size)
        with LOCK:
            self.turn = (self.turn + 1) % TURNS
            offset = self.turn * STAGGER
            length = -(-(size + TURNS * STAGGER) // PAGE) * PAGE
            segment, start = self._take(length)
            self.in_use += length
            self.peak = max(self.peak, self.in_use)
        return Loan(self, segment, start, length).array(offset, shape, dtype)

    def _take(self, length: int) -> tuple[Segment, int]:
        self._collect()
        if self.ready.get(length):
            return self.ready[length].pop()
        self._join()
        for segment in self.segments:
            start = segment.take(length)
            if start is not None:
                return segment, start
        self.segments.append(Segment(max(SEGMENT, length)))
        start = self.segments[-1].take(length)
        assert start is not None
        return self.segments[-1], start

    def _collect(self) -> None:
        """Take back what has been returned since."""
        while self.returned:
            segment, start, length = self.returned.popleft()
            self.ready.setdefault(length, []).append((segment, start))
            self.in_use -= length

    def _join(self) -> None:
        """Make free stretches of what lies ready."""
        for length, places in self.ready.items():
            for segment, start in places:
                segment.give(start, length)
        self.ready.clear()

    def release(self) -> None:
        """Give the memory of all free stretches back to the system; the address space stays."""
        with LOCK:
            self._collect()
            self._join()
            for segment in self.segments:
                for start, length in segment.free:
                    if hasattr(mmap, "MADV_DONTNEED"):
                        segment.memory.madvise(mmap.MADV_DONTNEED, start, length)


class GuardedPool(Pool):
    """For tests: every array, however small, lies between two guard zones and begins as NaN.

    ``check`` finds a write outside; a read of memory that was never written shows as NaN in the result.
    """

    GUARD = 512  # bytes on each side: more than any vector is wide
    PATTERN = 0xA5

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[np.ndarray] = []

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        dtype = np.dtype(dtype)
        size = int(prod(shape)) * dtype.itemsize  # of NumPy integers an address cannot be made
        whole = np.full(size + 2 * self.GUARD, self.PATTERN, np.uint8)
        self.arrays.append(whole)
        inner = whole[self.GUARD : self.GUARD + size]
        inner[:] = 0xFF  # NaN as a float, -1 as an integer
        return inner.view(dtype).reshape(shape)

    def check(self) -> None:
        """Raise ``AssertionError`` if a guard zone has been written into."""
        for whole in self.arrays:
            for side, zone in (("before", whole[: self.GUARD]), ("after", whole[-self.GUARD :])):
                wrong = np.flatnonzero(zone != self.PATTERN)
                inner = whole.size - 2 * self.GUARD
                assert not wrong.size, f"{wrong.size} bytes {side} an array of {inner} were written"


def _small(shape: tuple[int, ...], dtype: np.dtype, size: int) -> np.ndarray:
    room = np.empty(size + LINE, np.uint8)
    return np.ndarray(shape, dtype, room, -room.__array_interface__["data"][0] % LINE)


_pool = Pool()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A C-contiguous array of any content, from the pool."""
    return _pool.empty(shape, dtype)


def release() -> None:
    """Give memory that is free in the pool back to the system."""
    _pool.release()


def statistics() -> dict[str, int]:
    """Bytes of large arrays: in use now, at most so far; and the number of segments."""
    with LOCK:
        _pool._collect()
    return {"in_use": _pool.in_use, "peak": _pool.peak, "segments": len(_pool.segments)}


@contextmanager
def counted() -> Iterator[list[int]]:
    """The most bytes of large arrays that were in use at once in the block, beyond those before: in the list, after it.

    ``tracemalloc``, which counts NumPy's own arrays, does not see these.
    """
    found: list[int] = []
    with LOCK:
        _pool._collect()
        before = _pool.peak = _pool.in_use
    yield found
    found.append(_pool.peak - before)


@contextmanager
def guarded() -> Iterator[GuardedPool]:
    """For tests: guard zones around every array that is allocated in the block; they are checked at its end."""
    global _pool
    before, _pool = _pool, GuardedPool()
    try:
        yield _pool
        _pool.check()
    finally:
        _pool = before
