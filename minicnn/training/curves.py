"""The learning curves of a run as a picture: loss and error against the epoch, training beside validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..serialization.atomic import replacing

COLORS = {"train": "#1f77b4", "validation": "#d95f02"}
LABELS = {"train": "training", "validation": "validation"}
ERROR_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)
SIZE_INCHES, DPI = (9.0, 3.8), 120


def draw_curves(path: str | Path, lines: Sequence[dict[str, Any]], title: str, footer: str = "") -> None:
    """Draw what ``metrics.jsonl`` holds to a PNG at ``path``: left the loss, right the top-1 error in percent.

    Args:
        lines: one dictionary per epoch with ``epoch``, ``train_loss``, ``train_top1``, ``validation_loss``,
            ``validation_top1`` (accuracies in [0, 1]); the validation's may be missing.
        title: the heading, e.g. the model and the data set.
        footer: a small line under it, e.g. the result on the test images.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: it would keep the figure, and choose a backend for the whole process
    loss_axes, error_axes = figure.subplots(1, 2)
    for part, color in COLORS.items():
        found = [line for line in lines if f"{part}_loss" in line]
        if not found:
            continue
        epochs = [line["epoch"] for line in found]
        style = {
            "color": color,
            "label": LABELS[part],
            "marker": "o",
            "markersize": 3,
            "linewidth": 1.6,
            "clip_on": False,
        }
        loss_axes.plot(epochs, [line[f"{part}_loss"] for line in found], **style)
        error_axes.plot(epochs, [100 * (1 - line[f"{part}_top1"]) for line in found], **style)
    for axes, name in ((loss_axes, "loss"), (error_axes, "top-1 error (%)")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
    # Most of a training happens at small losses and errors: so the scales are logarithmic, with room for an error of 0.
    loss_axes.set_yscale("log")
    loss_axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss_axes.yaxis.set_major_formatter("{x:g}")
    loss_axes.yaxis.set_minor_formatter(NullFormatter())
    error_axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    error_axes.set_yticks(ERROR_TICKS)
    error_axes.yaxis.set_major_formatter("{x:g}")
    error_axes.yaxis.set_minor_locator(NullLocator())
    error_axes.set_ylim(0, 100)
    figure.suptitle(f"{title}\n{footer}" if footer else title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
