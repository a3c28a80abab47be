"""The pool: arrays that do not overlap, memory that comes back, and a training step that asks for nothing new."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.backend.cpu import memory
from minicnn.models import create_model


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=40))
@pytest.mark.slow(seconds=7)
def test_arrays_never_overlap_and_all_memory_comes_back(requests: list[tuple[int, bool]]) -> None:
    pool, held = memory.Pool(), []
    for number, (size, keep) in enumerate(requests):
        array = pool.empty((size, memory.LARGE), np.uint8)
        array[...] = number % 251
        held.append((number % 251, array[::2] if number % 2 else array))  # a view keeps its memory too
        del array
        if not keep:
            held.pop(len(held) // 2)
        for value, other in held:
            assert (other == value).all()
        other = None
    held.clear()
    gc.collect()
    pool.empty((memory.LARGE,), np.uint8)
    pool.release()
    assert pool.in_use == 0
    assert [segment.free for segment in pool.segments] == [[(0, memory.SEGMENT)]]


@pytest.mark.parametrize("size", [memory.PAGE, 10_000, memory.LARGE * 3])
def test_arrays_begin_on_a_line_of_the_cache(size: int) -> None:
    array = memory.empty((size,), np.uint8)
    assert array.ctypes.data % memory.LINE == 0 and array.flags.writeable and array.shape == (size,)


def test_more_than_a_segment() -> None:
    pool = memory.Pool()
    array = pool.empty((memory.SEGMENT + 5,), np.uint8)
    array[-1] = 1
    assert len(pool.segments) == 1 and array.nbytes == memory.SEGMENT + 5


def test_freed_memory_can_go_back_to_the_system() -> None:
    pool = memory.Pool()
    array = pool.empty((4 * memory.LARGE,), np.uint8)
    array[...] = 7
    del array
    pool.release()
    assert not pool.empty((4 * memory.LARGE,), np.uint8).any()


def test_guard_zones_and_poison() -> None:
    with memory.guarded():
        assert np.isnan(memory.empty((3,), np.float32)).all()
    for offset in (-1, 12):
        with pytest.raises(AssertionError, match="bytes (before|after) an array of 12"), memory.guarded() as pool:
            pool.empty((3,), np.float32)
            pool.arrays[0][pool.GUARD + offset] = 0


def test_a_training_step_in_steady_state_allocates_nothing_large(monkeypatch: pytest.MonkeyPatch) -> None:
    minicnn.manual_seed(0)
    model = create_model("resnet20", num_classes=10)
    optimizer = minicnn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, labels = minicnn.randn(32, 3, 32, 32), minicnn.arange(32) % 10

    def step() -> None:
        optimizer.zero_grad()
        minicnn.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    step()
    step()
    peak = memory.statistics()
    taken: list[Any] = []
    monkeypatch.setattr(memory, "Segment", lambda size: taken.append(size))
    for _ in range(3):
        step()
    after = memory.statistics()
    assert not taken and after["in_use"] <= peak["in_use"] and after["peak"] <= peak["peak"] * 1.02
