"""An evaluation in words and numbers: a short table for a terminal, and ``evaluation.json``."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ..paths import printable
from ..terminal import fill, table
from .measuring import Evaluation
from .scores import confused_pairs
from .subject import Subject, file_of

MISTAKES = 24  # that are shown
FEW_CLASSES = 20  # as many are shown one by one; of more, those with the lowest F1
HARDEST = 10


def as_dict(subject: Subject, evaluation: Evaluation) -> dict[str, Any]:
    """The content of ``evaluation.json``. Shares are in [0, 1]; what nothing can be divided by is null."""
    found, classes = evaluation.calibration(), subject.classifier.labels
    scores = evaluation.scores
    shares = {f"top{k}": _share(evaluation, k) for k in (1, 5) if f"top{k}" in evaluation.means}
    return {
        "network": {"name": subject.name, "model": subject.classifier.name, "weights": str(subject.weights)},
        "data": {"name": subject.data, "split": subject.split, "images": evaluation.count, "note": subject.note},
        **shares,
        "loss": evaluation.loss,
        "label_smoothing": evaluation.label_smoothing,
        "cross_entropy": float(evaluation.losses.mean()),
        "calibration": {
            "error": found.error,
            "mean_confidence": found.mean_confidence,
            "bins": [
                {"from": low, "to": high, "images": count, "confidence": confidence, "accuracy": accuracy}
                for low, high, count, confidence, accuracy in zip(
                    found.edges[:-1].tolist(),
                    found.edges[1:].tolist(),
                    found.counts.tolist(),
                    map(_number, found.confidence),
                    map(_number, found.accuracy),
                    strict=True,
                )
            ],
        },
        "classes": [
            {
                "class": label,
                "images": int(scores.images[i]),
                "predicted": int(scores.predicted[i]),
                "right": int(scores.right[i]),
                "precision": _number(scores.precision[i]),
                "recall": _number(scores.recall[i]),
                "f1": _number(scores.f1[i]),
            }
            for i, label in enumerate(classes)
        ],
        # (class, taken for, how often): a matrix of a thousand classes would be nothing but zeros
        "confusion": [[int(i), int(j), int(evaluation.confusion[i, j])] for i, j in np.argwhere(evaluation.confusion)],
        "mistakes": [mistake(subject, evaluation, index) for index in evaluation.mistakes(MISTAKES).tolist()],
    }


def as_json(content: dict[str, Any]) -> str:
    """JSON with a line for each entry; a line for each number would be long for many classes."""
    entries = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in content.items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


def mistake(subject: Subject, evaluation: Evaluation, index: int) -> dict[str, Any]:
    """One image with a wrong prediction, in words."""
    labels, file = subject.classifier.labels, file_of(subject.plain, index)
    return {
        "index": index,
        "file": None if file is None else str(file),
        "class": labels[evaluation.targets[index]],
        "taken_for": labels[evaluation.predictions[index]],
        "confidence": float(evaluation.confidences[index]),
        "loss": float(evaluation.losses[index]),
    }


def lines(subject: Subject, evaluation: Evaluation) -> list[str]:
    """The lines for a terminal."""
    found = evaluation.calibration()
    part = "all" if subject.split == "all" else f"{subject.split} part"
    text = [fill(f"{printable(subject.name)} on {printable(subject.data)}, {part}: {extent(evaluation)}")]
    if subject.note:
        text.append(fill(f"note: {subject.note}"))
    for k in (1, 5):
        if f"top{k}" in evaluation.means:
            low, high = evaluation.interval(k)
            share, right = percent(evaluation.means[f"top{k}"]), evaluation.right(k)
            text.append(
                f"  top-{k}  {share:>7} %   95 % interval {percent(low)} to {percent(high)} %   {right:,} right"
            )
    text += [
        f"  loss   {evaluation.loss:9.4f}   {_about_loss(evaluation)}".rstrip(),
        f"  mean confidence {percent(found.mean_confidence)} %, expected calibration error {percent(found.error)} %",
        *table([_HEAD, *(_row(subject, evaluation, i) for i in shown_classes(evaluation))], "<>>>><", "  "),
    ]
    if len(involved(evaluation)) > FEW_CLASSES:
        text.append("  (the classes with the lowest F1; all are on the page)")
    return text


_HEAD = ("class", "images", "precision", "recall", "F1", "most often taken for")


def _row(subject: Subject, evaluation: Evaluation, i: int) -> tuple[str, ...]:
    labels, scores = subject.classifier.labels, evaluation.scores
    taken = most_often(evaluation, i)
    return (
        printable(labels[i]),
        f"{scores.images[i]:,}",
        *(percent(float(value[i])) for value in (scores.precision, scores.recall, scores.f1)),
        f"{printable(labels[taken[0]])} ({taken[1]:,})" if taken else "",
    )


def most_often(evaluation: Evaluation, i: int) -> tuple[int, int] | None:
    """For which other class images of class ``i`` were taken most often, and how often; None if never."""
    row = evaluation.confusion[i].copy()
    row[i] = 0
    return (int(row.argmax()), int(row.max())) if row.any() else None


def involved(evaluation: Evaluation) -> np.ndarray:
    """The classes to speak of: all if they are few, else those that have images or were said."""
    if evaluation.num_classes <= FEW_CLASSES:
        return np.arange(evaluation.num_classes)
    return np.flatnonzero(evaluation.scores.images + evaluation.scores.predicted)


def shown_classes(evaluation: Evaluation, hardest: int = HARDEST) -> list[int]:
    """The classes to speak of if they are few; else those with the lowest F1, of which there are images."""
    found = involved(evaluation)
    if len(found) <= FEW_CLASSES:
        return found.tolist()
    present = np.flatnonzero(evaluation.scores.images)
    return present[np.argsort(evaluation.scores.f1[present], kind="stable")][:hardest].tolist()


def extent(evaluation: Evaluation) -> str:
    """``358 images in 10 classes``."""
    count, every = evaluation.count, evaluation.num_classes
    present = int((evaluation.scores.images > 0).sum())
    classes = f"{every:,} class{'es' * (every != 1)}"
    return f"{count:,} image{'s' * (count != 1)} in {classes if present == every else f'{present:,} of {classes}'}"


def verdict(evaluation: Evaluation) -> str:
    """Whether the network is too sure, in words."""
    found = evaluation.calibration()
    gap = 100 * (found.mean_confidence - found.mean_accuracy)
    if abs(gap) < 0.05:
        return "on the whole it is as sure as it should be"
    return f"on the whole it is {abs(gap):.1f} points {'surer' if gap > 0 else 'less sure'} than it is right"


def pairs(subject: Subject, evaluation: Evaluation, most: int) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: class, taken for, how often, images of the class."""
    labels, images = subject.classifier.labels, evaluation.scores.images
    return [(labels[i], labels[j], n, int(images[i])) for i, j, n in confused_pairs(evaluation.confusion, most)]


def _about_loss(evaluation: Evaluation) -> str:
    if not evaluation.label_smoothing:
        return ""
    return f"with label smoothing {evaluation.label_smoothing:g} as in training; {evaluation.losses.mean():.4f} without"


def percent(share: float) -> str:
    """A share in per cent, with two decimals; a dash for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _share(evaluation: Evaluation, k: int) -> dict[str, Any]:
    low, high = evaluation.interval(k)
    return {"accuracy": evaluation.means[f"top{k}"], "right": evaluation.right(k), "low": low, "high": high}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
