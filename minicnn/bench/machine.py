"""The machine on which figures are measured, and its peak."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np


class Machine(NamedTuple):
    """The processor and the threads in use. ``peak`` in FLOP/s of all threads in float32, ``bandwidth`` in bytes/s."""

    processor: str
    cores: int
    threads: int
    target: str
    peak: float
    bandwidth: float
    versions: str

    def lines(self) -> list[str]:
        """The description as lines of text."""
        return [
            f"machine: {self.processor}, {self.cores} cores, {self.threads} threads used, kernels for {self.target}",
            f"measured peak: {self.peak / 1e9:.0f} GFLOP/s of multiply-adds on numbers in the first-level cache, "
            f"{self.bandwidth / 1e9:.0f} GB/s of memory",
            f"versions: {self.versions}",
        ]


def machine(quick: bool = False) -> Machine:
    """Describe this machine and measure its peak, with the threads that are set now. ``quick``: in less time."""
    import numba

    from .. import __version__
    from ..backend.cpu.compiling import threads
    from ..backend.cpu.roofline import measure_bandwidth, measure_peak
    from ..backend.cpu.target import target

    return Machine(
        processor=processor_name(),
        cores=available_cores(),
        threads=threads(),
        target=target().name,
        peak=measure_peak(0.02) if quick else measure_peak(),
        bandwidth=measure_bandwidth(0.02, mebibytes=8) if quick else measure_bandwidth(),
        versions=f"minicnn {__version__}, NumPy {np.__version__}, Numba {numba.__version__}, "
        f"Python {platform.python_version()}",
    )


def processor_name() -> str:
    """The name that the system reports."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Compute with ``count`` threads in the block; None does not change their number.

    Raises ValueError, with the possible numbers, for any other one.
    """
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        numba.set_num_threads(before)
