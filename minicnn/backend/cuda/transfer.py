"""Between host and GPU: copies of the next batch run while the GPU computes on this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def prefetch(cuda: Any, batches: Iterable[tuple[np.ndarray, ...]]) -> Iterator[tuple[Any, ...]]:
    """The batches on the GPU, each copied while the one before it is being computed on.

    Only page-locked memory is copied in the background, so a batch first goes to one of two such buffers, and then,
    on a stream of its own, to the GPU. The copy waits until what was computed two batches ago is done: its memory
    may have been in use until then. The computation waits for its batch, and the host never waits for the computation.
    """
    xp = cuda.xp
    compute = xp.cuda.get_current_stream()
    copy = xp.cuda.Stream(non_blocking=True)
    buffers = [_Staging(xp), _Staging(xp)]
    waiting = None  # (arrays on their way, the event that says that they have arrived)
    for number, batch in enumerate(batches):
        copy.wait_event(compute.record())
        sent = buffers[number % 2].send(batch, copy)
        if waiting is not None:
            yield _arrived(compute, waiting)
        waiting = sent
    if waiting is not None:
        yield _arrived(compute, waiting)


def _arrived(compute: Any, waiting: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    arrays, event = waiting
    compute.wait_event(event)
    return arrays


class _Staging:
    """Page-locked host memory for one batch, refilled when its last copy is done."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.memory: dict[int, Any] = {}
        self.sent: Any = None

    def send(self, batch: tuple[np.ndarray, ...], stream: Any) -> tuple[tuple[Any, ...], Any]:
        """Start copying ``batch`` on ``stream``: the arrays, and the event that marks their arrival."""
        import cupyx

        if self.sent is not None:
            self.sent.synchronize()  # a copy of two batches ago: long done
        arrays = []
        with stream:  # so that the arrays' memory belongs to the copying stream
            for position, source in enumerate(batch):
                pinned = self.memory.get(position)
                if pinned is None or pinned.shape != source.shape or pinned.dtype != source.dtype:
                    pinned = self.memory[position] = cupyx.empty_pinned(source.shape, source.dtype)
                pinned[...] = source
                array = self.xp.empty(source.shape, source.dtype)
                array.set(pinned, stream=stream)
                arrays.append(array)
        self.sent = stream.record()
        return tuple(arrays), self.sent
