"""Rows that are not whole vectors."""

from __future__ import annotations

import numpy as np

from minicnn.backend.cpu import fused
from minicnn.backend.reference import fused as reference
from minicnn.backend.reference.fused import Line
from tests.library.support.layouts import EPS, close, laid_out
from tests.library.support.strategies import normal


def test_one_image_whose_rows_are_not_whole_vectors() -> None:
    """What lies beyond the last pixel belongs to no channel."""
    x, bias = laid_out(normal((1, 3, 9, 7), 0), "channels last"), np.ones(3)
    got, want = (module.norm(x, None, bias, EPS, None, "silu") for module in (fused, reference))
    close(got.y, want.y, np.float64)
    given = x, x, Line(want.mean, want.inv_std, None, bias), None, "silu"
    for one, other in zip(fused.norm_grad(*given)[:3], reference.norm_grad(*given)[:3], strict=True):
        close(one, other, np.float64)
