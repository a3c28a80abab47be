"""What a training is tested with: images of two kinds, and the lines of a history."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data import TensorDataset


def blobs(count: int, seed: int) -> TensorDataset:
    """Two kinds of 4x4 images that differ in brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.normal(size=(count, 1, 4, 4)) + 2.0 * labels[:, None, None, None] - 1
    return TensorDataset(images.astype(np.float32), labels)


def history(epochs: int, validation: bool = True) -> list[dict[str, Any]]:
    parts = ("train", "validation") if validation else ("train",)
    return [
        {"epoch": e, **{f"{part}_loss": 1 / e for part in parts}, **{f"{part}_top1": 1 - 0.5 / e for part in parts}}
        for e in range(1, epochs + 1)
    ]
