"""What is measured while training: the share of right answers among the first k, and running means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

NEVER = np.iinfo(np.int64).max
TOP5_MIN_CLASSES = 5  # with fewer classes the first five answers would be all classes


def ranks(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How many classes come before the target in each row, so that "among the first k" is ``ranks < k``.

    Args:
        logits: (N, C) scores.
        targets: (N,) class indices.

    Returns:
        (N,) integers. Of equal scores the lower class index comes first, as in ``argmax``; a NaN is never
        right.
    """
    rows = np.arange(len(targets))
    own = logits[rows, targets][:, None]
    earlier = np.arange(logits.shape[1]) < targets[:, None]
    before = ~(logits <= own) | ((logits == own) & earlier)  # "not <=" rather than ">": NaN beats everything
    return np.where(np.isnan(own[:, 0]), NEVER, before.sum(axis=1))


def topk_accuracy(logits: np.ndarray, targets: np.ndarray, k: int = 1) -> float:
    """The share of rows whose target is among the k highest scores, in [0, 1]."""
    return float(np.mean(ranks(logits, targets) < k))


class RunningMean:
    """A mean over a stream of batches of different sizes, summed in double precision."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def add(self, mean: float, count: int) -> None:
        """Add ``count`` values whose mean is ``mean``."""
        self.total += mean * count
        self.count += count

    @property
    def value(self) -> float:
        """The mean so far; NaN before the first value."""
        return self.total / self.count if self.count else float("nan")


class ClassificationMetrics:
    """Loss, top-1 and (from five classes on) top-5 accuracy over the batches of an epoch."""

    def __init__(self, num_classes: int) -> None:
        ks = (1, 5) if num_classes >= TOP5_MIN_CLASSES else (1,)
        self.loss = RunningMean()
        self.topk = {k: RunningMean() for k in ks}

    def add(self, loss: float, logits: np.ndarray, targets: np.ndarray) -> None:
        """Add one batch: its mean loss, (N, C) logits, (N,) targets."""
        count = len(targets)
        self.loss.add(loss, count)
        found = ranks(logits, targets)
        for k, mean in self.topk.items():
            mean.add(float(np.mean(found < k)), count)

    @property
    def count(self) -> int:
        """How many images were added."""
        return self.loss.count

    def summary(self) -> dict[str, float]:
        """``{"loss": ..., "top1": ..., "top5": ...}``, accuracies in [0, 1]."""
        return {"loss": self.loss.value, **{f"top{k}": mean.value for k, mean in self.topk.items()}}


def prefixed(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    """The same numbers under ``"train_loss"``, ``"train_top1"``, ... for one flat line of ``metrics.jsonl``."""
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def best(lines: Iterable[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """Epoch and value of the highest ``key``, the first of equals; None if no line has it."""
    found = [line for line in lines if key in line]
    if not found:
        return None
    line = max(found, key=lambda line: line[key])
    return {"epoch": line["epoch"], key: line[key]}
