"""Images in memory: where results may be written."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 4, 5, 4), np.float32),
        np.zeros((2, 4, 5, 5)),
        np.zeros((2, 4, 5, 5), np.float32),  # channels first
        np.broadcast_to(np.zeros((2, 1, 1, 4), np.float32).transpose(0, 3, 1, 2), (2, 4, 5, 5)),
    ],
)
def test_an_out_that_cannot_be_written(out: np.ndarray) -> None:
    packed = conv.Packed(np.ones((4, 3, 1, 1), np.float32), Window((1, 1)))
    with pytest.raises(ValueError, match="expected out to be"):
        packed(np.ones((2, 3, 5, 5), np.float32), out=out)
