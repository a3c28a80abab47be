"""Data sets: a length and samples, read one by one or (faster) in batches."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tensors import Tensor
from .collate import collate
from .randomness import RandomSource, numpy_generator
from .transforms import apply_transform


class Dataset:
    """Base class. A subclass defines ``__len__`` and ``__getitem__``.

    Random augmentation that a resumed run has to repeat draws from the ``generator`` that ``sample`` and
    ``batch`` are given: a data set with such an augmentation defines ``sample`` instead of ``__getitem__``.
    One that can read many samples at once also defines ``batch``.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __getitem__(self, index: int) -> Any:
        """Sample ``index``; its augmentation, if any, draws from the default stream."""
        if type(self).sample is Dataset.sample:
            raise NotImplementedError(f"{type(self).__name__} defines neither __getitem__() nor sample()")
        return self.sample(index, numpy_generator(None))

    def sample(self, index: int, generator: np.random.Generator) -> Any:
        """Sample ``index``, augmented with random numbers from ``generator``."""
        return self[index]

    def batch(self, indices: np.ndarray, generator: np.random.Generator) -> Any:
        """The samples at ``indices`` as one batch: what ``collate`` makes of them."""
        return collate([self.sample(int(index), generator) for index in indices])

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Tensors (or arrays) of equal length side by side: sample i is the tuple of all their i-th entries.

    Raises:
        ValueError: without tensors, or for different lengths.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(item if isinstance(item, Tensor) else Tensor(item) for item in tensors)
        lengths = [len(item) for item in self.tensors]
        if not lengths or len(set(lengths)) > 1:
            raise ValueError(f"expected tensors of one length, got lengths {lengths}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(item[index] for item in self.tensors)

    def batch(self, indices: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, ...]:
        return self[indices]


class ArrayDataset(Dataset):
    """Images of one size and their labels, as arrays in memory or in a memory-mapped file.

    Sample i is ``(image, label)``: a float tensor (C, H, W) and an int. Batches are cut out of the arrays at
    once and transformed as a whole.

    Args:
        images: (N, C, H, W), or an object that an integer array can index in the same way.
        labels: (N,) integers from 0.
        transform: applied to each batch (B, C, H, W) of images; see ``transforms``.
        classes: the names of the labels.

    Raises:
        ValueError: if the numbers of images and labels differ, or a label is out of range.
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        transform: Callable[..., Any] | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self.images = images
        self.labels = np.asarray(labels, dtype=np.int64)
        self.transform = transform
        self.classes = tuple(classes)
        if self.labels.shape != (len(images),):
            raise ValueError(f"expected one label for each of {len(images)} images, got {self.labels.shape}")
        if self.classes and self.labels.size:
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise ValueError(f"labels must be 0 to {len(self.classes) - 1}, got {low} to {high}")

    def __len__(self) -> int:
        return len(self.labels)

    def _read(self, indices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        images = np.asarray(self.images[indices])
        return images if self.transform is None else apply_transform(self.transform, images, generator)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a data set of {len(self)}")
        image = self._read(np.array([index]), generator)[0]
        return Tensor(image), int(self.labels[index])

    def batch(self, indices: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        return Tensor(self._read(indices, generator)), Tensor(self.labels[indices])


class Subset(Dataset):
    """The samples of ``dataset`` at ``indices``, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)

    @property
    def labels(self) -> np.ndarray:
        """The labels of these samples, if ``dataset`` has ``labels``."""
        return self.dataset.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def sample(self, index: int, generator: np.random.Generator) -> Any:
        return draw_sample(self.dataset, int(self.indices[index]), generator)

    def batch(self, indices: np.ndarray, generator: np.random.Generator) -> Any:
        return draw_batch(self.dataset, self.indices[indices], generator)


class ConcatDataset(Dataset):
    """Data sets one after the other.

    Raises:
        ValueError: without data sets.
    """

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one data set")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def _locate(self, index: int) -> tuple[Any, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a data set of {len(self)}")
        index %= len(self)
        part = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[part], index - (self.cumulative_sizes[part - 1] if part else 0)

    def __getitem__(self, index: int) -> Any:
        dataset, position = self._locate(index)
        return dataset[position]

    def sample(self, index: int, generator: np.random.Generator) -> Any:
        dataset, position = self._locate(index)
        return draw_sample(dataset, position, generator)


def draw_sample(dataset: Any, index: int, generator: np.random.Generator) -> Any:
    """Sample ``index`` of any data set; ``generator`` reaches those that are ``Dataset`` objects."""
    return dataset.sample(index, generator) if isinstance(dataset, Dataset) else dataset[index]


def draw_batch(dataset: Any, indices: np.ndarray, generator: np.random.Generator) -> Any:
    """The samples at ``indices`` of any data set as one batch."""
    if isinstance(dataset, Dataset):
        return dataset.batch(indices, generator)
    return collate([dataset[int(index)] for index in indices])


def random_split(
    dataset: Any, lengths: Sequence[int] | Sequence[float], generator: RandomSource = None
) -> list[Subset]:
    """Cut a data set into disjoint random parts.

    Args:
        lengths: the number of samples per part (their sum is that of the data set), or the share of each (their sum is
            1; samples that are left after rounding down go one by one to the first parts).
        generator: a seed, a generator, or ``None`` for the default stream.

    Raises:
        ValueError: if ``lengths`` do not add up.
    """
    total = len(dataset)
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    if abs(sum(lengths) - 1) < 1e-6 and not (total == 1 and all(isinstance(n, int) for n in lengths)):
        sizes = [int(total * share) for share in lengths]
        for part in range(total - sum(sizes)):
            sizes[part % len(sizes)] += 1
    elif all(float(length).is_integer() for length in lengths) and sum(lengths) == total:
        sizes = [int(length) for length in lengths]
    else:
        raise ValueError(
            f"lengths must add up to the data set's {total} samples, or as shares to 1: got {list(lengths)}"
        )
    order = numpy_generator(generator).permutation(total)
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def stratified_split(labels: Any, shares: Sequence[float], seed: int = 0) -> list[np.ndarray]:
    """Cut the indices of ``labels`` into disjoint parts in which every class has the same share.

    Of a class with n samples part p gets ``n * shares[p]`` rounded down or up (by largest remainder, so that
    the parts of a class add up to n). The same seed gives the same parts.

    Args:
        labels: (N,) class indices.
        shares: one per part; their sum is 1.

    Returns:
        The sorted indices of each part, int64.

    Raises:
        ValueError: if the shares are negative or do not add up to 1.
    """
    if any(share < 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be >= 0 and add up to 1, got {list(shares)}")
    labels = np.asarray(labels)
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        exact = [len(members) * share for share in shares]
        sizes = [int(size + 1e-9) for size in exact]
        by_remainder = sorted(range(len(shares)), key=lambda part: round(sizes[part] - exact[part], 9))
        for part in by_remainder[: len(members) - sum(sizes)]:
            sizes[part] += 1
        for pieces, piece in zip(parts, np.split(members, np.cumsum(sizes)[:-1]), strict=True):
            pieces.append(piece)
    return [np.sort(np.concatenate([*pieces, np.array([], np.int64)])) for pieces in parts]
