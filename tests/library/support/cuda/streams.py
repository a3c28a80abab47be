"""Streams and events of the stand-in, and the count of how often the host waits for the GPU."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Syncs:
    """Counts the host's waits for the GPU; inside ``forbid()`` one is an error."""

    def __init__(self) -> None:
        self.count, self.forbidden = 0, False
        self.watcher: Callable[[str], None] = lambda what: None  # raises where the host may not wait

    def note(self, what: str) -> None:
        """The host has to wait, because of ``what``."""
        if self.forbidden:
            raise AssertionError(f"{what} makes the host wait for the GPU")
        self.watcher(what)
        self.count += 1

    @contextmanager
    def forbid(self) -> Iterator[None]:
        """No waiting inside the block."""
        before, self.forbidden = self.forbidden, True
        try:
            yield
        finally:
            self.forbidden = before


syncs = Syncs()


streams: weakref.WeakSet[Stream] = weakref.WeakSet()


class Stream:
    """A queue of work. The first stream works at once; another one not before somebody waits for it."""

    null: Stream
    capture: Any = None  # see ``fakegraph``

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.queue: deque[Callable[[], Any]] = deque()
        self.done = 0
        streams.add(self)

    @property
    def ptr(self) -> int:
        """The address that CUDA knows it by; 0 is the first stream's."""
        return 0 if self is DEFAULT else id(self)

    def is_capturing(self) -> bool:
        """Whether its work is recorded instead of done."""
        return False

    def __enter__(self) -> Stream:
        entered.streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        entered.streams.pop()

    @property
    def asked(self) -> int:
        """The position in the queue after everything so far."""
        return self.done + len(self.queue)

    def do(self, work: Callable[[], None]) -> None:
        """Queue some work."""
        if self.capture is not None:
            work()
            self.capture.work.append(work)
        elif self is DEFAULT:
            work()
            self.done += 1
        else:
            self.queue.append(work)

    def work_until(self, position: int) -> None:
        """Do what was queued before ``position``."""
        while self.done < position:
            self.queue.popleft()()
            self.done += 1

    def record(self, event: Event | None = None) -> Event:
        """An event that happens when all that is queued now is done."""
        event = event or Event()
        event.stream, event.position = self, self.asked
        last = self.queue.pop() if self.queue else None
        if last is None:
            event.happen()
        else:
            self.queue.append(lambda: (last(), event.happen()))
        return event

    def wait_event(self, event: Event) -> None:
        """Later work of this stream comes after the event."""
        event.stream.work_until(event.position)

    def synchronize(self) -> None:
        """The host waits for everything."""
        syncs.note("Stream.synchronize()")
        self.work_until(self.asked)


class Event:
    """A point in a stream's queue."""

    stream: Stream
    position: int

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.time: float | None = None

    def happen(self) -> None:
        """Its stream has come to it."""
        self.time = clock.milliseconds

    def record(self, stream: Stream | None = None) -> None:
        """After what the stream has to do until now."""
        (stream or current_stream()).record(self)

    def synchronize(self) -> None:
        """The host waits for what came before, which for a copy of long ago is no waiting."""
        self.stream.work_until(self.position)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events that have happened."""
    if start_event.time is None or end_event.time is None:
        raise RuntimeError("cudaErrorNotReady: device not ready")
    return end_event.time - start_event.time


class _Clock:
    """Time passes when a stand-in says so."""

    milliseconds = 0.0


clock = _Clock()


class _Entered(threading.local):
    """The streams that this thread is in."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []


entered = _Entered()
DEFAULT = Stream.null = Stream()


def current_stream() -> Stream:
    """The innermost stream that was entered."""
    return entered.streams[-1] if entered.streams else DEFAULT


def finish_all(what: str) -> None:
    """The host waits for every stream."""
    syncs.note(what)
    for stream in list(streams):
        stream.work_until(stream.asked)
