"""What holds for every figure of the lecture: it is kept, and its table and its sentence follow from its data."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing

from minicnn import lecture
from minicnn.lecture import Settings


def same(one: Any, other: Any) -> bool:
    """Whether two results hold the same numbers."""
    pairs = [(np.asarray(getattr(one, field.name)), np.asarray(getattr(other, field.name))) for field in fields(one)]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def run(module: ModuleType, folder: Path, other_seed: bool = True) -> Any:
    """The figure's data for seed 0, after checking the cache and everything that is made of the data."""

    def draw(data: Any) -> Any:
        return Drawing(figsize=(1, 1))

    undrawn = replace(module.FIGURE, draw=draw)
    told: list[str] = []
    data, cached, _ = lecture.run(module.FIGURE, folder, Settings(quick=True, progress=told.append))
    again, from_cache, _ = lecture.run(undrawn, folder, Settings(quick=True))
    assert (cached, from_cache) == (False, True) and told
    assert same(data, again)
    if other_seed:
        other, from_cache, _ = lecture.run(undrawn, folder, Settings(quick=True, seed=1))
        assert not from_cache and not same(data, other)
    header, rows = module.table(again)
    assert rows and all(len(row) == len(header) for row in rows)
    assert module.verdict(again) == module.verdict(data)
    assert {path.suffix for path in folder.iterdir() if path.is_file()} == {".png", ".svg", ".csv"}
    return data
