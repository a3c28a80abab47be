"""What CuPy has: its functions, ufuncs and methods, with their keywords."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SURFACE = json.loads((Path(__file__).parent / "cupy_surface.json").read_text())


def check_keywords(name: str, given: Any, allowed: list[str]) -> None:
    """CuPy's functions have fewer keywords than NumPy's."""
    unknown = [key for key in given if key not in allowed and not any(a.startswith("*kw") for a in allowed)]
    if unknown:
        raise TypeError(f"cupy.{name}() got an unexpected keyword argument {unknown[0]!r}")


def check_axis(array: Any, axis: Any) -> None:
    """NumPy lets a single number have the axes 0 and -1 where it reduces; CuPy does not."""
    if getattr(array, "ndim", None) == 0 and axis not in (None, ()):
        raise np.exceptions.AxisError(axis if isinstance(axis, int) else axis[0], 0)
