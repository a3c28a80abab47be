"""Streams and events of the stand-in, and the count of how often the host waits for the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Syncs:
    """Counts the host's waits for the GPU; inside ``forbid()`` one is an error."""

    def __init__(self) -> None:
        self.count, self.forbidden = 0, False

    def note(self, what: str) -> None:
        """The host has to wait, because of ``what``."""
        if self.forbidden:
            raise AssertionError(f"{what} makes the host wait for the GPU")
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


class Stream:
    """A queue of work. The first stream works at once; another one not before somebody waits for it."""

    current: list[Stream] = []

    def __init__(self, non_blocking: bool = False) -> None:
        self.queue: list[Callable[[], None]] = []
        self.done = 0

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current.pop()

    def do(self, work: Callable[[], None]) -> None:
        """Queue some work."""
        self.queue.append(work)
        if self is DEFAULT:
            self.work_until(len(self.queue))

    def work_until(self, position: int) -> None:
        """Do what was queued before ``position``."""
        for work in self.queue[self.done : position]:
            work()
        self.done = max(self.done, position)

    def record(self, event: Event | None = None) -> Event:
        """An event that happens when all that is queued now is done."""
        event = event or Event()
        event.stream, event.position = self, len(self.queue)
        return event

    def wait_event(self, event: Event) -> None:
        """Later work of this stream comes after the event."""
        event.stream.work_until(event.position)

    def synchronize(self) -> None:
        """The host waits for everything."""
        syncs.note("Stream.synchronize()")
        self.work_until(len(self.queue))


class Event:
    """A point in a stream's queue."""

    stream: Stream
    position: int

    def synchronize(self) -> None:
        """The host waits for what came before, which for a copy of long ago is no waiting."""
        self.stream.work_until(self.position)


DEFAULT = Stream()


def current_stream() -> Stream:
    """The innermost stream that was entered."""
    return Stream.current[-1] if Stream.current else DEFAULT
