"""The results that come with minicnn: each figure at its full size, computed once, with where and when.

``results/NAME.npz`` holds the numbers and ``results/NAME.json`` their origin. They belong to the code that made them: a
figure whose experiment changes is computed again, and ``ship.py`` puts its result here. Arrays that are only looked at
are kept in a byte per number (``SMALLER``), which no eye tells from more.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..serialization.atomic import replacing
from . import cache
from .base import Figure

RESULTS = Path(__file__).parent / "results"


def _root(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 in bytes, small ones more finely; above 0 stays above 0."""
    return np.where(values > 0, np.maximum(1, np.round(255 * np.sqrt(values))), 0).astype(np.uint8)


#: How arrays become bytes, and numbers again.
CODINGS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "255 v": (lambda v: np.round(255 * v).astype(np.uint8), lambda b: (b / 255).astype(np.float32)),
    "255 sqrt(v)": (_root, lambda b: (b / 255.0) ** 2),
}

#: Arrays of which only a picture is made, by figure and field, and their coding.
SMALLER = {
    "backbones": {"picture": "255 v"},
    "deformable": {"picture": "255 v"},
    "depth": {"maps": "255 sqrt(v)"},
}


@dataclass(frozen=True)
class Origin:
    """Where and when a result was computed, how long it took, and how large the experiment was.

    ``size``: the figure's ``FULL``; ``in_bytes``: arrays that are kept in bytes, and how.
    """

    date: str
    seconds: float
    processor: str
    cores: int
    threads: int
    minicnn: str
    numpy: str
    size: dict[str, Any] = field(default_factory=dict)
    in_bytes: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        took = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        return (
            f"on {self.date} in {took} on {self.processor} ({self.threads} of {self.cores} cores), "
            f"minicnn {self.minicnn}, NumPy {self.numpy}"
        )


def full_size(figure: Figure) -> dict[str, Any]:
    """How large the figure's experiment is, as JSON holds it: its module's ``FULL``, or nothing."""
    size = getattr(inspect.getmodule(figure.compute), "FULL", None)
    if size is None:
        return {}
    unused = vars(type(size)())
    return json.loads(json.dumps({name: value for name, value in vars(size).items() if value != unused[name]}))


def read(figure: Figure, folder: Path | None = None) -> tuple[Any, Origin] | None:
    """The figure's result and its origin, or None if none is shipped."""
    stem = (folder or RESULTS) / figure.name
    if not stem.with_suffix(".json").exists():
        return None
    origin = Origin(**json.loads(stem.with_suffix(".json").read_text(encoding="utf-8")))
    data = cache.read(stem.with_suffix(".npz"), figure.result)
    numbers = {name: CODINGS[coding][1](getattr(data, name)) for name, coding in origin.in_bytes.items()}
    return dataclasses.replace(data, **numbers), origin


def write(figure: Figure, data: Any, origin: Origin, folder: Path | None = None) -> None:
    """Keep ``data`` as the figure's shipped result."""
    smaller = SMALLER.get(figure.name, {})
    size = full_size(figure)
    in_bytes = {name: CODINGS[coding][0](getattr(data, name)) for name, coding in smaller.items()}
    stem = (folder or RESULTS) / figure.name
    cache.write(stem.with_suffix(".npz"), dataclasses.replace(data, **in_bytes), compressed=True)
    told = dataclasses.asdict(dataclasses.replace(origin, size=size, in_bytes=smaller))
    with replacing(stem.with_suffix(".json")) as temporary:
        Path(temporary).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
