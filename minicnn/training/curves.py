"""The learning curves of a run as a picture: loss and error against the epoch, training beside validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..utils import style

PARTS = {"training": ("train", style.LOOKS[0]), "validation": ("validation", style.LOOKS[1])}
ERROR_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)
HEIGHT_INCHES = 3.8


def least_loss(label_smoothing: float, num_classes: int) -> float:
    """The least cross-entropy that any prediction can have with smoothed labels: the entropy of such a label.

    A label gives its class ``1 - label_smoothing + label_smoothing / num_classes`` and each other class
    ``label_smoothing / num_classes`` [Szegedy et al., CVPR 2016, section 7]; the loss is smallest where the prediction
    is just that. 0.500 for 0.1 and ten classes; 0 without smoothing.
    """
    other = label_smoothing / num_classes
    own = 1 - label_smoothing + other
    return -sum(count * p * math.log(p) for count, p in ((1, own), (num_classes - 1, other)) if p > 0)


def draw_curves(
    path: str | Path, lines: Sequence[dict[str, Any]], title: str, footer: str = "", least: float = 0.0
) -> None:
    """Draw what ``metrics.jsonl`` holds to a PNG at ``path``: left the loss, right the top-1 error in percent.

    Args:
        lines: one dictionary per epoch with ``epoch``, ``train_loss``, ``train_top1``, ``validation_loss``,
            ``validation_top1`` (accuracies in [0, 1]); the validation's may be missing.
        title: the heading, e.g. the model and the data set.
        footer: a small line under it, e.g. the result on the test images.
        least: the least possible loss, see ``least_loss``; drawn as a dotted line unless it is 0.
    """
    with style.applied():
        drawing = style.picture(HEIGHT_INCHES)
        loss_axes, error_axes = drawing.subplots(1, 2)
        ends: dict[Any, list[tuple[str, float, float]]] = {}
        for label, (part, look) in PARTS.items():
            found = [line for line in lines if f"{part}_loss" in line]
            epochs = [line["epoch"] for line in found]
            for axes, values in (
                (loss_axes, [line[f"{part}_loss"] for line in found]),
                (error_axes, [100 * (1 - line[f"{part}_top1"]) for line in found]),
            ):
                if found:
                    axes.plot(epochs, values, **look.line(clip_on=False, markersize=3.5))
                    ends.setdefault(axes, []).append((label, epochs[-1], values[-1]))
        _scales(loss_axes, error_axes)
        if least and lines:
            loss_axes.axhline(least, color=style.SOFT, linestyle=":")
            ends[loss_axes].append((f"least possible: {least:.3f}", lines[-1]["epoch"], least))
        drawing.suptitle(f"{title}\n{footer}" if footer else title)
        for axes, labels in ends.items():
            style.label_ends(axes, labels)
        style.save(drawing, path, "png")


def _scales(loss_axes: Any, error_axes: Any) -> None:
    """Most of a training happens at small losses and errors: logarithmic scales, with room for an error of 0."""
    loss_scale(loss_axes)
    error_scale(error_axes)


def loss_scale(axes: Any, title: str = "loss", logarithmic: bool = True) -> None:
    """Make axes those of a loss against the epoch."""
    _epochs(axes, title)
    if logarithmic:
        axes.set_yscale("log")
        style.readable(axes.yaxis)


def error_scale(axes: Any, title: str = "top-1 error (%)", logarithmic: bool = True) -> None:
    """Make axes those of an error in percent against the epoch; a logarithmic one is linear below 1, down to 0."""
    _epochs(axes, title)
    if logarithmic:
        axes.set_yscale("symlog", linthresh=1, linscale=0.5)
        style.ticks(axes.yaxis, ERROR_TICKS)
    axes.set_ylim(0, 100)


def _epochs(axes: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.6)
