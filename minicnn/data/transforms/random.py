"""Augmentation: random transforms, of a whole batch at once where that is faster."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Transform
from .pixels import resize_batch, resize_image
from .sizes import InterpolationMode, Size, check_padding, check_size, square

if TYPE_CHECKING:
    from PIL.Image import Image


class RandomCrop(Transform):
    """Cut ``size`` out at a random place, all places equally likely, after adding ``padding`` around the image.

    Args:
        size: an int for a square, or (height, width).
        padding: pixels on every side, or (left and right, top and bottom), or (left, top, right, bottom).
        fill: the value of padding pixels, one number or one per channel.
        padding_mode: ``"constant"``, ``"edge"``, ``"reflect"`` or ``"symmetric"``.

    Raises:
        ValueError: for another ``padding`` or mode; when called, if the padded image is smaller than
            ``size``.
    """

    def __init__(
        self,
        size: Size,
        padding: Size | None = None,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = square(check_size(size))
        self.padding = check_padding(padding)
        self.fill = fill
        self.padding_mode = padding_mode
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(f"`padding_mode` (={padding_mode!r}) must be constant, edge, reflect or symmetric")

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        padded = self._pad(images)
        count, _, height, width = padded.shape
        out_height, out_width = self.size
        if out_height > height or out_width > width:
            raise ValueError(f"cannot cut {self.size} out of an image of {(height, width)} (padding included)")
        top = generator.integers(0, height - out_height + 1, size=count)
        left = generator.integers(0, width - out_width + 1, size=count)
        # (N, C, H - h + 1, W - w + 1, h, w): all possible crops, without a copy; then (N, C, h, w), one per image
        crops = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=(2, 3))
        return crops[np.arange(count), :, top, left]

    def _pad(self, images: np.ndarray) -> np.ndarray:
        left, top, right, bottom = self.padding
        if not any(self.padding):
            return images
        frame = ((0, 0), (0, 0), (top, bottom), (left, right))
        if self.padding_mode != "constant":
            return np.pad(images, frame, mode=self.padding_mode)  # type: ignore[call-overload]
        count, channels, height, width = images.shape
        padded = np.empty((count, channels, top + height + bottom, left + width + right), images.dtype)
        fill = np.reshape(self.fill, (-1, 1, 1))
        if len(fill) not in (1, channels):
            raise ValueError(f"`fill` has {len(fill)} values, the image {channels} channels")
        padded[...] = fill
        padded[:, :, top : top + height, left : left + width] = images
        return padded


class RandomHorizontalFlip(Transform):
    """Mirror left and right with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"`p` (={p}) must be between 0 and 1")
        self.p = p

    def apply_image(self, image: Image, generator: np.random.Generator) -> Image:
        from PIL.Image import Transpose

        return image.transpose(Transpose.FLIP_LEFT_RIGHT) if generator.random() < self.p else image

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        flipped = generator.random(len(images)) < self.p
        out = images.copy()
        out[flipped] = images[flipped, :, :, ::-1]
        return out


class RandomResizedCrop(Transform):
    """Cut out a window of random area, shape and place and resize it (Szegedy et al. 2015, section 6).

    Args:
        size: an int for a square, or (height, width).
        scale: the window's area, as a share of the image's: uniform between these two.
        ratio: the window's width over its height: log-uniform between these two.

    A window that does not fit is drawn again; after ten the largest centred one whose shape is allowed is
    taken.
    """

    def __init__(
        self,
        size: Size,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
    ) -> None:
        self.size = square(check_size(size))
        self.scale = scale
        self.ratio = ratio
        self.interpolation = InterpolationMode(interpolation)
        for name, (low, high) in (("scale", scale), ("ratio", ratio)):
            if not 0 < low <= high:
                raise ValueError(f"`{name}` (={(low, high)}) must be two positive numbers, the smaller one first")

    def window(self, height: int, width: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
        """A random window in an image of ``height`` by ``width``: top, left, height, width."""
        for _ in range(10):
            area = height * width * generator.uniform(*self.scale)
            shape = math.exp(generator.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                return int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1)), h, w
        shape = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, max(1, round(height * shape))), min(height, max(1, round(width / shape)))
        return (height - h) // 2, (width - w) // 2, h, w

    def apply_image(self, image: Image, generator: np.random.Generator) -> Image:
        top, left, height, width = self.window(image.height, image.width, generator)
        return resize_image(image.crop((left, top, left + width, top + height)), self.size, self.interpolation.value)

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        height, width = images.shape[2:]
        windows = [self.window(height, width, generator) for _ in images]
        crops = [
            resize_batch(image[None, :, top : top + h, left : left + w], self.size, self.interpolation.value)
            for image, (top, left, h, w) in zip(images, windows, strict=True)
        ]
        return np.concatenate(crops)
