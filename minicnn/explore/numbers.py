"""Numbers as JSON can hold them, with as many digits as a page shows."""

from __future__ import annotations

import math
from typing import Any


def short(number: Any, digits: int = 4) -> float | None:
    """The number with a few digits; None for NaN and infinity, which JSON does not have, and for None."""
    return float(f"{number:.{digits}g}") if number is not None and math.isfinite(number) else None


def pair(sizes: Any) -> list[int] | None:
    """Height and width; None for None."""
    return None if sizes is None else [int(size) for size in sizes]
