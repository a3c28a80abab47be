"""How gradients are cut into buckets, and what one does with gradients that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.distributed import Work, buckets, group

sizes = st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), min_size=1, max_size=12)


class TwoAlike:
    """A communicator of two ranks that always send the same."""

    size = 2

    def all_reduce(self, array: Any, op: str) -> Work:
        assert op == "SUM"
        return Work(lambda: True, lambda: np.add(array, array, out=array))


@given(sizes=sizes, megabytes=st.floats(0.1, 4))
def test_every_parameter_is_in_one_bucket_of_its_dtype_the_last_first(sizes: Any, megabytes: float) -> None:
    parameters = [minicnn.zeros(n, dtype=minicnn.float64 if double else minicnn.float32) for n, double in sizes]
    parts = list(buckets.parts_of(parameters, megabytes))
    for kind in (minicnn.float32, minicnn.float64):
        of_kind = [p for part in parts for p in part if part[0].dtype == kind]
        assert list(map(id, of_kind)) == [id(p) for p in reversed(parameters) if p.dtype == kind]
    for number, part in enumerate(parts):
        assert len({p.dtype for p in part}) == 1
        limit = (min(1.0, megabytes) if number == 0 else megabytes) * buckets.MEGABYTE
        assert len(part) == 1 or sum(p.array.nbytes for p in part) <= limit


def test_missing_gradients_count_as_zero_and_those_of_no_rank_stay_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "get_world_size", lambda: 2)
    kept, given_, missing, half = parameters = [
        minicnn.ones(2, 3), minicnn.ones(2), minicnn.ones(4), minicnn.ones(())
    ]  # fmt: skip
    kept.grad = minicnn.ones(2, 3) * 5
    bucket = buckets.Bucket(parameters, TwoAlike())
    bucket.fill(1, np.float32([1, 2]))
    bucket.fill(3, np.float32(7))
    assert not bucket.complete
    bucket.send()
    with pytest.raises(RuntimeError, match="arrived twice"):
        bucket.fill(1, np.float32([1, 2]))
    bucket.receive()
    assert kept.grad.tolist() == [[5.0] * 3] * 2
    assert given_.grad.tolist() == [1.0, 2.0]
    assert missing.grad is None
    assert half.grad.tolist() == 7.0
    assert not any(bucket.filled)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_numbers_of_16_bits_travel_as_float32(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(group, "get_world_size", lambda: 2)
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    parameter, gradient = minicnn.ones(3).to(name), minicnn.full((3,), 40192.0).to(name)
    bucket = buckets.Bucket([parameter], TwoAlike())
    bucket.fill(0, gradient.array)  # twice this is beyond float16
    bucket.send()
    bucket.receive()
    assert bucket.flat.dtype == group._buffer(parameter)[0].dtype == np.float32
    assert parameter.grad is not None
    assert parameter.grad.dtype == gradient.dtype and parameter.grad.float().tolist() == [40192.0] * 3


def test_without_a_group_every_function_says_so() -> None:
    for function in (group.get_rank, group.get_world_size, group.barrier, group.get_backend):
        with pytest.raises(RuntimeError, match="call init_process_group"):
            function()
    with pytest.raises(ValueError, match="expected one of mpi, nccl as backend, got 'gloo'"):
        group.init_process_group("gloo")
    assert not group.is_initialized()
