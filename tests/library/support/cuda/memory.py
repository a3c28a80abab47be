"""Memory of the stand-in's GPUs: CuPy's pool, and page-locked memory of the host.

A block belongs to a device and to the stream on which it was allocated. What is freed is overwritten when that stream
comes to it, and is then given to the next who asks: whoever still has its address, or still copies from it, sees
wrong numbers at once instead of some day. While the stream is captured the next may have it at once.
"""

from __future__ import annotations

import math
import threading
import weakref
from bisect import bisect_right, insort
from collections import defaultdict
from typing import Any

import numpy as np

from tests.library.support.cuda.streams import Stream, current_stream

ALIGNMENT = 512
KEPT = 2**28  # bytes of free memory that wait for the next who asks
WRONG = 0xFF  # in every byte: NaN, -1, or a bool that is neither


class _Current(threading.local):
    """The current device of this thread, and who is told of its memory."""

    device = 0

    def __init__(self) -> None:
        self.hooks: list[MemoryHook] = []
        self.pool: Any = None  # where memory comes from, if not from POOL


current = _Current()


class MemoryHook:
    """To be told of what this thread allocates and frees inside ``with hook:``."""

    def __enter__(self) -> MemoryHook:
        current.hooks.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        current.hooks.remove(self)

    def malloc_postprocess(self, **kwargs: int) -> None:
        """After an allocation, of ``size`` bytes, rounded up to ``mem_size``, on ``device_id``."""

    def free_postprocess(self, **kwargs: int) -> None:
        """After it was given back."""


class Block:
    """``size`` bytes that somebody asked for, at ``address``, and the rest of what was allocated for them."""

    def __init__(self, nbytes: int, device: int, stream: Stream) -> None:
        room = np.empty(nbytes + ALIGNMENT, np.uint8)
        self.bytes = room[-room.ctypes.data % ALIGNMENT :][:nbytes]
        self.address = self.bytes.ctypes.data
        self.device, self.stream = device, stream
        self.size = 0
        self.pool: Any = None
        self.free_from = 0  # the position in the stream's queue where all is done that may touch it


class MemoryPool:
    """``cupy.cuda.MemoryPool``."""

    def __init__(self) -> None:
        pools.add(self)
        self.used: dict[int, Block] = {}  # by address
        self.free: dict[tuple[int, Stream, int], list[Block]] = defaultdict(list)
        self.addresses: list[int] = []  # of what is used, sorted
        self.bytes_used: dict[int, int] = defaultdict(int)  # by device
        self.bytes_free: dict[int, int] = defaultdict(int)
        self.lock = threading.RLock()

    def take(self, size: int) -> Block:
        """A free block that belongs to the current device and stream, or else a new one."""
        nbytes = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        device, stream = current.device, current_stream()
        with self.lock:
            waiting = self.free[device, stream, nbytes]
            ready = next((block for block in waiting if block.free_from <= stream.done), None)
            if ready is None:
                block = Block(nbytes, device, stream)
            else:
                waiting.remove(block := ready)
                self.bytes_free[device] -= nbytes
            block.size, block.pool = size, self
            self.bytes_used[device] += nbytes
            self.used[block.address] = block
            insort(self.addresses, block.address)
        for hook in current.hooks:
            hook.malloc_postprocess(
                device_id=device, size=size, mem_size=nbytes, mem_ptr=block.address, pmem_id=id(block)
            )
        return block

    def give_back(self, block: Block) -> None:
        """Free the block; its stream overwrites it after all that it was asked to do before."""
        device, nbytes = block.device, len(block.bytes)
        with self.lock:
            del self.used[block.address]
            del self.addresses[bisect_right(self.addresses, block.address) - 1]
            self.free[device, block.stream, nbytes].append(block)
            self.bytes_used[device] -= nbytes
            self.bytes_free[device] += nbytes
            block.stream.do(lambda: block.bytes.fill(WRONG))
            block.free_from = block.stream.done if block.stream.capture else block.stream.asked
            if sum(self.bytes_free.values()) > KEPT:
                self.free.clear()
                self.bytes_free.clear()
        for hook in current.hooks:
            hook.free_postprocess(device_id=device, mem_size=nbytes, mem_ptr=block.address, pmem_id=id(block))

    def holding(self, address: int) -> Block | None:
        """The block in use on the current device in which ``address`` is."""
        position = bisect_right(self.addresses, address) - 1
        block = self.used[self.addresses[position]] if position >= 0 else None
        if block is None or block.device != current.device or address >= block.address + len(block.bytes):
            return None
        return block

    def used_bytes(self) -> int:
        """On the current device."""
        return self.bytes_used[current.device]

    def free_bytes(self) -> int:
        """On the current device."""
        return self.bytes_free[current.device]

    def total_bytes(self) -> int:
        """On the current device."""
        return self.used_bytes() + self.free_bytes()

    def free_all_blocks(self, stream: Stream | None = None) -> None:
        """Give what is free on the current device back to it."""
        with self.lock:
            for device, owner, nbytes in list(self.free):
                if device == current.device and stream in (None, owner):
                    self.bytes_free[device] -= nbytes * len(self.free.pop((device, owner, nbytes)))

    def malloc(self, size: int) -> Block:
        """For ``using_allocator``."""
        return self.take(size)


def allocated(size: int) -> Block:
    """Memory from the pool that this thread uses."""
    pool: MemoryPool = current.pool or POOL
    return pool.take(size)


pools: weakref.WeakSet[MemoryPool] = weakref.WeakSet()
POOL = MemoryPool()  # ``cupy.get_default_memory_pool()``


def holding(address: int) -> Block | None:
    """The block in use on the current device in which ``address`` is, of whichever pool."""
    found = (pool.holding(address) for pool in pools)
    return next((block for block in found if block is not None), None)


class Page:
    """Page-locked memory of the host, which its pool hands out again, whatever stream may still read it."""

    free: dict[int, list[np.ndarray]] = defaultdict(list)

    def __init__(self, size: int) -> None:
        waiting = Page.free[size]
        self.bytes = waiting.pop() if waiting else np.empty(size, np.uint8)
        self.__array_interface__ = self.bytes.__array_interface__

    def __del__(self) -> None:
        self.bytes.fill(WRONG)
        Page.free[len(self.bytes)].append(self.bytes)


def empty_pinned(shape: int | tuple[int, ...], dtype: Any = float, order: str = "C") -> np.ndarray:
    """``cupyx.empty_pinned``."""
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    return np.ndarray(shape, dtype, np.asarray(Page(max(size, 1))), order=order)


def to_read_later(array: np.ndarray) -> np.ndarray:
    """What a copy that is queued reads: page-locked memory as it is then, even if it was dropped; else a copy of it."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not isinstance(owner.base, Page):
        return array.copy()
    page = owner.base.bytes
    start = array.__array_interface__["data"][0] - page.__array_interface__["data"][0]
    return np.ndarray(array.shape, array.dtype, page, start, array.strides)
