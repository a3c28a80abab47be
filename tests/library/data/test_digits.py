"""The bundled digits and photographs: scikit-learn's; the digits are split once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import data
from minicnn.data import DataError, DataLoader, bundled, digits, open_data
from minicnn.data.bundled import bundled_digits


def test_the_bundled_data_are_scikit_learns_to_the_bit() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = bundled_digits()
    np.testing.assert_array_equal(images, datasets.load_digits().images)
    np.testing.assert_array_equal(labels, datasets.load_digits().target)
    for ours, theirs in zip(data.sample_photographs(), datasets.load_sample_images().images, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_bundled_data_are_what_they_were() -> None:
    """Numbers in the docs were computed with these bytes."""
    folder = Path(bundled.__file__).parent
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in folder.glob("*.*g")}
    assert digests == {"china.jpg": "8378025ad2519d64", "flower.jpg": "a77f6ec41e353afd"}
    images, labels = bundled_digits()
    assert (images.shape, images.dtype, labels.shape) == ((1797, 8, 8), np.uint8, (1797,))
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16] == "87ff0c9e40dc7e2c"
    assert [(photo.shape, photo.dtype.name) for photo in data.sample_photographs()] == [((427, 640, 3), "uint8")] * 2
    notice = (folder / "README.md").read_text(encoding="utf-8")
    for needed in ("CC BY 4.0", "CC BY 2.0", "Alpaydin", "danielbuechele", "vultilion", *digests, "digits.npz"):
        assert needed in notice


def test_the_digits_are_the_bundled_ones_split_once() -> None:
    images, labels = bundled_digits()
    parts = [digits(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == pytest.approx([0.7 * 1797, 0.1 * 1797, 0.2 * 1797], abs=10)
    mean, std = data.digits_statistics()
    seen = []
    for part in parts:
        batch, targets = next(iter(DataLoader(part, len(part))))
        assert batch.shape == (len(part), 1, 8, 8) and batch.dtype == "float32"
        pixels = np.rint((batch.numpy() * std + mean) * 16).astype(int)
        seen += [
            (*image.ravel().tolist(), label) for image, label in zip(pixels, targets.numpy().tolist(), strict=True)
        ]
        assert set(np.bincount(targets.numpy(), minlength=10) > 0.8 * len(part) / 10) == {True}
    original = [
        (*image.astype(int).ravel().tolist(), label) for image, label in zip(images, labels.tolist(), strict=True)
    ]
    assert sorted(seen) == sorted(original)


def test_the_training_digits_are_normalised() -> None:
    images, _ = next(iter(DataLoader(digits("train"), 2000)))
    assert abs(images.numpy().mean()) < 1e-5 and abs(images.numpy().std() - 1) < 1e-5


def test_the_seed_cuts_the_digits_the_same_way_every_time() -> None:
    first, again, other = digits("test", 3), digits("test", 3), digits("test", 4)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.labels, other.labels)
    with pytest.raises(DataError, match="did you mean 'validation'"):
        digits("validaton")


@given(size=st.sampled_from([8, 16, 32]), channels=st.sampled_from([1, 3]))
def test_digits_come_larger_and_in_colour_for_networks_that_need_it(size: int, channels: int) -> None:
    source = open_data("digits", image_size=size, in_channels=channels)
    image, label = source.train[0]
    assert image.shape == source.input_shape == (channels, size, size)
    assert source.classes[label] == str(label)
    assert len(source.mean) == len(source.std) == channels


def test_augmented_digits_are_shifted_by_up_to_one_pixel() -> None:
    plain, augmented = digits("train"), digits("train", augment=True)
    generator = np.random.default_rng(0)
    one = augmented.batch(np.arange(30), generator)[0].numpy()
    base = plain.batch(np.arange(30), generator)[0].numpy()
    background = float(base.min())
    framed = np.pad(base, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=background)
    shifts = []
    for image, frame in zip(one[:, 0], framed[:, 0], strict=True):
        fits = [
            (i, j) for i in range(3) for j in range(3) if np.allclose(image, frame[i : i + 8, j : j + 8], atol=1e-5)
        ]
        assert fits
        shifts += fits[:1]
    assert len(set(shifts)) > 4
