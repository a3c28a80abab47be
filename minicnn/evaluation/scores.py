"""Right and wrong answers, counted: the confusion matrix, what follows from it for each class, and intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


def wilson_interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval for a share that was seen as ``right`` of ``count`` [Wilson, JASA 22 (1927), 209-212].

    If the network were tested on many other sets of as many images, about 95 % of such intervals would hold the share
    of right answers among all images there are. Unlike the share plus or minus two standard errors it stays within
    [0, 1], and it has a width also where all answers are right.

    Args:
        right: how many answers were right.
        count: of how many.
        confidence: between 0 and 1.

    Returns:
        The lower and the upper end, in [0, 1]; around nothing, (0, 1).

    Raises:
        ValueError: unless ``0 <= right <= count`` and ``0 < confidence < 1``.
    """
    if not 0 <= right <= count:
        raise ValueError(f"expected from 0 to {count} right answers of {count}, got {right}")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` (={confidence}) must be between 0 and 1")
    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Of nothing and of all the ends are 0 and 1, but for rounding.
    return (0.0 if right == 0 else max(0.0, middle - half)), (1.0 if right == count else min(1.0, middle + half))


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How often images of each class were taken for each class.

    Args:
        targets: (N,) class indices: what the images show.
        predictions: (N,) class indices: what the network said.
        num_classes: C.

    Returns:
        (C, C) int64. Row i are the images of class i, and column j those that were taken for class j.

    Raises:
        ValueError: for different shapes, or an index outside 0 .. C - 1.
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if targets.ndim != 1 or targets.shape != predictions.shape:
        raise ValueError(f"expected two arrays of shape (N,), got {targets.shape} and {predictions.shape}")
    for name, indices in (("targets", targets), ("predictions", predictions)):
        wrong = indices[(indices < 0) | (indices >= num_classes)]
        if wrong.size:
            raise ValueError(f"expected {name} from 0 to {num_classes - 1}, got {wrong[0]}")
    places = targets.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class, arrays (C,); NaN where there is nothing to divide by.

    Attributes:
        precision: right answers as a share of the images that were taken for the class; NaN if none was.
        recall: right answers as a share of the images of the class; NaN if there are none.
        f1: the harmonic mean of the two; NaN if there is no image of the class and none was taken for it.
        images: of the class.
        predicted: images that were taken for the class.
        right: images of the class that were.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    images: np.ndarray
    predicted: np.ndarray
    right: np.ndarray


def class_scores(confusion: np.ndarray) -> ClassScores:
    """What a confusion matrix (C, C) says about each class."""
    right, images, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return ClassScores(
            right / predicted, right / images, 2 * right / (images + predicted), images, predicted, right
        )


def confused_pairs(confusion: np.ndarray, most: int | None = None) -> list[tuple[int, int, int]]:
    """The mistakes that were made most often, ``(class, taken for, how often)``, in falling order.

    Args:
        confusion: (C, C), see ``confusion_matrix``.
        most: how many; None: all.
    """
    wrong = confusion - np.diag(np.diagonal(confusion))
    rows, columns = np.nonzero(wrong)
    order = np.argsort(-wrong[rows, columns], kind="stable")[:most]
    return [(int(i), int(j), int(wrong[i, j])) for i, j in zip(rows[order], columns[order], strict=True)]
