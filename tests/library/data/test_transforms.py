"""The transforms: naive loops for what is random, torchvision for what is not, and one image like a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minicnn
from minicnn.data import transforms as T
from tests.library.support import peers

sides = st.integers(1, 12)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw: Any, dtypes: tuple[str, ...] = ("uint8", "float32"), channels: tuple[int, ...] = (1, 3)) -> Any:
    shape = (draw(st.integers(1, 5)), draw(st.sampled_from(channels)), draw(sides), draw(sides))
    rng = np.random.default_rng(draw(seeds))
    if draw(st.sampled_from(dtypes)) == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(np.float32)


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def vision() -> Any:
    peers.torchvision()
    from torchvision import transforms

    return transforms


def assert_same_image(ours: Image.Image, theirs: Image.Image) -> None:
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


# ---- crops and mirrors, against loops ------------------------------------------------------------------------


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


@pytest.mark.parametrize("padding", [2, (1, 3), (1, 2, 3, 4)])
def test_padding_sides_are_torchvisions(padding: Any) -> None:
    image = np.arange(1, 21, dtype=np.float32).reshape(1, 4, 5)
    left, top, right, bottom = T.RandomCrop(1, padding=padding).padding
    size = (4 + top + bottom, 5 + left + right)
    theirs = vision().RandomCrop(size, padding=padding)(peers.torch().tensor(image)).numpy()
    np.testing.assert_array_equal(T.RandomCrop(size, padding=padding)(image), theirs)


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


# ---- random resized crops ------------------------------------------------------------------------------------


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


# ---- resizing and cutting: torchvision's results on pictures -------------------------------------------------


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


@given(images=batches(), size=st.integers(1, 14) | st.tuples(sides, sides))
def test_arrays_are_resized_plane_by_plane_like_pictures(images: Any, size: Any) -> None:
    out = T.Resize(size)(images)
    assert out.dtype == images.dtype
    for n, c in np.ndindex(*images.shape[:2]):
        np.testing.assert_array_equal(out[n, c], np.asarray(T.Resize(size)(Image.fromarray(images[n, c]))))


@given(width=st.integers(8, 90), height=st.integers(8, 90), seed=seeds)
def test_the_usual_evaluation_is_torchvisions_to_the_bit(width: int, height: int, seed: int) -> None:
    image = picture("RGB", width, height, seed)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    results = []
    for module in (T, vision()):
        steps = [module.Resize(32), module.CenterCrop(28), module.ToTensor(), module.Normalize(mean, std)]
        results.append(module.Compose(steps)(image))
    ours, theirs = results
    assert isinstance(ours, minicnn.Tensor) and ours.dtype == "float32" and ours.shape == (3, 28, 28)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


# ---- conversion ----------------------------------------------------------------------------------------------


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


@given(images=batches(dtypes=("float32",), channels=(3,)))
def test_normalize_is_torchvisions(images: Any) -> None:
    mean, std = (0.1, -0.2, 0.3), (0.5, 1.5, 2.0)
    before = images.copy()
    ours = T.Normalize(mean, std)(images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(ours, vision().Normalize(mean, std)(peers.torch().tensor(images)).numpy())
    for n, c, i, j in np.ndindex(images.shape):
        assert ours[n, c, i, j] == pytest.approx((images[n, c, i, j] - mean[c]) / std[c], rel=1e-5, abs=1e-6)


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
