"""What a figure of the lecture is, and how one is run: it is computed once, kept, tabulated and drawn."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..serialization.atomic import replacing
from . import cache

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows


@dataclass(frozen=True)
class Settings:
    """How to compute a figure. ``quick``: by a smaller experiment, which takes half a minute at most.

    ``data`` is spelled as for ``minicnn train``; only figures with ``chooses_data`` use it. ``mine`` says that a
    student's functions compute: the files get another name.
    """

    quick: bool = False
    seed: int = 0
    device: str = "cpu"
    progress: Callable[[str], None] = lambda line: None
    data: str = "digits"
    mine: bool = False

    @property
    def suffix(self) -> str:
        """The end of the files' names, so that a quick figure, or a student's, never replaces the real one."""
        return "-mine" * self.mine + "-quick" * self.quick


@dataclass(frozen=True)
class Size:
    """How large an experiment is; a figure uses some of these numbers, and may add its own in a subclass.

    ``seeds``: how often each network is drawn or trained; ``epochs``: of a training; ``images``: per split, ``None``
    for all; ``depths``: layers or blocks of the networks that are compared; ``side``: of the images in pixels;
    ``networks``: names of models.
    """

    seeds: int = 1
    epochs: int = 1
    images: int | None = None
    depths: tuple[int, ...] = ()
    side: int = 0
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One figure of the lecture.

    ``compute(settings)`` returns a dataclass of arrays, numbers and strings, ``table(data)`` the numbers that decide
    whether the claim held, ``draw(data)`` a Matplotlib figure, ``verdict(data)`` a sentence on what was seen.
    ``chooses_data``: whether it can train on other images than its own.
    """

    name: str
    lecture: tuple[str, ...]
    claim: str
    result: type
    compute: Callable[[Settings], Any]
    table: Callable[[Any], Table]
    draw: Callable[[Any], Any]
    verdict: Callable[[Any], str]
    chooses_data: bool = False


def run(figure: Figure, out: str | Path, settings: Settings, use_cache: bool = True) -> tuple[Any, bool]:
    """Compute ``figure`` or take it from the cache, and write ``NAME.png``, ``NAME.svg`` and ``NAME.csv`` into ``out``.

    The key of a result in the cache (``out/cache``) is made of the settings and of all code that computed it.

    Returns:
        the data, and whether they came from the cache.

    Raises:
        ValueError: for other images than the figure's own, if it cannot train on others.
    """
    if settings.data != Settings.data and not figure.chooses_data:
        raise ValueError(f"the figure {figure.name!r} has its own images: it takes no other data set")
    folder = Path(out)
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    kept = folder / "cache" / f"{figure.name}-{_key(figure, settings)}.npz"
    cached = use_cache and kept.exists()
    data = cache.read(kept, figure.result) if cached else figure.compute(settings)
    if not cached:
        cache.write(kept, data)
    name = stem(figure, settings)
    header, rows = figure.table(data)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    with replacing(folder / f"{name}.csv") as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")
    drawing = figure.draw(data)
    for suffix in ("png", "svg"):
        with replacing(folder / f"{name}.{suffix}") as temporary:
            drawing.savefig(temporary, format=suffix, dpi=120, bbox_inches="tight")
    return data, cached


def stem(figure: Figure, settings: Settings) -> str:
    """The name of the figure's files, without their extension."""
    return figure.name + settings.suffix


def _key(figure: Figure, settings: Settings) -> str:
    source = inspect.getsourcefile(figure.compute)
    assert source is not None
    presentation = [function.__name__ for function in (figure.table, figure.draw, figure.verdict)]
    asked = (str(settings.quick), str(settings.seed), settings.device, cache.fingerprint(settings.data))
    return cache.key(Path(source), presentation, asked)
