"""Running a figure: taken from where its result is, or computed and kept, then tabulated and drawn."""

from __future__ import annotations

import csv
import inspect
import io
from pathlib import Path
from typing import Any, NamedTuple

from ..serialization.atomic import replacing
from ..utils import style
from . import cache, shipped
from .base import Figure, Settings, stem


class Outcome(NamedTuple):
    """A figure's data; whether they were there before; and, of a shipped result, where and when they were computed."""

    data: Any
    cached: bool
    origin: shipped.Origin | None


def run(figure: Figure, out: str | Path, settings: Settings, fresh: bool = False) -> Outcome:
    """Find or compute the figure's data, and write ``NAME.png``, ``NAME.svg`` and ``NAME.csv`` into ``out``.

    A result that was computed by this code is in the cache (``out/cache``), under a key made of the settings and of all
    code that computed it. If there is none, the settings are the default ones, and a result came with minicnn, that is
    taken.

    Args:
        fresh: compute in any case.

    Raises:
        ValueError: for other images than the figure's own, if it cannot train on others.
    """
    if settings.data != Settings.data and not figure.chooses_data:
        raise ValueError(f"the figure {figure.name!r} has its own images: it takes no other data set")
    folder = Path(out)
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    outcome = _outcome(figure, folder, settings, fresh)
    name = stem(figure, settings)
    header, rows = figure.table(outcome.data)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    with replacing(folder / f"{name}.csv") as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")
    with style.applied():
        drawing = figure.draw(outcome.data)
        for suffix in ("png", "svg"):
            style.save(drawing, folder / f"{name}.{suffix}")
    return outcome


def _outcome(figure: Figure, folder: Path, settings: Settings, fresh: bool) -> Outcome:
    kept = folder / "cache" / f"{figure.name}-{_key(figure, settings)}.npz"
    if not fresh and kept.exists():
        return Outcome(cache.read(kept, figure.result), True, None)
    if not fresh and settings.default and (found := shipped.read(figure)):
        return Outcome(found[0], True, found[1])
    data = figure.compute(settings)
    cache.write(kept, data)
    return Outcome(data, False, None)


def _key(figure: Figure, settings: Settings) -> str:
    source = inspect.getsourcefile(figure.compute)
    assert source is not None
    presentation = [function.__name__ for function in (figure.table, figure.draw, figure.verdict)]
    asked = (str(settings.quick), str(settings.seed), settings.device, cache.fingerprint(settings.data))
    return cache.key(Path(source), presentation, asked)
