"""The page of ``minicnn explore``: one's own network to look into, as one HTML file with its own style and script.

``text`` joins the files of this folder. The script is plain JavaScript in small files that share one scope; their order
is ``SCRIPTS``: what a file uses as soon as it is read stands before it.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from ...paths import printable
from ...utils.page import page

__all__ = ["text"]

SCRIPTS = (
    "dom",  # making elements, writing numbers
    "network",  # the recorded nodes as a tree of boxes
    *("layout", "edges"),  # where the boxes stand, and the lines between them
    *("boxes", "overview", "graph"),  # the drawing
    *("overlay", "maps", "gradient", "panel"),  # what is shown of the selected box
    "cam",  # Grad-CAM
    *("convolve", "grids", "lessonview", "lesson"),  # the convolution that one steps through
    "main",
)

# Lines, and the edge of a box by what it does, in light and dark: Okabe and Ito's colours, darker or lighter.
COLORS = {
    "edge": ("#7d8794", "#7f8a97"),
    "window-edge": ("#d9480f", "#ff922b"),
    "marked": ("#fff0b3", "#4a3f10"),
    "convolution": ("#0072b2", "#56b4e9"),
    "linear": ("#7048a8", "#b197fc"),
    "norm": ("#8a6d00", "#f0e442"),
    "activation": ("#c05000", "#ff9f45"),
    "pool": ("#00795a", "#2bd4a4"),
    "join": ("#a83279", "#f08fc8"),
    "other": ("#7d8794", "#7f8a97"),
}


def text(data: dict[str, Any]) -> str:
    """The page that shows a network.

    Args:
        data: what ``minicnn.explore.look`` found; any text may be in it.

    Raises:
        ValueError: if a number in it is not finite.
    """
    folder = files(__name__)
    script = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    style = (folder / "page.css").read_text(encoding="utf-8")
    body = (folder / "body.html").read_text(encoding="utf-8")
    return page(f"{printable(data['title'])}: explore", body, style, script, data, COLORS)
