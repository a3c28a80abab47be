"""Times, memory and load, measured."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from minicnn.bench import measuring

needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")

MEGABYTE = 10**6


def test_quartiles() -> None:
    assert measuring.quartiles([4, 1, 2, 3, 5]) == (2, 3, 4)
    assert measuring.quartiles([1, 2]) == (1.25, 1.5, 1.75)
    assert measuring.quartiles(iter([7])) == (7, 7, 7)
    with pytest.raises(ValueError):
        measuring.quartiles([])


def test_median_time_calls_at_least_once() -> None:
    calls: list[int] = []
    assert measuring.median_time(lambda: calls.append(1), 0) >= 0
    assert calls == [1]


def test_foreign_cores_are_what_is_busy_and_not_our_own() -> None:
    spans = [
        (measuring.Usage(0, 10, 1), measuring.Usage(1, 12, 2)),  # 2 busy, 1 of it ours
        (measuring.Usage(5, 20, 3), measuring.Usage(8, 23, 6)),  # 3 busy, all ours
    ]
    assert measuring.foreign_cores(spans) == pytest.approx(1 / 4)
    assert measuring.foreign_cores([(measuring.Usage(0, 0, 0), measuring.Usage(1, 0.9, 1))]) == 0
    assert measuring.foreign_cores([(None, None)]) is None


@needs_proc
def test_our_own_work_is_seen() -> None:
    before = measuring.usage([os.getpid()])
    while measuring.usage([os.getpid()]).own - before.own < 0.05:
        sum(range(1000))
    after = measuring.usage([os.getpid()])
    assert after.wall > before.wall and after.busy > before.busy


@needs_proc
def test_extra_memory_is_the_peak_and_not_what_remains() -> None:
    def run() -> np.ndarray:
        np.ones(60 * MEGABYTE, np.uint8)
        return np.ones(20 * MEGABYTE, np.uint8)

    for _ in range(2):  # what a first run took and gave back does not hide what the second takes
        assert 55 * MEGABYTE < measuring.extra_bytes(run) < 90 * MEGABYTE


def test_without_proc_memory_and_load_are_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measuring, "PROC", tmp_path)
    assert measuring.usage() is measuring.resident_bytes() is measuring.peak_bytes() is None
    assert measuring.available_bytes() is measuring.extra_bytes(lambda: None) is None
    assert not measuring.forget_peak()
