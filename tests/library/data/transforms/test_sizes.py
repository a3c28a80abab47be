"""Sizes and paddings as the transforms take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.data import transforms as T
from tests.library.support import peers
from tests.library.support.pictures import vision


@pytest.mark.parametrize("padding", [2, (1, 3), (1, 2, 3, 4)])
def test_padding_sides_are_torchvisions(padding: Any) -> None:
    image = np.arange(1, 21, dtype=np.float32).reshape(1, 4, 5)
    left, top, right, bottom = T.RandomCrop(1, padding=padding).padding
    size = (4 + top + bottom, 5 + left + right)
    theirs = vision().RandomCrop(size, padding=padding)(peers.torch().tensor(image)).numpy()
    np.testing.assert_array_equal(T.RandomCrop(size, padding=padding)(image), theirs)
