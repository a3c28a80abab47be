"""A process that has computed forks; the child computes the same, and ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(minicnn.__file__).parents[1]

COMMON = """
import multiprocessing, os, signal, sys, threading
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import minicnn
from minicnn import nn

signal.alarm(100)
x = minicnn.tensor(np.random.default_rng(0).standard_normal((4, 16, 40, 40)).astype("f4"))
weight = minicnn.tensor(np.random.default_rng(1).standard_normal((16, 16, 3, 3)).astype("f4"), requires_grad=True)


def work(_=0):
    weight.grad = None
    y = nn.functional.conv2d(x, weight, padding=1).relu()
    y.sum().backward()
    return float(y.sum()), float(weight.grad.abs().sum())


def forked(function):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(100)
        try:
            os.write(writing, repr(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        got = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return eval(got)


expected = work()
fork = multiprocessing.get_context("fork")
"""
WAYS = {
    "os.fork": "assert forked(work) == expected",
    "a fork of a fork": "assert forked(lambda: forked(work)) == expected",
    "a pool": "with fork.Pool(2) as pool: assert pool.map(work, range(4)) == [expected] * 4",
    "futures": "with ProcessPoolExecutor(2, fork) as pool: assert list(pool.map(work, range(4))) == [expected] * 4",
    "in a thread": (
        "got = []; thread = threading.Thread(target=lambda: got.append(forked(work))); thread.start(); thread.join()\n"
        "assert got == [expected]"
    ),
    "while others compute and draw": (
        "stop = threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set(): nn.functional.conv2d(minicnn.randn(4, 16, 40, 40), weight.detach())\n"
        "threads = [threading.Thread(target=busy) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for _ in range(10): assert forked(lambda: (minicnn.randn(9), work())[1]) == expected\n"
        "stop.set()\n"
        "for thread in threads: thread.join()"
    ),
    "the parent goes on": "forked(work); assert work() == expected",
}


@pytest.mark.slow(seconds=4)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_process_computes_the_same(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", COMMON + WAYS[way]],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
