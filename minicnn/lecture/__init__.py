"""The lecture's figures, each reproduced by one function: compute, tabulate, draw.

A module here that defines ``FIGURE`` is a figure; ``minicnn lecture`` lists them by the lecture's lines. A new figure
is one new file. The figure ``add-or-concat`` is in ``add_or_concat.py``.

The other modules compute what the figures show: ``gradient_flow``, ``unravel``, ``lesion``, ``receptive_field``,
``efficiency``.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from ._figure import Figure, Settings, run

__all__ = ["Figure", "Settings", "figure", "figure_names", "run"]


def _modules() -> dict[str, ModuleType]:
    """The modules that define a figure, by the figure's name."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    return {module.FIGURE.name: module for module in modules if hasattr(module, "FIGURE")}


def figure_names() -> list[str]:
    """The names of all figures, in alphabetical order."""
    return sorted(_modules())


def figure(name: str) -> Figure:
    """The figure called ``name``.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    modules = _modules()
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(sorted(modules))}"
        raise ValueError(f"there is no figure {name!r}; {hint}")
    return modules[name].FIGURE
