"""One style for all pictures: colours that everybody can tell apart, a second cue, labels at the ends of lines.

The colours are Okabe and Ito's ("Color Universal Design", 2008): they stay apart for people who do not see red, green
or blue. A line differs from the others by its marker and its dash too, a bar by its label, so no picture needs its
colours. Pictures are ``WIDTH`` inches wide, so that on a page of usual width their letters are about the text's size.

    with style.applied():
        drawing = style.picture(height=4)
        axes = drawing.subplots()
        axes.plot(x, y, **style.LOOKS[0].line())
        style.label_ends(axes, [("what it is", x[-1], y[-1])])
        style.save(drawing, "picture.png")
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..serialization.atomic import replacing

WIDTH, DPI = 9.0, 110
INK, SOFT, FAINT = "#222222", "#6b7280", "#c9ced6"  # text and frames; what is compared with; grids and areas
LABEL_SIZE = 9.0  # points, of the letters in a picture
LINE_POINTS = 11.5  # from one label to the next
HALO = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}  # of a text over lines

SETTINGS = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": LABEL_SIZE + 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": LABEL_SIZE + 1.5,
    "figure.titlesize": LABEL_SIZE + 2.5,
    "figure.titleweight": "bold",
    "font.size": LABEL_SIZE,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.fontsize": LABEL_SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.dpi": DPI,
    "svg.hashsalt": "minicnn",  # the same picture has the same bytes
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": LABEL_SIZE,
    "ytick.color": INK,
    "ytick.labelsize": LABEL_SIZE,
}


@dataclass(frozen=True)
class Look:
    """How one thing looks wherever it is drawn."""

    colour: str
    marker: str
    dash: Any = "-"

    def line(self, **options: Any) -> dict[str, Any]:
        """The arguments of ``plot``; ``options`` replace some."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, **options}


LOOKS = (
    Look("#0072b2", "o"),
    Look("#d55e00", "s", (0, (5, 2))),
    Look("#009e73", "^", (0, (1.5, 1.5))),
    Look("#cc79a7", "D", (0, (5, 1.5, 1.5, 1.5))),
    Look("#e69f00", "v", (0, (8, 2))),
    Look("#56b4e9", "P", (0, (3, 1, 1, 1, 1, 1))),
    Look("#000000", "X", (0, (3, 3))),
)
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (look.colour for look in LOOKS)

#: The families of networks look the same in every picture.
FAMILIES = {
    "ResNet": LOOKS[0],
    "VGG": LOOKS[1],
    "GoogLeNet": LOOKS[2],
    "DenseNet": LOOKS[3],
    "AlexNet": LOOKS[4],
    "SENet": LOOKS[5],
    "EfficientNet": LOOKS[6],
}


def look_of(network: str) -> Look:
    """How the family of a network looks, by the network's name: ``seresnet50``.

    Raises:
        ValueError: if it belongs to none of ``FAMILIES``.
    """
    for family, look in FAMILIES.items():
        if network.startswith("seresnet" if family == "SENet" else family.lower()):
            return look
    raise ValueError(f"{network} belongs to none of {', '.join(FAMILIES)}")


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save in this style, whatever a ``matplotlibrc`` says."""
    import matplotlib.style

    with matplotlib.style.context(["default", SETTINGS]):
        yield


def picture(height: float) -> Any:
    """An empty Matplotlib figure, ``WIDTH`` times ``height`` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawing = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))  # inches
    FigureCanvasAgg(drawing)  # no pyplot: it would keep the figure, and choose a backend for the whole process
    return drawing


def save(drawing: Any, path: str | Path, kind: str | None = None) -> None:
    """Write ``drawing`` to ``path``, whole or not at all. ``kind``: png or svg; by default what the path ends with."""
    kind = kind or Path(path).suffix.removeprefix(".")
    with replacing(path) as temporary:
        if kind == "png":
            Path(temporary).write_bytes(png(drawing))
        else:
            drawing.savefig(temporary, format=kind, metadata={"Date": None})


def png(drawing: Any) -> bytes:
    """A PNG of ``drawing``, as Matplotlib makes it, but without a channel of transparency that nothing uses.

    It is a tenth smaller.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    written, smaller = io.BytesIO(), io.BytesIO()
    drawing.savefig(written, format="png")
    with Image.open(written) as drawn:
        said = PngInfo()
        said.add_text("Software", drawn.info["Software"])
        drawn.convert("RGB").save(smaller, "png", optimize=True, pnginfo=said)
    return smaller.getvalue()


def beside(
    axes: Any, text: str, point: tuple[float, float], offset: tuple[float, float] = (6, 4), **options: Any
) -> None:
    """Write a text beside a point, ``offset`` points to the right and up."""
    axes.annotate(text, point, offset, textcoords="offset points", parse_math=False, **options)


def label_ends(axes: Any, ends: Sequence[tuple[str, float, float]], left: bool = False, gap: float = 6) -> None:
    """Write a text beside the end of each line, and move texts that would collide apart.

    Args:
        axes: with its scales and limits set.
        ends: text, x and y of each; ends outside the limits are labelled at the limit.
        left: whether the texts stand left of the points.
        gap: points between an end and its text.
    """
    axes.figure.figure.draw_without_rendering()  # now the layout is known
    low, high = sorted(axes.get_ylim())
    heights = np.array([axes.transData.transform((x, np.clip(y, low, high)))[1] for _, x, y in ends])
    heights *= 72 / axes.figure.dpi
    places = spread(heights, LINE_POINTS)
    away = np.abs(places - heights) > LINE_POINTS / 3
    if away.any():
        gap += 8  # room for the lines that lead from an end to its text
    for (text, x, y), height, moved, far in zip(ends, heights, places, away, strict=True):
        axes.annotate(
            text,
            (x, np.clip(y, low, high)),
            (-gap if left else gap, moved - height),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
            if far
            else None,
            annotation_clip=False,
            parse_math=False,  # a name may have a $
        )


def spread(values: np.ndarray, gap: float) -> np.ndarray:
    """The nearest ``values`` (in squares) that keep their order and are ``gap`` apart at least."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    blocks: list[list[float]] = []  # what must not fall, sorted: sum and count of each run of equal numbers
    for value in values[order] - steps:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    level = np.repeat([total / count for total, count in blocks], [int(count) for _, count in blocks])
    moved = np.empty(len(values))
    moved[order] = level + steps
    return moved


def ticks(axis: Any, values: Sequence[float], form: str = "{:g}") -> None:
    """Label ``values`` on an axis, such as ``axes.xaxis``, and nothing between them: what a logarithmic one needs."""
    axis.set_ticks(values, [form.format(value) for value in values])
    axis.set_ticks([], minor=True)


def readable(axis: Any) -> None:
    """Label 1, 2, 5, 10, 20, ... on a logarithmic axis of a few decades."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def few_decades(axis: Any, count: int = 6) -> None:
    """Label some powers of ten, about ``count``, on a logarithmic axis of many decades."""
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(numticks=count))
    axis.set_major_formatter(LogFormatterMathtext())
    axis.set_minor_locator(NullLocator())
