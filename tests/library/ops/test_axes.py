"""Which axes are meant: counted from either end, all of them, or refused."""

from __future__ import annotations

import pytest

import minicnn


def test_dimensions_out_of_range():
    with pytest.raises(IndexError, match="expected -2 to 1, got 2"):
        minicnn.zeros(2, 3).sum(2)
    with pytest.raises(ValueError, match="each dimension once"):
        minicnn.zeros(2, 3).sum((0, -2))
