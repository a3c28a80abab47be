"""Sizes, paddings and interpolation as the transforms' arguments give them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from enum import Enum

Size = int | Sequence[int]


class InterpolationMode(Enum):
    """How an image is resampled; the names are Pillow's."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def _integers(value: Size, name: str, counts: tuple[int, ...], least: int) -> tuple[int, ...]:
    values = (value,) if not isinstance(value, Sequence) else tuple(value)
    try:
        values = tuple(operator.index(item) for item in values)
    except TypeError:
        values = ()
    if len(values) not in counts or any(item < least for item in values):
        raise ValueError(f"`{name}` (={value!r}) must be {' or '.join(map(str, counts))} integers >= {least}")
    return values


def check_size(size: Size) -> tuple[int, ...]:
    """``size`` as a tuple of one or two positive integers; raises ValueError for anything else."""
    return _integers(size, "size", (1, 2), least=1)


def square(size: tuple[int, ...]) -> tuple[int, int]:
    """(height, width), equal if only one is given."""
    return size[0], size[-1]


def check_padding(padding: Size | None) -> tuple[int, int, int, int]:
    """``padding`` as (left, top, right, bottom); raises ValueError unless it is 1, 2 or 4 integers >= 0."""
    values = _integers(0 if padding is None else padding, "padding", (1, 2, 4), least=0)
    left, top, right, bottom = values if len(values) == 4 else (values[0], values[-1]) * 2
    return left, top, right, bottom
