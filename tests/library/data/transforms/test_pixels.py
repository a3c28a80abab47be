"""Pillow images and arrays: resampled alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import transforms as T
from tests.library.support.pictures import batches, picture, sides, vision


@given(images=batches(), size=st.integers(1, 14) | st.tuples(sides, sides))
def test_arrays_are_resized_plane_by_plane_like_pictures(images: Any, size: Any) -> None:
    out = T.Resize(size)(images)
    assert out.dtype == images.dtype
    for n, c in np.ndindex(*images.shape[:2]):
        np.testing.assert_array_equal(out[n, c], np.asarray(T.Resize(size)(Image.fromarray(images[n, c]))))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I", "LA"])
def test_to_tensor_is_torchvisions(mode: str) -> None:
    image = picture(mode, 5, 3) if mode != "I" else Image.fromarray(np.arange(15, dtype=np.int32).reshape(3, 5) * 999)
    theirs = vision().ToTensor()(image).numpy()
    ours = T.ToTensor()(image).numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_to_tensor_takes_arrays_with_channels_last(shape: Any, dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    ours, theirs = T.ToTensor()(array).numpy(), vision().ToTensor()(array).numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_to_tensor_scales_16_bit_grey() -> None:
    image = Image.fromarray(np.array([[0, 65535, 13107]], dtype=np.uint16))
    np.testing.assert_allclose(T.ToTensor()(image).numpy(), [[[0, 1, 0.2]]], rtol=1e-6)


def test_convert_image_dtype_maps_the_largest_integer_to_one() -> None:
    image = np.array([0, 51, 255], dtype=np.uint8).reshape(1, 1, 3)
    for dtype in (np.float32, np.float64):
        out = T.ConvertImageDtype(dtype)(image)
        assert out.dtype == dtype
        np.testing.assert_allclose(out.ravel(), [0, 0.2, 1], rtol=1e-6)
    assert T.ConvertImageDtype(np.float64)(np.ones((1, 1, 1), np.float32)).dtype == np.float64
