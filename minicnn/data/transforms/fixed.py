"""Transforms that are not random: conversion, normalisation, resizing, the central crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...tensors import Tensor
from .base import Transform
from .pixels import is_pil, resize_batch, resize_image, to_array, to_unit_range
from .sizes import InterpolationMode, Size, check_size, square

if TYPE_CHECKING:
    from PIL.Image import Image


class ToTensor(Transform):
    """A Pillow image or an array (H, W[, C]) becomes a tensor (C, H, W); uint8 becomes float in [0, 1].

    16-bit grey images become float in [0, 1] as well; arrays of other dtypes keep their values.
    """

    def __call__(self, image: Any, generator: np.random.Generator | None = None) -> Tensor:
        """Convert; raises TypeError for anything but a Pillow image or such an array."""
        if isinstance(image, np.ndarray) and image.ndim in (2, 3):
            array = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        elif is_pil(image):
            array = to_array(image)
        else:
            what = f"shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise TypeError(f"ToTensor expects a Pillow image or an array (H, W) or (H, W, C), got {what}")
        return Tensor(to_unit_range(array, np.dtype(np.float32)) if array.dtype.kind == "u" else np.array(array))


class ConvertImageDtype(Transform):
    """Arrays of integers to floats in [0, 1]: 255 (of uint8) becomes 1. Floats only change their dtype.

    Raises:
        TypeError: if ``dtype`` is not a floating point type.
    """

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise TypeError(f"`dtype` (={self.dtype}) must be floating point")

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return to_unit_range(images, self.dtype)

    def apply_image(self, image: Image, generator: np.random.Generator) -> Any:
        raise TypeError("ConvertImageDtype takes arrays or tensors: put ToTensor() before it")


class Normalize(Transform):
    """``(image - mean) / std``, channel by channel.

    Raises:
        ValueError: if lengths differ or a ``std`` is not positive; when called, if the image has other
            channels.
        TypeError: when called, for a Pillow image or for integers.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        if len(self.mean) != len(self.std):
            raise ValueError(f"expected as many means as deviations, got mean={self.mean}, std={self.std}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"every `std` must be positive, got {self.std}")

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if images.dtype.kind != "f":
            raise TypeError(f"Normalize takes floats, got {images.dtype}: put ConvertImageDtype() before it")
        if images.shape[1] != len(self.mean):
            raise ValueError(f"Normalize has {len(self.mean)} channels, the image {images.shape[1]}")
        mean = np.array(self.mean, dtype=images.dtype)[:, None, None]
        std = np.array(self.std, dtype=images.dtype)[:, None, None]
        out = images - mean
        return np.divide(out, std, out=out)

    def apply_image(self, image: Image, generator: np.random.Generator) -> Any:
        raise TypeError("Normalize takes arrays or tensors: put ToTensor() before it")


class Resize(Transform):
    """Resample to ``size``: a pair (height, width), or an int for the shorter side, the other in proportion.

    Pillow computes it, with antialiasing; arrays (uint8, or floats as float32) plane by plane.
    """

    def __init__(self, size: Size, interpolation: InterpolationMode | str = InterpolationMode.BILINEAR) -> None:
        self.size = check_size(size)
        self.interpolation = InterpolationMode(interpolation)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """The size an image of ``height`` by ``width`` gets."""
        if len(self.size) == 2:
            return self.size[0], self.size[1]
        short = self.size[0]
        long = int(short * max(height, width) / min(height, width))
        return (short, long) if height <= width else (long, short)

    def apply_image(self, image: Image, generator: np.random.Generator) -> Image:
        return resize_image(image, self.output_size(image.height, image.width), self.interpolation.value)

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return resize_batch(images, self.output_size(*images.shape[2:]), self.interpolation.value)


class CenterCrop(Transform):
    """Cut ``size`` (int, or (height, width)) out of the middle; small images get a black frame."""

    def __init__(self, size: Size) -> None:
        self.size = square(check_size(size))

    def window(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of the window in an image of ``height`` by ``width``; negative in a smaller one."""
        top, left = (
            round((found - wanted) / 2) if found >= wanted else -((wanted - found) // 2)
            for wanted, found in zip(self.size, (height, width), strict=True)
        )
        return top, left

    def apply_image(self, image: Image, generator: np.random.Generator) -> Image:
        top, left = self.window(image.height, image.width)
        return image.crop((left, top, left + self.size[1], top + self.size[0]))

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        height, width = images.shape[2:]
        top, left = self.window(height, width)
        below, right = self.size[0] - height + top, self.size[1] - width + left
        sides = ((max(-top, 0), max(below, 0)), (max(-left, 0), max(right, 0)))
        framed = np.pad(images, ((0, 0), (0, 0), *sides))
        top, left = max(top, 0), max(left, 0)
        return framed[:, :, top : top + self.size[0], left : left + self.size[1]]
