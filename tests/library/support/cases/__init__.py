"""Every differentiable operation as data.

One table serves the gradient checks, the parity tests, the dtype tests and the table of gradient errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings

from tests.library.support.cases import elementwise, layers, shapes
from tests.library.support.cases.base import Case, Drawn

CASES: tuple[Case, ...] = (*elementwise.CASES, *shapes.CASES, *layers.CASES)

__all__ = ["CASES", "Case", "Drawn", "as_tensors", "as_tuple", "examples_of"]


def as_tensors(lib: Any, arrays: tuple[np.ndarray, ...], requires_grad: bool = True) -> list[Any]:
    """Copies of ``arrays`` as tensors of ``lib``; the floating-point ones require a gradient."""
    tensors = [lib.tensor(array) for array in arrays]
    return [x.requires_grad_() if requires_grad and x.is_floating_point() else x for x in tensors]


def as_tuple(result: Any) -> tuple[Any, ...]:
    """What an operation returned, as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def examples_of(case: Case, count: int) -> list[Drawn]:
    """``count`` inputs of ``case``, the same ones at every call."""
    drawn: list[Drawn] = []

    @settings(max_examples=count, derandomize=True, database=None)
    @given(case.draw)
    def draw(example: Drawn) -> None:
        drawn.append(example)

    draw()
    return drawn
