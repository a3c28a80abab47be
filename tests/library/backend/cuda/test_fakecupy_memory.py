"""The stand-in's memory: of one device each, counted, wrong once it is freed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.fakecupy import CUDARuntimeError, FakeCupy, cupyx, in_place_of_cupy


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
        there = pool.used_bytes()
        y = cp.zeros(1)
        assert pool.used_bytes() == there + 512
        del y
        assert (pool.used_bytes(), pool.total_bytes()) == (there, there + 512)
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


def test_what_is_freed_is_spoilt_and_used_again_by_the_same_stream(cp):
    x = cp.ones(1000)
    address, seen = x.data.ptr, x.host
    del x
    assert np.isnan(seen).all()
    with cp.cuda.Stream(non_blocking=True):
        assert cp.empty(1000).data.ptr != address
    assert cp.empty(1000).data.ptr == address


def test_another_stream_spoils_what_is_freed_when_it_comes_to_it(cp):
    copying = cp.cuda.Stream(non_blocking=True)
    with copying:
        x = cp.empty(3)
    x.set(np.ones(3), stream=copying)
    seen = x.host
    assert np.isnan(seen).all()  # the copy has not begun
    arrived = copying.record()
    del x
    with copying:
        other = cp.zeros(3)  # elsewhere, as long as work with the first is queued
    copying.wait_event(arrived)
    assert seen.tolist() == [1, 1, 1]
    copying.synchronize()
    assert np.isnan(seen).all() and other.get().tolist() == [0, 0, 0]


def copied_at_once(cp, copying, batch):
    """Copying as it must not be done: page-locked memory is dropped before it has been read."""
    pinned = cupyx.empty_pinned(batch.shape, batch.dtype)
    pinned[...] = batch
    arrived = cp.empty(batch.shape)
    arrived.set(pinned, stream=copying)
    return arrived


def test_pinned_memory_that_is_dropped_too_early_is_overwritten(cp):
    copying = cp.cuda.Stream(non_blocking=True)
    lost = copied_at_once(cp, copying, np.ones(3))
    copying.synchronize()
    assert np.isnan(lost.get()).all()
    pageable = cp.empty(3)
    pageable.set(np.ones(3), stream=copying)  # is read at once
    copying.synchronize()
    assert pageable.get().tolist() == [1, 1, 1]


def test_products_stay_within_arrays_of_the_device(cp):
    number = {value: np.array(value, "f4") for value in (0, 1)}
    one, zero = number[1].ctypes.data, number[0].ctypes.data
    x, y = cp.ones((2, 3, 3), "f4"), cp.zeros((2, 3, 3), "f4")

    def multiply(a=x, b=x, c=y, stride_a=9, stride_c=9, batch=2, start=0):
        cp.cuda.cublas.gemmStridedBatchedEx(
            0, 0, 0, 3, 3, 3, one, a.data.ptr + start, 0, 3, stride_a, b.data.ptr, 0, 3, 9,
            zero, c.data.ptr, 0, 3, stride_c, batch, 68, -1,
        )  # fmt: skip

    multiply()
    assert (y.get() == 3).all()
    with cp.cuda.Device(1):
        elsewhere = cp.ones((2, 3, 3), "f4")
    for wrong in ({"start": 4}, {"stride_a": 10}, {"batch": 3}, {"start": -4}, {"a": elsewhere}, {"c": x[1:]}):
        with pytest.raises(ValueError, match="not within an array"):
            multiply(**wrong)
    with pytest.raises(ValueError, match="in one place"):
        multiply(stride_c=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["the same", "float32"])
def test_products_of_16_bits_add_up_in_32(cp, dtype, kind):
    pytest.importorskip("ml_dtypes")
    ones = cp.ones((1, 1024), dtype)
    out = cp.empty((1, 1), dtype if kind == "the same" else kind)
    code = {"float16": 2, "bfloat16": 14, "float32": 0}
    types, scalars = [code[str(a.dtype)] for a in (ones, out)], [np.array(value, "f4") for value in (1, 0)]
    cp.cuda.cublas.gemmStridedBatchedEx(
        0, 1, 0, 1, 1, 1024, scalars[0].ctypes.data, ones.data.ptr, types[0], 1024, 0, ones.data.ptr, types[0], 1024, 0,
        scalars[1].ctypes.data, out.data.ptr, types[1], 1, 0, 1, 68, -1,
    )  # fmt: skip
    assert out.get() == 1024


@pytest.mark.skipif(fakeraw.COMPILER is None, reason="g++ compiles the CUDA kernels for the CPU")
def test_kernels_take_arrays_of_the_current_device(cp):
    kernel = cp.RawModule(code='extern "C" __global__ void one(float* y) { *y = 1; }').get_function("one")
    y = cp.zeros(1, "float32")
    kernel((1,), (1,), (y,))
    assert y.get() == 1
    with cp.cuda.Device(1), pytest.raises(ValueError, match="different from the current device"):
        kernel((1,), (1,), (y,))
