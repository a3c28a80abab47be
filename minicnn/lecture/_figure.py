"""What a figure of the lecture is, and how one is run: computed once, kept, tabulated, drawn."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import __name__ as package
from ..serialization.atomic import replacing

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows


@dataclass(frozen=True)
class Settings:
    """How to compute a figure. ``quick`` trades the size of the experiment for half a minute at most."""

    quick: bool = False
    seed: int = 0
    device: str = "cpu"
    progress: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Figure:
    """One figure of the lecture.

    ``compute(settings)`` returns a dataclass of arrays and numbers, ``table(data)`` what decides whether the claim
    held, ``draw(data)`` a Matplotlib figure, ``verdict(data)`` what was seen, in a sentence.
    """

    name: str
    lecture: tuple[str, ...]
    claim: str
    result: type
    compute: Callable[[Settings], Any]
    table: Callable[[Any], Table]
    draw: Callable[[Any], Any]
    verdict: Callable[[Any], str]


def run(figure: Figure, out: str | Path, settings: Settings, use_cache: bool = True) -> tuple[Any, bool]:
    """Compute ``figure`` or take it from the cache, and write ``NAME.png``, ``NAME.svg`` and ``NAME.csv`` into ``out``.

    The cache (``out/cache``) knows a result by the figure's own source, quick or not, the seed and the device.

    Returns:
        the data, and whether they came from the cache.
    """
    folder = Path(out)
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    kept = folder / "cache" / f"{figure.name}-{_key(figure, settings)}.npz"
    cached = use_cache and kept.exists()
    data = _read(kept, figure.result) if cached else figure.compute(settings)
    if not cached:
        _write(kept, data)
    stem = figure.name + ("-quick" if settings.quick else "")
    header, rows = figure.table(data)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    with replacing(folder / f"{stem}.csv") as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")
    drawing = figure.draw(data)
    for suffix in ("png", "svg"):
        with replacing(folder / f"{stem}.{suffix}") as temporary:
            drawing.savefig(temporary, format=suffix, dpi=120, bbox_inches="tight")
    return data, cached


def _key(figure: Figure, settings: Settings) -> str:
    module = inspect.getmodule(figure.compute)
    assert isinstance(module, ModuleType) and module.__name__.startswith(package)
    parts = (inspect.getsource(module), str(settings.quick), str(settings.seed), settings.device)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _write(path: Path, data: Any) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(data, field.name)) for field in fields(data)}
        np.savez(file, **arrays)


def _read(path: Path, result: type) -> Any:
    with np.load(path) as arrays:
        return result(**{name: arrays[name] for name in arrays.files})
