"""The picture of docs/deformable.md: nine taps moved by their offsets. ``draw.py`` draws it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minicnn.utils import style

DOWN, RIGHT, GRID = style.VERMILION, style.BLUE, style.SOFT
TAPS = [(i, j) for i in range(3) for j in range(3)]


def draw_grid(axes: Axes, offsets: np.ndarray, shown: int) -> None:
    """The nine taps of one window, where they are moved to, and for tap ``shown`` its dy and dx."""
    rows, columns = np.mgrid[0:5, 0:5]
    axes.scatter(columns, rows, s=8, c=style.FAINT)
    for number, ((i, j), (dy, dx)) in enumerate(zip(TAPS, offsets, strict=True)):
        row, column = 1 + i, 1 + j
        axes.scatter(column, row, s=150, facecolors="white", edgecolors=GRID)
        axes.annotate(str(number), (column, row), ha="center", va="center", fontsize=8, color=style.INK)
        if number != shown:
            axes.annotate(
                "", (column + dx, row + dy), (column, row), arrowprops={"arrowstyle": "-", "color": GRID, "shrinkA": 7}
            )
        axes.scatter(column + dx, row + dy, s=32, c="black", zorder=3)
    (i, j), (dy, dx) = TAPS[shown], offsets[shown]
    row, column = 1 + i, 1 + j
    axes.plot([column] * 2, [row + 0.2, row + dy], c=DOWN, lw=2.5)
    axes.plot([column, column + dx], [row + dy] * 2, c=RIGHT, lw=2.5)
    axes.annotate("dy", (column - 0.1, row + dy / 2 + 0.1), color=DOWN, ha="right", va="center", fontsize=12)
    axes.annotate("dx", (column + dx / 2, row + dy + 0.12), color=RIGHT, ha="center", va="top", fontsize=12)
    axes.set(title="the nine taps of one window", xlim=(-0.4, 4.6), ylim=(4.6, -0.4), aspect="equal")
    axes.set(xticks=[], yticks=[], xlabel="x, to the right", ylabel="y, downwards")


def draw_corners(axes: Axes, below: float, right: float) -> None:
    """A sample between four pixels; each counts by the area of the rectangle on the other side."""
    names = {(0, 0): "upper left", (0, 1): "upper right", (1, 0): "lower left", (1, 1): "lower right"}
    colours = {(0, 0): style.ORANGE, (0, 1): style.SKY, (1, 0): style.PURPLE, (1, 1): style.GREEN}
    for (down, across), colour in colours.items():
        # The rectangle between the sample and the opposite corner.
        x = sorted([right, 0.0 if across else 1.0])
        y = sorted([below, 0.0 if down else 1.0])
        axes.fill([x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], color=colour, alpha=0.75, lw=0)
        weight = (below if down else 1 - below) * (right if across else 1 - right)
        axes.annotate(f"{weight:.2f}", (sum(x) / 2, sum(y) / 2), ha="center", va="center", fontsize=10)
        axes.scatter(across, down, s=130, c=colour, edgecolors="black", zorder=3)
        label_y, vertical = (1.1, "top") if down else (-0.1, "bottom")
        axes.annotate(names[down, across], (across, label_y), ha="center", va=vertical, fontsize=9)
    axes.scatter(right, below, s=40, c="black", zorder=3)
    axes.plot([right] * 2, [0, below], c=DOWN, lw=2.5)
    axes.plot([0, right], [below] * 2, c=RIGHT, lw=2.5)
    axes.annotate("b", (right - 0.03, below / 2), color=DOWN, ha="right", va="center", fontsize=12)
    axes.annotate("a", (right / 2, below - 0.03), color=RIGHT, ha="center", va="bottom", fontsize=12)
    axes.set(title="each pixel counts by the opposite area", xlim=(-0.45, 1.45), ylim=(1.35, -0.35), aspect="equal")
    axes.set_axis_off()


def draw_channels(axes: Axes, shown: int) -> None:
    """The 18 channels of the offsets of one window, tap after tap."""
    for channel in range(18):
        tap, across = divmod(channel, 2)
        axes.fill(
            [channel, channel + 1, channel + 1, channel], [0, 0, 1, 1],
            color=RIGHT if across else DOWN, alpha=0.85 if tap == shown else 0.3, ec="white", lw=1.5,
        )  # fmt: skip
        axes.annotate("dx" if across else "dy", (channel + 0.5, 0.5), ha="center", va="center", fontsize=10)
        axes.annotate(str(channel), (channel + 0.5, -0.08), ha="center", va="bottom", fontsize=9, color=style.INK)
        if not across:
            axes.annotate(f"tap {tap}", (channel + 1, 1.08), ha="center", va="top", fontsize=9)
    axes.annotate("channel", (-0.2, -0.08), ha="right", va="bottom", fontsize=9, color=style.INK)
    axes.set(xlim=(-1.6, 18.2), ylim=(1.6, -0.6))
    axes.set_axis_off()


def draw() -> Any:
    """The whole picture."""
    offsets = np.random.default_rng(3).uniform(-0.55, 0.55, (9, 2))
    offsets[5], offsets[8] = (0.72, 1.2), (0.45, 0.4)
    drawing = style.picture(5.6)
    axes = drawing.subplot_mosaic([["grid", "corners"], ["channels", "channels"]], height_ratios=[4, 1])
    draw_grid(axes["grid"], offsets, shown=5)
    draw_corners(axes["corners"], below=0.72, right=0.35)
    draw_channels(axes["channels"], shown=5)
    return drawing
