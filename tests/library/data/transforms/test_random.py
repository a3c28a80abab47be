"""Augmentation, against loops: crops, mirrors, resized crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import transforms as T
from tests.library.support import peers
from tests.library.support.pictures import assert_same_image, batches, picture, seeds, vision


def padded_pixel(image: np.ndarray, channel: int, row: int, column: int, fill: Any) -> Any:
    """A pixel of the image, ``fill`` outside of it."""
    inside = 0 <= row < image.shape[1] and 0 <= column < image.shape[2]
    return image[channel, row, column] if inside else fill[channel]


@given(images=batches(), seed=seeds, padding=st.lists(st.integers(0, 3), min_size=4, max_size=4), data=st.data())
def test_random_crops_are_windows_of_the_padded_image(images: Any, seed: int, padding: list[int], data: Any) -> None:
    left, top, right, bottom = padding
    count, channels, height, width = images.shape
    size = data.draw(st.integers(1, height + top + bottom)), data.draw(st.integers(1, width + left + right))
    fill = np.array(data.draw(st.lists(st.integers(0, 255), min_size=channels, max_size=channels)), images.dtype)
    before = images.copy()
    out = T.RandomCrop(size, padding=padding, fill=fill.tolist())(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(images, before)

    rng = np.random.default_rng(seed)
    tops = rng.integers(0, height + top + bottom - size[0] + 1, size=count)
    lefts = rng.integers(0, width + left + right - size[1] + 1, size=count)
    expected = np.empty((count, channels, *size), images.dtype)
    for n, c, i, j in np.ndindex(expected.shape):
        expected[n, c, i, j] = padded_pixel(images[n], c, tops[n] + i - top, lefts[n] + j - left, fill)
    assert out.dtype == images.dtype and out.flags.c_contiguous
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_padding_modes_are_pytorchs(mode: str) -> None:
    image = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    theirs = vision().RandomCrop((10, 11), padding=3, padding_mode=mode)(peers.torch().tensor(image)).numpy()
    ours = T.RandomCrop((10, 11), padding=3, padding_mode=mode)(image)
    np.testing.assert_array_equal(ours, theirs)


def test_every_crop_is_equally_likely_and_images_get_their_own() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    images = np.repeat(image[None], 9000, axis=0)
    corners = T.RandomCrop(2)(images, np.random.default_rng(0))[:, 0, 0, 0]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert counts.min() > 850 and counts.max() < 1150


@given(images=batches(), seed=seeds, p=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_flips_mirror_some_images_and_leave_the_others(images: Any, seed: int, p: float) -> None:
    before = images.copy()
    out = T.RandomHorizontalFlip(p)(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(images, before)
    draws = np.random.default_rng(seed).random(len(images))
    for image, result, draw in zip(images, out, draws, strict=True):
        for c, i, j in np.ndindex(image.shape):
            source = image.shape[2] - 1 - j if draw < p else j
            assert result[c, i, j] == image[c, i, source]


@given(mode=st.sampled_from(["L", "RGB", "P", "CMYK"]), seed=seeds)
def test_a_picture_is_mirrored_like_its_pixels(mode: str, seed: int) -> None:
    image = picture(mode, 7, 4, seed)
    assert_same_image(T.RandomHorizontalFlip(1.0)(image), vision().RandomHorizontalFlip(1.0)(image))
    assert T.RandomHorizontalFlip(0.0)(image) is image


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=seeds, data=st.data())
def test_random_windows_fit_and_keep_to_scale_and_ratio(height: int, width: int, seed: int, data: Any) -> None:
    low, high = sorted([data.draw(st.floats(0.05, 1)), data.draw(st.floats(0.05, 1))])
    crop = T.RandomResizedCrop(8, scale=(low, high))
    top, left, h, w = crop.window(height, width, np.random.default_rng(seed))
    assert 0 <= top <= height - h and 0 <= left <= width - w and h > 0 and w > 0
    centred = (top, left) == ((height - h) // 2, (width - w) // 2)
    # Sides are rounded: half a pixel either way.
    area_fits = (h - 0.5) * (w - 0.5) <= high * height * width and (h + 0.5) * (w + 0.5) >= low * height * width
    ratio_fits = (w - 0.5) / (h + 0.5) <= 4 / 3 and (w + 0.5) / (h - 0.5) >= 3 / 4
    assert (area_fits and ratio_fits) or centred


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_the_window_of_last_resort_is_torchvisions(height: int, width: int) -> None:
    torch = peers.torch()
    too_large = (10.0, 10.0)  # never fits: straight to the last resort
    theirs = vision().RandomResizedCrop.get_params(torch.zeros(3, height, width), too_large, (3 / 4, 4 / 3))
    ours = T.RandomResizedCrop(8, scale=too_large).window(height, width, np.random.default_rng(0))
    assert ours == theirs


@given(seed=seeds)
def test_a_resized_crop_is_a_crop_then_a_resize(seed: int) -> None:
    image = picture("RGB", 31, 24)
    crop = T.RandomResizedCrop((9, 7))
    top, left, h, w = crop.window(24, 31, np.random.default_rng(seed))
    ours = crop(image, np.random.default_rng(seed))
    functional = vision().functional
    assert_same_image(ours, functional.resized_crop(image, top, left, h, w, [9, 7]))
    array = np.asarray(image).transpose(2, 0, 1)
    np.testing.assert_array_equal(crop(array, np.random.default_rng(seed)), np.asarray(ours).transpose(2, 0, 1))
