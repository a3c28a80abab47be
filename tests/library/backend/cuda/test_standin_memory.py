"""The stand-in's memory: of one device each, counted, wrong once it is freed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.library.support.cuda.fakecupy import CUDARuntimeError, FakeCupy, in_place_of_cupy


@pytest.fixture
def cp():
    with in_place_of_cupy(cupy := FakeCupy(devices=2)):
        yield cupy


def test_an_array_lives_on_the_device_that_was_current(cp):
    with cp.cuda.Device(1):
        there = cp.ones(3)
        assert cp.cuda.runtime.getDevice() == 1 == cp.cuda.Device().id
        assert (there * 2).device == cp.cuda.Device(1)
    here = cp.ones(3)
    assert (there.device.id, here.device.id, cp.cuda.runtime.getDeviceCount()) == (1, 0, 2)
    for use in (lambda: there + 1, lambda: here + there, lambda: cp.exp(there), lambda: there.sum(), there.__neg__):
        with pytest.raises(ValueError, match=r"resides \(1\) is different from the current device \(0\)"):
            use()
    assert there[:2].shape == (2,) and there.get().tolist() == [1, 1, 1]
    for moved in (cp.asarray(there), there.copy()):
        assert moved.device.id == 0 and (here + moved).get().tolist() == [2, 2, 2]
    with pytest.raises(CUDARuntimeError, match="InvalidDevice"):
        cp.cuda.Device(2).use()


def test_the_pool_counts_in_blocks_and_per_device(cp):
    pool = cp.get_default_memory_pool()
    for device in (1, 0):
        cp.cuda.Device(device).use()
        pool.free_all_blocks()
    before = pool.used_bytes()
    x = cp.zeros(1000)
    assert pool.used_bytes() == before + 8192 == pool.total_bytes()
    with cp.cuda.Device(1):
        y = cp.zeros(1)
        assert pool.used_bytes() == 512
        del y
        assert (pool.used_bytes(), pool.total_bytes()) == (0, 512)
    view = x[1:]
    del x
    assert pool.used_bytes() == before + 8192  # a view keeps it
    del view
    assert (pool.used_bytes(), pool.total_bytes()) == (before, before + 8192)
    pool.free_all_blocks()
    assert pool.total_bytes() == before


def test_a_hook_is_told_of_memory(cp):
    told = []

    class Hook(cp.cuda.MemoryHook):
        def malloc_postprocess(self, **what):
            told.append(what["mem_size"])

        def free_postprocess(self, **what):
            told.append(-what["mem_size"])

    with Hook():
        x = cp.zeros(100)
        del x
    cp.zeros(1)
    assert told == [1024, -1024]


def test_bfloat16_works_where_cupy_has_it(cp):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = cp.asarray(np.arange(3), dtype=bfloat16)
    assert x.dtype == bfloat16 and cp.isnan(cp.empty(3, bfloat16)).all()
    assert [y.dtype for y in (x + x, cp.exp(x), x * 2, x * 2.0, x.sum(), x[:2], x.astype("float32"))] == [
        bfloat16, bfloat16, bfloat16, np.float32, bfloat16, bfloat16, np.float32,
    ]  # fmt: skip
