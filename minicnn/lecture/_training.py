"""The one small training loop that the figures share: Adam or SGD, a cosine schedule, shuffled batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn, optim
from ..data import digits
from ..models.googlenet import auxiliary_loss
from ..tensor import Tensor

Images = tuple[np.ndarray, np.ndarray]  # (N, C, H, W) float32 and (N,) labels


def digit_images(split: str, count: int | None = None, size: int = 8) -> Images:
    """The first ``count`` digits of a split (all for ``None``), normalised, as arrays (N, 1, size, size) and labels."""
    dataset = digits(split, image_size=size)
    images = np.stack([dataset[i][0] for i in range(len(dataset) if count is None else min(count, len(dataset)))])
    return images.astype(np.float32), np.asarray(dataset.labels)[: len(images)].astype(np.int64)


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
    """Train ``model`` where it is, with the cross-entropy and a learning rate that falls to 0 along a cosine.

    Args:
        model: its auxiliary classifiers, if any, count as in the lecture.
        data: images and labels; an epoch leaves out the images that do not fill a batch, other ones each time.
        epochs: passes over the data.
        rng: shuffles.
        lr: learning rate at the start.
        batch_size: images of a step; at most as many as there are.
        optimizer: called with the parameters, ``lr`` and ``options``.
        on_epoch: told after each epoch its number from 1, mean training loss and training error in per cent, both
            as they were met during the epoch.
    """
    images, labels = data
    batch_size = min(batch_size, len(images))
    batches = len(images) // batch_size
    device = next(model.parameters()).device
    rule = optimizer(model.parameters(), lr=lr, **options)
    schedule = optim.lr_scheduler.CosineAnnealingLR(rule, epochs * batches)
    model.train()
    for epoch in range(1, epochs + 1):
        losses, wrong = [], 0
        for rows in rng.permutation(len(images))[: batches * batch_size].reshape(batches, batch_size):
            output = model(Tensor(images[rows]).to(device))
            loss = auxiliary_loss(output, Tensor(labels[rows]).to(device))
            rule.zero_grad()
            loss.backward()
            rule.step()
            schedule.step()
            logits = output[0] if isinstance(output, tuple) else output
            losses.append(loss.item())
            wrong += int((logits.detach().argmax(1).cpu().numpy() != labels[rows]).sum())
        on_epoch(epoch, float(np.mean(losses)), 100 * wrong / (batches * batch_size))
