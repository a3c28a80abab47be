"""What all tests share: one thread per process, and modules that are compiled once."""

from __future__ import annotations

import os
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

# Arrays are small here: more threads only wait for each other. The variables are for the processes that tests start.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MINICNN_QUIET", "1")  # no word about compiling: what a command writes is compared
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of hundreds of processes would compile all of minicnn again
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # Numba's threads: waiting must not keep another test's core busy
threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, ``slow(seconds=40)``: at the end all other processes would wait for them."""
    items.sort(key=lambda item: -sum(mark.kwargs.get("seconds", 0) for mark in item.iter_markers("slow")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``-n``: neighbouring tests, which share fixtures, in one process, and all processes end together."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None
