"""Times, memory and load, of this process and of others, from Linux's ``/proc``.

Without ``/proc`` (macOS, Windows), times are measured too, but memory and load are ``None``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # units of /proc's times in a second


class Quartiles(NamedTuple):
    """The median of some numbers, and the bounds of their middle half."""

    low: float
    median: float
    high: float


def quartiles(values: Iterable[float]) -> Quartiles:
    """Lower quartile, median and upper quartile, interpolated. Raises ValueError for no values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("quartiles of no values")
    if len(ordered) == 1:
        return Quartiles(*ordered * 3)
    return Quartiles(*statistics.quantiles(ordered, n=4, method="inclusive"))


def median_time(run: Callable[[], object], seconds: float) -> float:
    """Seconds that ``run`` takes: the median of as many calls as fit into ``seconds``, at least one.

    The caller makes the warm-up calls.
    """
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# ---- load --------------------------------------------------------------------------------------------------------


class Usage(NamedTuple):
    """Seconds since some moment: of the clock, of busy processors (for all programs on this host), and the part of
    these for our own processes."""

    wall: float
    busy: float
    own: float


def usage(pids: Iterable[int] = ()) -> Usage | None:
    """The usage until now; ``pids`` are our own processes. None if it is not known."""
    try:
        user, nice, system, idle, wait, interrupts, soft, steal = map(int, _first_line(PROC / "stat").split()[1:9])
        busy = (user + nice + system + interrupts + soft + steal) / TICKS
        return Usage(time.perf_counter(), busy, sum(map(_processor_seconds, pids)))
    except (OSError, ValueError):
        return None


def _first_line(path: Path) -> str:
    with path.open() as file:
        return file.readline()


def _processor_seconds(pid: int) -> float:
    """The processor time of all threads of a process."""
    fields = _first_line(PROC / str(pid) / "stat").rpartition(")")[2].split()  # the name before it may contain anything
    return (int(fields[11]) + int(fields[12])) / TICKS


def foreign_cores(spans: Iterable[tuple[Usage | None, Usage | None]]) -> float | None:
    """How many cores other processes kept busy, on average over spans of (before, after)."""
    wall = foreign = 0.0
    for before, after in spans:
        if before is None or after is None:
            return None
        wall += after.wall - before.wall
        foreign += (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, foreign / wall) if wall else None


# ---- memory ------------------------------------------------------------------------------------------------------


def resident_bytes(pid: int | None = None) -> int | None:
    """Bytes of memory that a process has in use now (this one by default)."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int | None = None) -> int | None:
    """The largest ``resident_bytes`` since ``forget_peak``."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int | None = None) -> bool:
    """Reset the peak; False if the system does not permit it."""
    try:
        (PROC / _name(pid) / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _name(pid: int | None) -> str:
    return "self" if pid is None else str(pid)


def _status(pid: int | None, field: str) -> int | None:
    try:
        lines = (PROC / _name(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    return None


def available_bytes() -> int | None:
    """Bytes of memory that are available."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def give_memory_back() -> None:
    """Return unused memory of this process to the system, so that new allocations become visible."""
    gc.collect()
    if "minicnn.backend.cpu.memory" in sys.modules:
        sys.modules["minicnn.backend.cpu.memory"].release()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def extra_bytes(run: Callable[[], object]) -> int | None:
    """The most memory that this process has in use during ``run``, minus what it has before: including the result."""
    give_memory_back()
    before = resident_bytes()
    if before is None or not forget_peak():
        return None
    result = run()
    peak = peak_bytes()
    del result
    return None if peak is None else max(0, peak - before)
