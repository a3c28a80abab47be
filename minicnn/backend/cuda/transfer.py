"""Copies to the GPU: the next batch is copied while the GPU computes on this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def prefetch(cuda: Any, batches: Iterable[tuple[np.ndarray, ...]], device: int = 0) -> Iterator[tuple[Any, ...]]:
    """The batches on GPU number ``device``, each copied while the GPU computes on the one before it.

    Only page-locked memory is copied in the background, so a batch is first copied to one of two such buffers, and
    then, on a separate stream, to the GPU. That copy starts after the computation of two batches ago, which may have
    used its memory. The computation waits for its batch; the host never waits for the computation, but at the end, also
    an early one, for the last copy: CuPy gives page-locked memory to the next who asks.
    """
    xp = cuda.xp
    cuda.make_current(device)
    compute = xp.cuda.get_current_stream()
    copy = xp.cuda.Stream(non_blocking=True)
    buffers = [_Staging(xp), _Staging(xp)]
    pending = None  # (arrays that are being copied, the event of their arrival)
    try:
        for number, batch in enumerate(batches):
            cuda.make_current(device)  # whatever was computed meanwhile
            copy.wait_event(compute.record())
            sent = buffers[number % 2].send(batch, copy)
            if pending is not None:
                yield _arrived(compute, pending)
            pending = sent
        if pending is not None:
            cuda.make_current(device)
            yield _arrived(compute, pending)
    finally:
        copy.synchronize()


def _arrived(compute: Any, pending: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    arrays, event = pending
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
            self.sent.synchronize()  # the copy of two batches ago: finished long ago
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
