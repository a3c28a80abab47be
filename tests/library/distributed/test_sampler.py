"""Which indices a rank gets: PyTorch's lengths and shares, in our loader's order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import DataLoader
from minicnn.distributed import DistributedSampler
from tests.library.support import peers


@given(
    count=st.integers(1, 40), replicas=st.integers(1, 7), drop_last=st.booleans(), data=st.data(),
)  # fmt: skip
def test_without_shuffling_it_is_pytorchs(count: int, replicas: int, drop_last: bool, data: st.DataObject) -> None:
    torch = peers.torch()
    from torch.utils.data import DistributedSampler as Theirs

    rank = data.draw(st.integers(0, replicas - 1))
    options = {"num_replicas": replicas, "rank": rank, "shuffle": False, "drop_last": drop_last}
    if drop_last and count < replicas:
        assert list(DistributedSampler(range(count), **options)) == []  # PyTorch's fails
        return
    ours, theirs = DistributedSampler(range(count), **options), Theirs(range(count), **options)
    assert (len(ours), ours.total_size) == (len(theirs), theirs.total_size)
    assert list(ours) == list(theirs)
    assert torch is not None


@given(count=st.integers(1, 40), replicas=st.integers(1, 7), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_all_ranks_together_read_in_the_loaders_order(count: int, replicas: int, seed: int, epoch: int) -> None:
    order = DataLoader(range(count), shuffle=True, seed=seed).order(epoch)
    samplers = [DistributedSampler(range(count), replicas, rank, seed=seed) for rank in range(replicas)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    together = [index for turn in zip(*samplers, strict=True) for index in turn]
    assert together[:count] == order.tolist()
    assert together[count:] == np.resize(order, len(together))[count:].tolist()
    assert len({len(sampler) for sampler in samplers}) == 1


def test_each_epoch_has_another_order_and_the_loader_sets_it() -> None:
    sampler = DistributedSampler(range(20), 2, 1, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    loader = DataLoader(list(range(20)), batch_size=5, sampler=sampler)
    loader.set_epoch(1)
    second = [int(index) for batch in loader for index in batch.numpy()]
    assert second != first
    assert sampler.epoch == 1 and second == list(sampler)


def test_a_rank_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a rank from 0 to 1, got 2"):
        DistributedSampler(range(4), 2, 2)
    with pytest.raises(RuntimeError, match="call init_process_group"):
        DistributedSampler(range(4))
