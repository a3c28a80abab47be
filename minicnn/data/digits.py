"""The bundled handwritten digits: 1 797 real 8x8 images that need no download."""

from __future__ import annotations

import difflib
from functools import cache

import numpy as np

from .bundled import bundled_digits
from .dataset import ArrayDataset, stratified_split
from .errors import DataError
from .transforms import Compose, Normalize, RandomCrop, Resize

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
DIGIT_CLASSES = tuple("0123456789")
BRIGHTEST = 16  # the pixels count the dark dots of a 4x4 cell of the scan


@cache
def _load() -> tuple[np.ndarray, np.ndarray]:
    """All images (1797, 1, 8, 8), float32 in [0, 1], and their labels (1797,)."""
    images, labels = bundled_digits()
    return images[:, None].astype(np.float32) / BRIGHTEST, labels.astype(np.int64)


@cache
def digits_statistics(seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation of the training pixels (in [0, 1]) of the split by ``seed``."""
    images, labels = _load()
    train = images[stratified_split(labels, list(SHARES.values()), seed)[0]].astype(np.float64)
    return float(train.mean()), float(train.std())


def digits(
    split: str, seed: int = 0, *, augment: bool = False, image_size: int = 8, in_channels: int = 1
) -> ArrayDataset:
    """One of the three parts of the digits: about 70 % to train, 10 % to validate, 20 % to test.

    Every digit has the same share of each part; the same seed cuts the same parts. Images are
    (``in_channels``, ``image_size``, ``image_size``), float32, normalised by the training pixels' mean and
    deviation.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        augment: shift each image by up to one (of eight) pixels, differently in each epoch.
        image_size: enlarge the images for networks that need more than 8x8.
        in_channels: repeat the grey channel.

    Raises:
        DataError: for another split.
    """
    if split not in SHARES:
        near = difflib.get_close_matches(split, SHARES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"digits have the splits {', '.join(SHARES)}, not {split!r}{hint}")
    images, labels = _load()
    part = stratified_split(labels, list(SHARES.values()), seed)[list(SHARES).index(split)]
    pixels = Resize((image_size, image_size))(images[part])
    mean, std = digits_statistics(seed)
    normalize = Normalize([mean] * in_channels, [std] * in_channels)
    transform = Compose([digits_augmentation(image_size), normalize]) if augment else normalize
    return ArrayDataset(np.repeat(pixels, in_channels, axis=1), labels[part], transform, DIGIT_CLASSES)


def digits_augmentation(image_size: int = 8) -> RandomCrop:
    """The shift by up to one of eight pixels. No mirroring: a mirrored 2 is not a digit."""
    return RandomCrop(image_size, padding=max(1, image_size // 8))
