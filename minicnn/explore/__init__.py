"""Look into a network: one page with its graph, what flows through it for an image, and the code behind each node.

    from minicnn.explore import explore
    explore(model, image, "mine.html")

``recording.py`` records the forward of any module as a graph of ``steps.py``, ``source.py`` finds the lines of code,
``costs.py`` what each step costs, ``activations.py`` draws what flows forward and ``gradients.py`` what flows back;
``looking.py`` puts all into one dictionary, of which ``page/`` makes HTML. ``subject.py`` finds what
``minicnn explore`` is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .looking import COMMAND, Watch, look

if TYPE_CHECKING:
    from ..nn import Module
    from ..tensors import Tensor

__all__ = ["explore", "look"]


def explore(
    model: Module,
    image: Tensor,
    path: str | Path,
    *,
    labels: Sequence[str] | None = None,
    target: int | str | None = None,
    name: str = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    title: str | None = None,
    origin: str = "the weights that it has",
    command: str = COMMAND,
    watch: Watch | None = None,
) -> Path:
    """Write the page of ``model`` on ``image`` to ``path``, and return the path.

    The page needs no network and no other file. Arguments and errors are those of ``look``.

    Raises:
        OSError: if the file cannot be written; one that was there stays as it was.
    """
    from ..utils.page import write_page
    from .page import text

    data = look(
        model, image, labels=labels, target=target, name=name, mean=mean, std=std, title=title, origin=origin,
        command=command, watch=watch,
    )  # fmt: skip
    return write_page(path, text(data))
