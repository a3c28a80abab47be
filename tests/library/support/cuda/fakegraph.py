"""CUDA graphs on the stand-in: while a stream is captured, work on the device is noted, to be done at every launch.

On a GPU nothing is computed during a capture. Here it is, because the next operation may need a shape; at the end what
was there before gets its old numbers back, and what is new gets wrong ones. A launch does the noted work again, on the
same memory: whatever has been freed since holds wrong numbers, or somebody else's.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.library.support.cuda import memory, streams
from tests.library.support.cuda.memory import POOL, WRONG, Block, MemoryPool
from tests.library.support.cuda.streams import Stream


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's."""


class Capture:
    """What one stream was asked to do since ``begin_capture``."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.before: dict[int, tuple[Block, np.ndarray]] = {}  # memory from outside, and what was in it
        self.broken = False
        self.busy = False  # inside an operation, which may call others
        self.pool = memory.current.pool

    def perform(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call ``function`` now and at each launch."""
        for block in blocks_of((args, kwargs)):
            if block.pool is not self.pool and block.address not in self.before:
                self.before[block.address] = block, block.bytes.copy()
        self.busy = True
        try:
            result = function(*args, **kwargs)
        finally:
            self.busy = False
        known = {id(array) for array in arrays_of((args, kwargs))}
        new = [array for array in arrays_of(result) if array.base is None and id(array) not in known]
        for array in new:
            assert array.block.pool is not POOL, "memory of a graph comes from a pool of its own: see using_allocator()"
        targets = [array.host if any(array is one for one in new) else None for array in arrays_of(result)]
        held_args, held_kwargs = held(args), held(kwargs)

        def again() -> None:
            for target, array in zip(targets, arrays_of(function(*held_args, **held_kwargs)), strict=True):
                if target is not None:
                    target[...] = array.host

        self.work.append(again)
        return result

    def end(self) -> None:
        """As if nothing had been computed."""
        for block, numbers in self.before.values():
            block.bytes[...] = numbers
        self.before.clear()
        for block in self.pool.used.values() if self.pool else ():
            block.bytes.fill(WRONG)


class Graph:
    """``cupy.cuda.Graph``."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.pool = weakref.ref(capture.pool)
        capture.pool = None

    def launch(self, stream: Stream | None = None) -> None:
        """Do all of it."""
        assert self.pool() is not None, "the memory of the graph was freed with its pool"
        assert capturing() is None, "a graph in a graph is not emulated"
        for work in self.capture.work:
            work()

    def upload(self, stream: Stream | None = None) -> None:
        """Does nothing here."""


def capturing() -> Capture | None:
    """The capture of the current stream."""
    found: Capture | None = streams.current_stream().capture
    return found


def on_device(function: Any) -> Any:
    """For functions that the GPU computes: they can be captured."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        capture = capturing()
        if capture is None or capture.busy:
            return function(*args, **kwargs)
        return capture.perform(function, args, kwargs)

    return call


def refuse(reason: str, error: type[Exception] = CUDARuntimeError, breaks: bool = True) -> None:
    """Raise ``error`` if the current stream is captured; most errors end the capture."""
    capture = capturing()
    if capture is not None:
        capture.broken |= breaks
        raise error(reason)


def refuse_cublas() -> None:
    """CuPy does not let it be captured."""
    refuse("calling cuBLAS API during stream capture is currently unsupported", NotImplementedError, breaks=False)


def refuse_waiting(what: str) -> None:
    """The host must not wait for what is not computed."""
    if what.startswith(("Stream.", "Device.", "device")):
        refuse("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
    reason = f"{what}: the current stream is capturing, so synchronous API calls are disallowed"
    refuse(reason, RuntimeError, breaks=False)


def refuse_host(value: Any) -> None:
    """A copy from the host would be captured as a copy of memory that somebody else uses at the next launch."""
    if np.ndim(value) > 0:
        refuse("cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream")


def begin_capture(self: Stream, mode: int | None = None) -> None:
    """``Stream.begin_capture``."""
    if self is streams.DEFAULT:
        raise RuntimeError("cannot capture on the default (legacy) stream")
    if self.capture is not None:
        raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
    self.capture = Capture()


def end_capture(self: Stream) -> Graph:
    """``Stream.end_capture``."""
    capture, self.capture = self.capture, None
    if capture is None:
        raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
    capture.end()
    if capture.broken:
        raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
    return Graph(capture)


Stream.begin_capture = begin_capture  # type: ignore[attr-defined]
Stream.end_capture = end_capture  # type: ignore[attr-defined]
Stream.is_capturing = lambda self: self.capture is not None  # type: ignore[attr-defined]
streams.syncs.watcher = refuse_waiting


class using_allocator:  # noqa: N801
    """``cupy.cuda.using_allocator``: of a pool, inside the block, in this thread."""

    def __init__(self, allocator: Any = None) -> None:
        self.pool = POOL if allocator is None else allocator.__self__

    def __enter__(self) -> None:
        self.before, memory.current.pool = memory.current.pool, self.pool

    def __exit__(self, *_: object) -> None:
        memory.current.pool = self.before


# ---- arrays among arguments and results ---------------------------------------------------------------------------


def arrays_of(value: Any) -> Iterator[Any]:
    """All device arrays in ``value``, in order."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_of(item)
    elif isinstance(value, dict):
        yield from arrays_of(list(value.values()))
    elif hasattr(value, "block"):
        yield value


def blocks_of(value: Any) -> Iterator[Block]:
    """The memory of all arrays in ``value``, and that of a table of addresses (``Tensors`` in optimizer.cu)."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from blocks_of(item)
    elif isinstance(value, dict):
        yield from blocks_of(list(value.values()))
    elif hasattr(value, "block"):
        yield value.block
    elif isinstance(value, np.ndarray) and value.dtype.names and "arrays" in value.dtype.names:
        for address in value["arrays"][value["arrays"] > 0].tolist():
            block = memory.holding(address)
            assert block is not None, f"there is no array at address {address:#x}"
            yield block


def held(value: Any) -> Any:
    """``value``, with every array replaced by one that does not keep its memory from being freed."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(held, value))
    if isinstance(value, dict):
        return {key: held(item) for key, item in value.items()}
    if hasattr(value, "block"):
        return type(value)(value.host, SimpleNamespace(block=SimpleNamespace(device=value.block.device)))
    return value.copy() if isinstance(value, np.ndarray) else value


__all__ = ["Graph", "MemoryPool", "on_device", "refuse_cublas", "refuse_host", "using_allocator"]
