"""Trainings of the figures: the digits as arrays, and the library's trainer with Adam or SGD and a cosine schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import nn, optim
from ..data import DataLoader, TensorDataset, digits
from ..training import Trainer

Images = tuple[np.ndarray, np.ndarray]  # (N, C, H, W) float32 and (N,) labels


def digit_images(split: str, count: int | None = None, size: int = 8) -> Images:
    """The first ``count`` digits of a split (all for ``None``), normalised, as arrays (N, 1, size, size) and labels."""
    dataset = digits(split, image_size=size)
    images = np.stack([dataset[i][0] for i in range(len(dataset) if count is None else min(count, len(dataset)))])
    return images.astype(np.float32), np.asarray(dataset.labels)[: len(images)].astype(np.int64)


class Shuffled:
    """A sampler: the indices 0 to ``count`` - 1, in a new order drawn from ``rng`` each time."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.count = count
        self.rng = rng

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(self.rng.permutation(self.count).tolist())


def fit(
    model: nn.Module,
    data: Images,
    epochs: int,
    rng: np.random.Generator,
    lr: float = 0.01,
    batch_size: int = 64,
    optimizer: Callable[..., Any] = optim.Adam,
    on_epoch: Callable[[int, float, float], None] = lambda epoch, loss, error: None,
    **options: Any,
) -> None:
    """Train ``model`` on its device, with the cross-entropy and a learning rate that falls to 0 along a cosine.

    Args:
        model: its auxiliary classifiers, if any, count as in the lecture.
        data: images and labels; in each epoch a different random few are left out, if they do not fill a batch.
        epochs: passes over the data.
        rng: shuffles.
        lr: learning rate at the start.
        batch_size: images per step; at most as many as there are.
        optimizer: called with the parameters, ``lr`` and ``options``.
        on_epoch: called after each epoch with its number from 1, mean training loss and training error in per cent,
            both measured on the batches before their steps.

    Raises:
        TrainingDiverged: when the loss is no longer finite.
    """
    images, labels = data
    shuffled = Shuffled(len(images), rng)
    size = min(batch_size, len(images))
    batches = DataLoader(TensorDataset(*data), size, sampler=shuffled, drop_last=True, seed=0)  # the seed has no effect
    rule = optimizer(model.parameters(), lr=lr, **options)
    schedule = optim.lr_scheduler.CosineAnnealingLR(rule, epochs * len(batches))
    device = str(next(model.parameters()).device)
    trainer = Trainer(model, rule, schedule, batches, None, int(labels.max()) + 1, device=device)

    def report(line: dict[str, Any]) -> None:
        on_epoch(line["epoch"], line["train_loss"], 100 * (1 - line["train_top1"]))

    trainer.fit(epochs, on_epoch=report)
