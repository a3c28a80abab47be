"""Pillow images and arrays: conversion and resampling. Pillow is imported only when there is an image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def is_pil(image: Any) -> bool:
    """Whether ``image`` is a Pillow image (there is none before Pillow has been imported)."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)


def to_array(image: Image) -> np.ndarray:
    """The pixels (C, H, W) of a Pillow image: uint8, but 16-bit grey uint16, mode I int32, mode F float32."""
    pixels = np.asarray(image)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def to_image(array: np.ndarray) -> Image:
    """A Pillow image of pixels (C, H, W)."""
    from PIL import Image

    pixels = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels))


def to_unit_range(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Unsigned integers over the largest of their dtype, so that 0 .. 255 becomes 0 .. 1; floats converted."""
    if array.dtype.kind == "f":
        return array.astype(dtype, copy=False)
    if array.dtype.kind != "u":
        raise TypeError(f"expected unsigned integers or floats, got {array.dtype}")
    return np.divide(array, dtype.type(np.iinfo(array.dtype).max), dtype=dtype)


def resize_image(image: Image, size: tuple[int, int], interpolation: str) -> Image:
    """``image`` resampled to ``size`` (height, width); itself if it has that size."""
    from PIL import Image

    height, width = size
    if (image.height, image.width) == (height, width):
        return image
    return image.resize((width, height), Image.Resampling[interpolation.upper()])


def resize_batch(images: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Images (N, C, H, W) resampled to ``size`` plane by plane: uint8 as uint8, floats as float32 inside."""
    from PIL import Image

    if images.shape[2:] == size:
        return images
    working = images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
    out = np.empty((*images.shape[:2], *size), working.dtype)
    for index in np.ndindex(*images.shape[:2]):
        out[index] = resize_image(Image.fromarray(np.ascontiguousarray(working[index])), size, interpolation)
    return out.astype(images.dtype, copy=False)
