"""The lecture's figures, each reproduced by one function: compute, tabulate, draw.

A module here that defines ``FIGURE`` is a figure; ``minicnn lecture`` lists them by the lecture's lines. A new figure
is one new file.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from ._figure import Figure, Settings, run

__all__ = ["Figure", "Settings", "figure", "figure_names", "run"]


def figure_names() -> list[str]:
    """The names of all figures, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def figure(name: str) -> Figure:
    """The figure called ``name``.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    names = figure_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(names)}"
        raise ValueError(f"there is no figure {name!r}; {hint}")
    return importlib.import_module(f"{__name__}.{name}").FIGURE
