"""The lecture's figures, each reproduced by one function: compute, tabulate, draw.

``figures/`` has one module per figure; ``minicnn lecture`` lists them by the lecture's lines. A new figure is one new
file there that defines ``FIGURE``: the figure ``add-or-concat`` is in ``figures/add_or_concat.py``. ``analyses/``
measures what the figures show, and is homework 7. ``base.py`` says what a figure is, ``running.py`` runs one,
``training.py`` trains the networks, ``cache.py`` keeps the results, ``shipped.py`` has those that come with minicnn,
``gallery.py`` puts all figures on one page.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from . import figures
from .base import Figure, Settings
from .running import Outcome, run

__all__ = ["Figure", "Outcome", "Settings", "figure", "figure_names", "run"]


def _modules() -> dict[str, ModuleType]:
    """The modules of ``figures``, by the figure's name."""
    names = (module.name for module in pkgutil.iter_modules(figures.__path__))
    modules = (importlib.import_module(f"{figures.__name__}.{name}") for name in names)
    return {module.FIGURE.name: module for module in modules}


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
