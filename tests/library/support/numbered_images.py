"""A data set whose images show their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.data import ArrayDataset, Dataset, transforms

seeds = st.integers(0, 2**31)


def numbered(count: int, transform: Any = None) -> ArrayDataset:
    """Images whose pixels all have the image's number, labelled by the number modulo 3."""
    numbers = np.arange(count, dtype=np.float32)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 1, 4, 4))
    return ArrayDataset(images, np.arange(count) % 3, transform)


AUGMENTED = transforms.Compose([transforms.RandomCrop(4, padding=2), transforms.RandomHorizontalFlip()])


class OneByOne(Dataset):
    """The same images without a fast path, each augmented for itself."""

    def __init__(self, count: int) -> None:
        self.images = np.random.default_rng(0).standard_normal((count, 1, 4, 4)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        return AUGMENTED(self.images[index], generator), index
