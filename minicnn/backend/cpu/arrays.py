"""``ctx.backend.xp`` on the CPU: NumPy, with three of its functions computed on all threads where arrays are large.

These three carry most of the elementwise work of a network: a ReLU is ``maximum`` and its gradient ``where``, and
``concatenate`` joins the branches of an inception module or a dense block. The results are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .. import cpu


def maximum(a: Any, b: Any, *args: Any, **options: Any) -> Any:
    """``numpy.maximum``; the maximum of an array and 0 is compiled."""
    if args or options or not _is_zero(b) or not _large(a):
        return np.maximum(a, b, *args, **options)
    from . import pointwise

    return pointwise.relu(a)


def where(condition: Any, *choices: Any) -> Any:
    """``numpy.where``; the choice between 0 and the numbers of an array is compiled."""
    if len(choices) == 2 and _is_zero(choices[0]) and _large(choices[1]) and _is_mask(condition, choices[1]):
        from .masking import masked

        return masked(condition, choices[1])
    return np.where(condition, *choices)


def concatenate(arrays: Sequence[Any], axis: int | None = 0, **options: Any) -> Any:
    """``numpy.concatenate``; joining images along their channels is compiled."""
    images = axis == 1 and not options and all(isinstance(x, np.ndarray) and x.ndim == 4 for x in arrays)
    if not images or not cpu.worth_it(sum(x.size for x in arrays), tuple(arrays)):
        return np.concatenate(arrays, axis, **options)
    from . import joining

    return joining.cat_channels(arrays)


class Arrays(ModuleType):
    """NumPy with the functions above in the place of its own."""

    maximum, where, concatenate = staticmethod(maximum), staticmethod(where), staticmethod(concatenate)

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        setattr(self, name, value)
        return value


xp = Arrays("minicnn.backend.cpu.arrays.xp", np.__doc__)


def _is_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _large(x: Any) -> bool:
    return type(x) is np.ndarray and cpu.worth_it(x.size, (x,))


def _is_mask(condition: Any, x: np.ndarray) -> bool:
    return type(condition) is np.ndarray and condition.dtype == np.bool_ and condition.shape == x.shape
