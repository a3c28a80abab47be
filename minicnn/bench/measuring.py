"""Times, memory and load, of this process and of others, as Linux tells them under ``/proc``.

Where there is no ``/proc`` (macOS, Windows), times are measured all the same, and memory and load are ``None``.
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
    """The middle of some numbers, and between which two the middle half of them lies."""

    low: float
    median: float
    high: float


def quartiles(values: Iterable[float]) -> Quartiles:
    """Lower quartile, median and upper quartile, interpolated. Raises ValueError where there is no value."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("quartiles of no value")
    if len(ordered) == 1:
        return Quartiles(*ordered * 3)
    return Quartiles(*statistics.quantiles(ordered, n=4, method="inclusive"))


def median_time(run: Callable[[], object], seconds: float) -> float:
    """Seconds that ``run`` takes: the median of as many calls as fit into ``seconds``, one at least.

    The caller warms up.
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
    """Seconds since some moment: on the wall, of processors at work (for neighbours on the same host too), and of those
    the own processes' share."""

    wall: float
    busy: float
    own: float


def usage(pids: Iterable[int] = ()) -> Usage | None:
    """What has been used until now; ``pids`` are the processes whose use is ``own``. None where it cannot be known."""
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
    """Of all threads of a process."""
    fields = _first_line(PROC / str(pid) / "stat").rpartition(")")[2].split()  # the name before may hold anything
    return (int(fields[11]) + int(fields[12])) / TICKS


def foreign_cores(spans: Iterable[tuple[Usage | None, Usage | None]]) -> float | None:
    """How many cores were kept busy by processes other than the own ones, on average over spans of (before, after)."""
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
    """The most that ``resident_bytes`` has been, since ``forget_peak``."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int | None = None) -> bool:
    """Let the peak begin anew; False where the system does not permit it."""
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
    """Memory that new work can have."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def give_memory_back() -> None:
    """Return to the system what this process holds without using it, so that what it takes next shows."""
    gc.collect()
    if "minicnn.backend.cpu.memory" in sys.modules:
        sys.modules["minicnn.backend.cpu.memory"].release()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def extra_bytes(run: Callable[[], object]) -> int | None:
    """The most memory that this process has in use during ``run``, less what it has before: result included."""
    give_memory_back()
    before = resident_bytes()
    if before is None or not forget_peak():
        return None
    result = run()
    peak = peak_bytes()
    del result
    return None if peak is None else max(0, peak - before)
