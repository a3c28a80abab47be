"""The text of a tensor, as PyTorch prints it: four digits, aligned, shortened beyond a thousand elements.

What a number looks like is decided for the whole tensor: whole numbers as ``3.``, others with four
digits behind the point, and in scientific notation where the largest is over 1000 times the smallest, over 1e8, or the
smallest is below 1e-4 (zeros, infinities and NaN do not count).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Options:
    """What ``set_printoptions`` sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = Options()
PROFILES: dict[str, dict[str, Any]] = {
    "default": vars(Options()),
    "short": {**vars(Options()), "precision": 2, "edgeitems": 2},
    "full": {**vars(Options()), "threshold": math.inf},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; what is None stays, but for ``sci_mode``.

    Args:
        precision: digits behind the point (4).
        threshold: elements beyond which only the edges are printed (1000).
        edgeitems: how many elements at the edges of each dimension (3).
        linewidth: columns of a line (80).
        profile: set all to ``"default"``, ``"short"`` (2 digits, 2 elements) or ``"full"`` (all elements) first.
        sci_mode: always or never in scientific notation; None chooses for each tensor.

    Raises:
        ValueError: for an unknown profile.
    """
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"expected one of {', '.join(PROFILES)} as profile, got {profile!r}")
        vars(OPTIONS).update(PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(OPTIONS).update({name: value for name, value in given.items() if value is not None}, sci_mode=sci_mode)


def tensor_text(array: np.ndarray, default_dtype: np.dtype, taped: str = "", device: str = "cpu") -> str:
    """The text of a tensor.

    Args:
        array: its values, in host memory.
        default_dtype: the float that needs no ``dtype=``.
        taped: its place on the tape, like ``requires_grad=True``.
        device: where it lives, told unless it is the CPU.
    """
    prefix = "tensor("
    told = [] if device == "cpu" else [f"device='{device}'"]
    if array.size == 0 and array.ndim != 1 or array.size and not OPTIONS.edgeitems:
        told.append(f"size={array.shape}")
    if array.dtype != default_dtype and not (array.size and array.dtype in (np.int64, np.bool_)):
        told.append(f"dtype={array.dtype}")
    return _append(prefix + values_text(array, len(prefix)), [*told, *filter(None, [taped])], len(prefix))


def values_text(array: np.ndarray, indent: int = 0) -> str:
    """The numbers in their brackets; lines after the first are indented by ``indent`` and their depth."""
    if array.size == 0:
        return "[]"
    if array.dtype.kind == "V":  # bfloat16
        array = array.astype(np.float32)
    short = array.size > OPTIONS.threshold
    write, width = writer(_edges(array) if short else array)
    return _nested(array, indent, short, lambda number: write(number).rjust(width), width)


def writer(array: np.ndarray) -> tuple[Callable[[Any], str], int]:
    """What writes each number of ``array`` in the way that suits them all, and the width of the longest."""
    write: Callable[[Any], str] = str
    digits, counted = OPTIONS.precision, array.ravel()
    if array.dtype.kind == "f":
        counted = counted[np.isfinite(counted) & (counted != 0)]
        if _scientific(counted):
            write = f"{{:.{digits}e}}".format
        elif (counted == np.ceil(counted)).all():
            write = _whole
        else:
            write = f"{{:.{digits}f}}".format
    return write, max([1, *(len(write(number)) for number in counted.tolist())])


def _scientific(numbers: np.ndarray) -> bool:
    """Whether numbers, of which none is zero, are written like ``1.0000e-05``."""
    if numbers.size == 0 or OPTIONS.sci_mode is not None:
        return numbers.size > 0 and bool(OPTIONS.sci_mode)
    sizes = np.abs(numbers.astype(np.float64))
    least, most = float(sizes.min()), float(sizes.max())
    return most / least > 1000 or most > 1e8 or least < 1e-4


def _whole(number: float) -> str:
    return f"{number:.0f}." if math.isfinite(number) else f"{number:.0f}"


def _edges(array: np.ndarray) -> np.ndarray:
    """The elements that are printed of a large array: the first and last few along each dimension."""
    few = OPTIONS.edgeitems
    for axis, length in enumerate(array.shape):
        if length > 2 * few:
            array = np.take(array, [*range(few), *range(length - few, length)], axis)
    return array


def _nested(array: np.ndarray, indent: int, short: bool, write: Callable[[Any], str], width: int) -> str:
    """A dimension in brackets; matrices have a number of empty lines between them, as in PyTorch."""
    if array.ndim == 0:
        return write(array.item())
    few, gap = OPTIONS.edgeitems, short and len(array) > 2 * OPTIONS.edgeitems
    shown: list[Any] = [*array[:few], None, *array[len(array) - few :]] if gap else list(array)
    margin = " " * (indent + 1)
    if array.ndim > 1:
        parts = ["..." if part is None else _nested(part, indent + 1, short, write, width) for part in shown]
        return f"[{(',' + chr(10) * (array.ndim - 1) + margin).join(parts)}]"
    numbers = [(" ..." if few else "...") if part is None else write(part.item()) for part in shown]
    per_line = max(1, (OPTIONS.linewidth - indent) // (width + 2))  # with comma and blank
    lines = [", ".join(numbers[at : at + per_line]) for at in range(0, len(numbers), per_line)]
    return f"[{f',{chr(10)}{margin}'.join(lines)}]"


def _append(text: str, suffixes: Sequence[str], indent: int) -> str:
    """``text`` with the suffixes behind it, on lines of their own where there is no room."""
    column = len(text) - text.rfind("\n") + 1  # one more than it is, as in PyTorch
    for suffix in suffixes:
        if column + len(suffix) + 2 > OPTIONS.linewidth:
            text += f",\n{' ' * indent}{suffix}"
            column = indent + len(suffix)
        else:
            text += f", {suffix}"
            column += len(suffix) + 2
    return f"{text})"
