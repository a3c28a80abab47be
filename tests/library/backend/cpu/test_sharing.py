"""Jobs shared among threads: each is done once."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from minicnn.backend.cpu.sharing import share_out


@numba.njit
def _count(job, done, workers):
    done[job] += 1
    workers[job] = numba.get_thread_id()


@numba.njit
def _count_all(jobs, done, workers):
    share_out(jobs, _count, (done, workers))


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 1000])
def test_every_job_is_done_once(jobs):
    done, workers = np.zeros(1001, np.int64), np.full(1001, -1)
    _count_all(jobs, done, workers)
    assert done.tolist() == [1] * jobs + [0] * (1001 - jobs)
    assert set(workers[:jobs].tolist()) <= set(range(numba.get_num_threads()))
