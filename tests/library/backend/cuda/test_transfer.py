"""Copies between host and GPU: in order, never overwritten, never too early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.backend.cuda import transfer
from tests.library.support.cuda import streams


def batches(count: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Different batches, the last one smaller."""
    return [(np.full((4 - (i == count - 1), 2), float(i)), np.full(3, i)) for i in range(count)]


def test_prefetching_gives_every_batch_in_order(cuda):
    arrived = [tuple(array.get() for array in arrays) for arrays in transfer.prefetch(cuda, iter(batches()))]
    for got, want in zip(arrived, batches(), strict=True):
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)
    assert list(transfer.prefetch(cuda, iter([]))) == []


def test_batches_that_are_kept_are_not_overwritten(cuda):
    kept = list(transfer.prefetch(cuda, iter(batches())))
    assert [float(images[0, 0]) for images, _ in kept] == [0, 1, 2, 3, 4]


def test_copies_are_asked_for_in_the_order_that_makes_them_safe_and_overlapping(cuda, monkeypatch):
    """The next copy starts before the batch at hand is computed on, and after the computation before that."""
    log: list[str] = []
    send, wait = transfer._Staging.send, streams.Stream.wait_event

    def logged_send(self: Any, *args: Any) -> Any:
        log.append("copy")
        return send(self, *args)

    def logged_wait(self: Any, event: Any) -> None:
        log.append("compute waits" if self is streams.DEFAULT else "copying waits")
        wait(self, event)

    monkeypatch.setattr(transfer._Staging, "send", logged_send)
    monkeypatch.setattr(streams.Stream, "wait_event", logged_wait)
    for _ in transfer.prefetch(cuda, iter(batches(3))):
        log.append("step")
    one = ["copying waits", "copy"]
    assert log == [*one, *one, "compute waits", "step", *one, "compute waits", "step", "compute waits", "step"]


def test_page_locked_memory_is_refilled_only_when_its_copy_is_done(cuda, monkeypatch):
    waited: list[int] = []
    original = streams.Event.synchronize

    def synchronize(self: Any) -> None:
        waited.append(self.position)
        original(self)

    monkeypatch.setattr(streams.Event, "synchronize", synchronize)
    list(transfer.prefetch(cuda, iter(batches(4))))
    assert waited == [2, 4]  # of two arrays a batch: the first copy before the third, the second before the fourth


@pytest.mark.parametrize("taken", [1, 2, 4])
def test_page_locked_memory_is_given_back_only_when_its_copy_is_done(cuda, monkeypatch, taken):
    """At the end as well, and when the batches are abandoned."""
    sent: list[Any] = []
    send = transfer._Staging.send

    def logged_send(self: Any, *args: Any) -> Any:
        arrays, event = send(self, *args)
        sent.append(arrays[0])
        return arrays, event

    monkeypatch.setattr(transfer._Staging, "send", logged_send)
    arriving = transfer.prefetch(cuda, iter(batches(4)))
    for _ in range(taken):
        next(arriving)
    arriving.close()
    cuda.xp.cuda.Device().synchronize()
    assert [float(images[0, 0]) for images in sent] == list(range(len(sent)))
