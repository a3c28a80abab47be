"""Transforms without chance: torchvision's results on pictures, tensors and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import transforms as T
from tests.library.support import peers
from tests.library.support.pictures import assert_same_image, batches, picture, seeds, sides, vision


@given(
    width=st.integers(1, 50),
    height=st.integers(1, 50),
    size=st.integers(1, 40) | st.tuples(sides, sides),
    mode=st.sampled_from(["L", "RGB", "RGBA", "F"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]),
    seed=seeds,
)
def test_resize_is_torchvisions(width: int, height: int, size: Any, mode: str, interpolation: str, seed: int) -> None:
    image = picture(mode, width, height, seed)
    theirs_mode = vision().InterpolationMode(interpolation)
    theirs = vision().Resize(size, interpolation=theirs_mode)(image)
    assert_same_image(T.Resize(size, interpolation)(image), theirs)
    assert_same_image(T.Resize(size, T.InterpolationMode(interpolation))(image), theirs)


@given(width=st.integers(1, 30), height=st.integers(1, 30), size=st.integers(1, 40) | st.tuples(sides, sides))
def test_center_crop_is_torchvisions(width: int, height: int, size: Any) -> None:
    for mode in ("L", "RGB", "RGBA"):
        image = picture(mode, width, height)
        assert_same_image(T.CenterCrop(size)(image), vision().CenterCrop(size)(image))
    array = np.random.default_rng(0).standard_normal((2, 3, height, width)).astype(np.float32)
    theirs = vision().CenterCrop(size)(peers.torch().tensor(array)).numpy()
    np.testing.assert_array_equal(T.CenterCrop(size)(array), theirs)


@given(images=batches(dtypes=("float32",), channels=(3,)))
def test_normalize_is_torchvisions(images: Any) -> None:
    mean, std = (0.1, -0.2, 0.3), (0.5, 1.5, 2.0)
    before = images.copy()
    ours = T.Normalize(mean, std)(images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(ours, vision().Normalize(mean, std)(peers.torch().tensor(images)).numpy())
    for n, c, i, j in np.ndindex(images.shape):
        assert ours[n, c, i, j] == pytest.approx((images[n, c, i, j] - mean[c]) / std[c], rel=1e-5, abs=1e-6)
