"""Batches in an order that depends only on the seed and the epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from .dataset import draw_batch, draw_sample
from .randomness import RandomSource, numpy_generator

ORDER, AUGMENTATION = 0, 1  # what a stream of random numbers is for


class DataLoader:
    """Iterates over a data set in batches.

    Everything random is a function of ``(seed, epoch)`` alone: the order, and the augmentation of each batch.
    A run that is resumed at epoch e calls ``set_epoch(e)`` and sees the same batches as without the interruption.
    Without ``set_epoch`` each iteration is the next epoch.

    Args:
        dataset: a ``Dataset``, or anything with ``len()`` and ``[i]``.
        batch_size: samples per batch.
        shuffle: whether each epoch has a different random order.
        sampler: indices in the order to read them, instead of ``shuffle``; iterated again in each epoch.
        num_workers: threads that prepare batches in advance, with the same result; 0 prepares each batch when it is
            needed.
        collate_fn: makes a batch from a list of samples; by default the data set's ``batch`` is used if it has one,
            else ``collate`` stacks the samples.
        drop_last: leave out a last batch that is not full.
        generator: from which the seed is drawn (once, here) if it is not given; ``None`` is the default stream.
        seed: the seed.

    Raises:
        ValueError: for ``batch_size`` < 1, a negative seed, or ``shuffle`` together with ``sampler``.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: RandomSource = None,
        seed: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` (={batch_size}) must be at least 1")
        if num_workers < 0:
            raise ValueError(f"`num_workers` (={num_workers}) must not be negative")
        if seed is not None and seed < 0:
            raise ValueError(f"`seed` (={seed}) must not be negative")
        if sampler is not None and shuffle:
            raise ValueError("`sampler` gives the order: `shuffle` must be false")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.sampler = sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.seed = int(numpy_generator(generator).integers(2**63)) if seed is None else seed
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        samples = len(self.dataset) if self.sampler is None else len(self.sampler)  # type: ignore[arg-type]
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Make the next iteration that of ``epoch``, from its batch ``first_batch`` on.

        Raises:
            ValueError: if one is negative.
        """
        if epoch < 0 or first_batch < 0:
            raise ValueError(f"expected an epoch and a batch >= 0, got {epoch} and {first_batch}")
        self.epoch = epoch
        self.first_batch = first_batch
        getattr(self.sampler, "set_epoch", lambda epoch: None)(epoch)  # of a DistributedSampler

    def order(self, epoch: int) -> np.ndarray:
        """The indices of ``epoch`` in the order in which they are read."""
        if self.sampler is not None:
            return np.fromiter(self.sampler, dtype=np.int64)
        if self.shuffle:
            return np.random.default_rng([self.seed, epoch, ORDER]).permutation(len(self.dataset))
        return np.arange(len(self.dataset))

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self.epoch, self.first_batch
        self.epoch, self.first_batch = epoch + 1, 0
        return self._batches(epoch, first)

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        order = self.order(epoch)
        stop = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        starts = range(first * self.batch_size, stop, self.batch_size)
        chunks = ((start // self.batch_size, order[start : start + self.batch_size]) for start in starts)
        if self.num_workers == 0:
            for number, indices in chunks:
                yield self._load(epoch, number, indices)
            return
        with ThreadPoolExecutor(self.num_workers, thread_name_prefix="loader") as pool:
            waiting: deque[Future[Any]] = deque()
            try:
                for number, indices in chunks:
                    waiting.append(pool.submit(self._load, epoch, number, indices))
                    if len(waiting) > self.num_workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)  # the consumer may stop in the middle

    def _load(self, epoch: int, number: int, indices: np.ndarray) -> Any:
        """Batch ``number`` of ``epoch``: a pure function of its arguments and the seed."""
        generator = np.random.default_rng([self.seed, epoch, AUGMENTATION, number])
        if self.collate_fn is None:
            return draw_batch(self.dataset, indices, generator)
        return self.collate_fn([draw_sample(self.dataset, int(index), generator) for index in indices])
