"""A network at work on images whose classes are known: ``evaluate`` keeps what it said, and ``Evaluation`` tells it.

evaluation = evaluate(model, DataLoader(digits("test"), batch_size=64))
print(evaluation.top1, evaluation.interval())
print(evaluation.confusion)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..compiler import compile
from ..models.prediction import NotFinite
from ..nn import Module
from ..nn.functional import cross_entropy
from ..nn.summary import evaluating
from ..training.metrics import ClassificationMetrics, ranks
from .calibration import BINS, Calibration, calibration
from .scores import ClassScores, class_scores, confusion_matrix, wilson_interval


@dataclass(frozen=True)
class Evaluation:
    """What a network said about N images, in their order, and what follows from it.

    Attributes:
        num_classes: C.
        targets: (N,) int64, the classes of the images.
        predictions: (N,) int64, the classes with the highest logits; of equal ones the first.
        confidences: (N,) float64, the probabilities (softmax) of the predictions.
        losses: (N,) float64, minus the log-probabilities of the targets, without label smoothing.
        ranks: (N,) int64, how many classes came before the target; 0 where the prediction is right.
        means: ``loss``, ``top1`` and, from five classes on, ``top5``, as training measures them.
        label_smoothing: of ``loss``.
    """

    num_classes: int
    targets: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    losses: np.ndarray
    ranks: np.ndarray
    means: dict[str, float]
    label_smoothing: float = 0.0

    @property
    def count(self) -> int:
        """How many images."""
        return len(self.targets)

    @property
    def loss(self) -> float:
        """The mean loss, with ``label_smoothing``."""
        return self.means["loss"]

    @property
    def top1(self) -> float:
        """The share of images whose prediction is right."""
        return self.means["top1"]

    @property
    def top5(self) -> float | None:
        """The share of images whose class is among the first five; None with less than five classes."""
        return self.means.get("top5")

    def right(self, k: int = 1) -> int:
        """How many images have their class among the first ``k``."""
        return int((self.ranks < k).sum())

    def interval(self, k: int = 1, confidence: float = 0.95) -> tuple[float, float]:
        """The Wilson score interval of the top-k accuracy, see ``wilson_interval``."""
        return wilson_interval(self.right(k), self.count, confidence)

    @cached_property
    def confusion(self) -> np.ndarray:
        """(C, C) int64: how often images of class i (row) were taken for class j (column)."""
        return confusion_matrix(self.targets, self.predictions, self.num_classes)

    @cached_property
    def scores(self) -> ClassScores:
        """Precision, recall and F1 of each class."""
        return class_scores(self.confusion)

    def calibration(self, bins: int = BINS) -> Calibration:
        """How sure the network is, and how often it is right."""
        return calibration(self.confidences, self.ranks == 0, bins)

    def mistakes(self, most: int | None = None) -> np.ndarray:
        """The indices of the images with a wrong prediction, the highest loss first; ``most`` of them, or all."""
        wrong = np.flatnonzero(self.ranks)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:most]


def evaluate(
    model: Module,
    loader: Iterable[Any],
    *,
    label_smoothing: float = 0.0,
    compiled: bool = False,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Run ``model`` on every batch of ``loader``, in evaluation mode and without gradients.

    The means are those of ``training.Trainer.evaluate``, to the last digit, for the same batches.

    Args:
        model: (N, C, H, W) -> logits (N, classes); on any device.
        loader: yields ``(images, targets)``: tensors (B, C, H, W) and (B,) of class indices.
        label_smoothing: of the mean loss.
        compiled: run the model by ``minicnn.compile``, as training does.
        on_batch: called after every batch with the number of its images.

    Raises:
        ValueError: if there is no image, or a target is not one of the network's classes.
        NotFinite: if a logit is NaN or infinite.
        ShapeError: if the network does not take such images.
    """
    place = next(model.parameters(), None)
    network = compile(model) if compiled else model
    classes, metrics = 0, None
    parts: list[tuple[np.ndarray, ...]] = []
    with evaluating(model), no_grad():
        for images, targets in loader:
            if place is not None:
                images, targets = images.to(place.device, place.dtype), targets.to(place.device)
            output = network(images)
            logits, labels = output.cpu().numpy(), targets.cpu().numpy()
            classes = logits.shape[1]
            _require_classes(labels, classes)
            if not np.isfinite(logits).all():
                raise NotFinite(
                    "the network's logits are not finite (NaN or infinity): are these the weights of a trained one?"
                )
            metrics = ClassificationMetrics(classes) if metrics is None else metrics
            metrics.add(cross_entropy(output, targets, label_smoothing=label_smoothing).item(), logits, labels)
            parts.append(_answers(logits, labels))
            on_batch(len(labels))
    if metrics is None:
        raise ValueError("there are no images to evaluate the network on")
    targets, predictions, confidences, losses, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Evaluation(classes, targets, predictions, confidences, losses, found, metrics.summary(), label_smoothing)


def _require_classes(labels: np.ndarray, classes: int) -> None:
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"label {wrong[0]} is no class of the network, which has {classes}: 0 to {classes - 1}")


def _answers(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Targets, predictions, their confidences, the losses and the ranks of a batch, (B,) each."""
    rows = np.arange(len(targets))
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))  # the highest logit is now 0
    losses = log_sums - shifted[rows, targets]
    return targets.astype(np.int64), logits.argmax(axis=1), np.exp(-log_sums), losses, ranks(logits, targets)
