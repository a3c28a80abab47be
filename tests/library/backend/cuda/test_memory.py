"""How much of each GPU's memory is in use, is held, and was at most."""

from __future__ import annotations

import minicnn
from minicnn import cuda
from tests.library.support.cuda import fakecupy


def test_memory_is_counted_for_each_gpu():
    with fakecupy.installed(devices=2):
        count_memory()


def count_memory() -> None:
    cuda.empty_cache()
    before = [cuda.memory_allocated(i) for i in range(2)]
    cuda.reset_peak_memory_stats(1)
    x = minicnn.zeros(1024, device="cuda:1")
    y = [minicnn.zeros(2048, device="cuda:1") for _ in range(2)]
    assert cuda.memory_allocated(1) - before[1] == 4096 + 16384
    assert cuda.memory_allocated(0) == before[0]
    del y
    assert x.shape == (1024,) and cuda.memory_allocated(1) - before[1] == 4096
    assert cuda.max_memory_allocated(1) - before[1] == 4096 + 16384
    held = cuda.memory_reserved(1)
    cuda.empty_cache()
    assert cuda.memory_reserved(1) < held == cuda.max_memory_reserved(1)
    cuda.reset_peak_memory_stats(1)
    assert cuda.max_memory_allocated(1) - before[1] == 4096
    assert cuda.max_memory_reserved(1) == cuda.memory_reserved(1)
