"""Which rank reads which images: all ranks draw the same order from one seed, and each takes its own."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np

from ..data import DataLoader
from ..data.loader import ORDER
from . import group


class DistributedSampler:
    """Every ``num_replicas``-th index for each rank, as PyTorch's, for ``DataLoader(sampler=...)``.

    The ranks' shares are disjoint and equally long. So that they can be, either the last indices are left out
    (``drop_last``) or the first ones are read once more.

    Args:
        dataset: what is indexed.
        num_replicas, rank: by default those of the process group.
        shuffle: whether each epoch has a different random order, the same as ``DataLoader(shuffle=True, seed=seed)``.
        seed: the same on all ranks.

    Raises:
        ValueError: for a rank that is not below ``num_replicas``.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.num_replicas = group.get_world_size() if num_replicas is None else num_replicas
        self.rank = group.get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"expected a rank from 0 to {self.num_replicas - 1}, got {self.rank}")
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        least, rest = divmod(len(dataset), self.num_replicas)
        self.num_samples = least if drop_last or not rest else least + 1
        self.total_size = self.num_samples * self.num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of ``epoch``: without it all epochs have one order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        length = len(self.dataset)
        order = np.arange(length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch, ORDER]).permutation(length)
        order = np.resize(order, self.total_size)  # shorter, or with the first ones again
        return iter(order[self.rank :: self.num_replicas].tolist())


class ShardedLoader(DataLoader):
    """The batches of a ``DataLoader``, of each of which a rank reads its own part: of n ranks every n-th image.

    The batches of all ranks together are those of one process, whatever the number of ranks. Parts may differ by one
    image, and a rank for which no image is left goes without that batch. Augmentation is random per rank.

    Args:
        batch_size: images of all ranks together.
    """

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        return (batch for batch in super()._batches(epoch, first) if batch is not None)

    def _load(self, epoch: int, number: int, indices: np.ndarray) -> Any:
        rank, size = group.get_rank(), group.get_world_size()
        own = indices[rank::size]
        return super()._load(epoch, number * size + rank, own) if len(own) else None
