"""What all transforms share: one image is like a batch, a tensor like an array, and equal seeds give equal images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.data import transforms as T
from tests.library.support.pictures import batches, picture, seeds

# ---- one image, a batch, a tensor ----------------------------------------------------------------------------

ANY_TRANSFORM = st.sampled_from(
    [
        T.RandomCrop(3, padding=3),
        T.RandomHorizontalFlip(0.5),
        T.RandomResizedCrop(5),
        T.Resize(6),
        T.Resize((4, 7)),
        T.CenterCrop(5),
        T.ConvertImageDtype(),
        T.Compose([T.RandomCrop(3, padding=3), T.ConvertImageDtype(), T.Normalize([0.5] * 3, [0.5] * 3)]),
    ]
)


@given(images=batches(channels=(3,)), transform=ANY_TRANSFORM, seed=seeds)
def test_one_image_is_a_batch_of_one_and_a_tensor_is_an_array(images: Any, transform: Any, seed: int) -> None:
    one = transform(images[0], np.random.default_rng(seed))
    np.testing.assert_array_equal(one, transform(images[:1], np.random.default_rng(seed))[0])
    tensor = transform(minicnn.Tensor(images[0]), np.random.default_rng(seed))
    assert isinstance(tensor, minicnn.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), one)


@given(images=batches(channels=(3,)), transform=ANY_TRANSFORM, seed=seeds)
def test_the_same_generator_gives_the_same_images(images: Any, transform: Any, seed: int) -> None:
    first = transform(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, transform(images, np.random.default_rng(seed)))


def test_without_a_generator_the_default_stream_is_drawn_from() -> None:
    images = np.random.default_rng(0).standard_normal((20, 1, 8, 8))
    crop = T.RandomCrop(4)
    minicnn.manual_seed(5)
    first, second = crop(images), crop(images)
    assert not np.array_equal(first, second)
    minicnn.manual_seed(5)
    np.testing.assert_array_equal(first, crop(images))


def test_a_picture_is_cropped_like_its_pixels() -> None:
    image = picture("RGB", 9, 6)
    ours = T.RandomCrop((5, 4), padding=2)(image, np.random.default_rng(3))
    pixels = np.asarray(image).transpose(2, 0, 1)
    expected = T.RandomCrop((5, 4), padding=2)(pixels, np.random.default_rng(3))
    np.testing.assert_array_equal(np.asarray(ours).transpose(2, 0, 1), expected)
    grey = T.RandomCrop(4)(picture("L", 9, 6))
    assert (grey.mode, grey.size) == ("L", (4, 4))


def test_compose_takes_plain_functions_too() -> None:
    image = np.ones((1, 2, 2), np.float32)
    np.testing.assert_array_equal(
        T.Compose([lambda x: x * 4, T.Normalize([1.0], [2.0]), np.negative])(image), -1.5 * image
    )


# ---- errors --------------------------------------------------------------------------------------------------

FLOATS = np.zeros((3, 6, 6), np.float32)
WRONG_CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "size 0": (lambda: T.Resize(0), ValueError, r"`size` \(=0\)"),
    "size of three": (lambda: T.CenterCrop((1, 2, 3)), ValueError, r"`size` \(=\(1, 2, 3\)\)"),
    "size 2.5": (lambda: T.Resize(2.5), ValueError, r"`size` \(=2.5\)"),
    "padding of three": (lambda: T.RandomCrop(4, padding=(1, 2, 3)), ValueError, r"`padding` \(=\(1, 2, 3\)\)"),
    "negative padding": (lambda: T.RandomCrop(4, padding=-1), ValueError, r"`padding` \(=-1\)"),
    "padding mode": (lambda: T.RandomCrop(4, padding_mode="wrap"), ValueError, "'wrap'"),
    "interpolation": (lambda: T.Resize(4, "cubic"), ValueError, "'cubic'"),
    "fill": (lambda: T.RandomCrop(4, padding=1, fill=(1, 2))(FLOATS), ValueError, "2 values.*3 channels"),
    "crop too large": (lambda: T.RandomCrop(7)(FLOATS), ValueError, r"\(7, 7\).*\(6, 6\)"),
    "p": (lambda: T.RandomHorizontalFlip(1.5), ValueError, r"`p` \(=1.5\)"),
    "scale": (lambda: T.RandomResizedCrop(4, scale=(1.0, 0.5)), ValueError, r"`scale` \(=\(1.0, 0.5\)\)"),
    "mean and std": (lambda: T.Normalize([0.0], [1.0, 1.0]), ValueError, "mean="),
    "std 0": (lambda: T.Normalize([0.0], [0.0]), ValueError, "positive"),
    "channels": (lambda: T.Normalize([0.0], [1.0])(FLOATS), ValueError, "1 channels, the image 3"),
    "integers": (lambda: T.Normalize([0.0], [1.0])(np.zeros((1, 2, 2), np.uint8)), TypeError, "uint8"),
    "picture": (lambda: T.Normalize([0.0], [1.0])(picture("L", 4, 4)), TypeError, "ToTensor"),
    "picture to convert": (lambda: T.ConvertImageDtype()(picture("L", 4, 4)), TypeError, "ToTensor"),
    "int dtype": (lambda: T.ConvertImageDtype(np.int64), TypeError, "int64"),
    "signed": (lambda: T.ConvertImageDtype()(np.zeros((1, 2, 2), np.int64)), TypeError, "int64"),
    "palette": (lambda: T.RandomCrop(2)(picture("P", 4, 4)), ValueError, "P: convert"),
    "a matrix": (lambda: T.Resize(4)(np.zeros((4, 4))), TypeError, r"\(4, 4\)"),
    "a string": (lambda: T.Resize(4)("image.png"), TypeError, "str"),
    "a batch": (lambda: T.ToTensor()(np.zeros((2, 3, 4, 4))), TypeError, r"\(2, 3, 4, 4\)"),
    "no rule": (lambda: T.Transform()(FLOATS), NotImplementedError, "apply_batch"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls_are_refused_with_the_value_quoted(case: str) -> None:
    call, error, message = WRONG_CALLS[case]
    with pytest.raises(error, match=message):
        call()


def test_a_transform_prints_its_options() -> None:
    pipeline = T.Compose([T.RandomHorizontalFlip(0.25), T.CenterCrop(4)])
    assert repr(pipeline) == "Compose([RandomHorizontalFlip(p=0.25), CenterCrop(size=(4, 4))])"
