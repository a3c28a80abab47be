"""Pictures of one thing on an even ground, such as handwritten digits: made to look like those a network has learned.

People draw dark on white, somewhere on a large sheet. The digits of the data sets are light on black, and all fill the
same share of their image. A network that has seen nothing else is wrong about anything else, and sure of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

    from .sources import DataSource

INK = 0.25  # a pixel differs by so much from the ground, in [0, 1], where something is drawn
ALIKE = 0.1  # grounds that differ by less are the same
STRONGEST = 8.0  # a pen's stroke may become so much darker
MOST_IMAGES = 1000  # that are looked at
SHARE = 0.9  # of the images that must have the same ground


@dataclass(frozen=True)
class Style:
    """How the images of a data set are drawn.

    Attributes:
        ground: the brightness around what is drawn, in [0, 1].
        extent: the larger side of what is drawn, as a share of the image's side.
        ink: how much the pixels differ from the ground, in the mean over all of an image.
    """

    ground: float
    extent: float
    ink: float


def learned_style(images: np.ndarray) -> Style | None:
    """The style of grey images (N, H, W) in [0, 1]; None if they have no common ground, clearly dark or light."""
    grounds = np.median(_border(images), axis=1)
    ground = float(np.median(grounds))
    if abs(ground - 0.5) < INK or (abs(grounds - ground) < ALIKE).mean() < SHARE:
        return None
    boxes = [box for box in (_box(abs(image - ground) > INK) for image in images) if box is not None]
    if not boxes:
        return None
    height, width = images.shape[1:]
    extents = [max((bottom - top) / height, (right - left) / width) for top, left, bottom, right in boxes]
    ink = float(abs(images - ground).mean())
    return Style(*(round(number, 4) for number in (ground, float(np.median(extents)), ink)))


def source_style(source: DataSource) -> Style | None:
    """The style of a data set's validation images, which are not augmented; None if they are in colour or photos."""
    if source.in_channels != 1:
        return None
    indices = np.arange(min(len(source.validation), MOST_IMAGES))
    images = source.validation.batch(indices, np.random.default_rng(0))[0].numpy()[:, 0]
    return learned_style(np.clip(images * source.std[0] + source.mean[0], 0, 1))


def negative(image: Image) -> Image:
    """A grey or RGB picture with light and dark exchanged."""
    from PIL import ImageOps

    return ImageOps.invert(image)


def in_style(image: Image, style: Style, size: tuple[int, int], invert: bool | None = None) -> tuple[Image, bool]:
    """A grey picture as a network expects it that has learned ``style``, and whether it was inverted.

    A picture of the network's own ``size`` keeps its margins. From any other, the square is taken in which what is
    drawn has the learned extent, in the middle. When it is as small as the network's input, thin strokes are
    strengthened until there is as much ink in it as in the mean of the learned images.

    Args:
        image: in Pillow's mode ``L``.
        size: (height, width) of the network's input.
        invert: None: if that brings the ground closer to the learned one.
    """
    from PIL import Image as images

    pixels = np.asarray(image, np.float32) / 255
    ground = float(np.median(_border(pixels[None])))
    if invert is None:
        invert = abs(1 - ground - style.ground) < abs(ground - style.ground)
    if invert:
        pixels, ground = 1 - pixels, 1 - ground
    if pixels.shape != size and (box := _box(abs(pixels - ground) > INK)) is not None:
        square = images.fromarray(_square(pixels, box, style.extent, ground))
        small = np.asarray(square.resize(size[::-1], images.Resampling.BILINEAR))
        pixels = np.clip(ground + (small - ground) * _strength(abs(small - ground), style.ink), 0, 1)
    return images.fromarray((pixels * 255).round().astype(np.uint8)), invert


def _border(images: np.ndarray) -> np.ndarray:
    """The outermost pixels (N, count) of images (N, H, W)."""
    edge = np.ones(images.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    return images[:, edge]


def _box(drawn: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of what is true in (H, W); the last two are one too far. None if nothing is."""
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else None


def _square(pixels: np.ndarray, box: tuple[int, int, int, int], extent: float, ground: float) -> np.ndarray:
    """The square around the middle of ``box``, of which the box's larger side takes ``extent``, on the ground."""
    top, left, bottom, right = box
    side = round(max(bottom - top, right - left) / extent)
    square = np.full((side, side), ground, pixels.dtype)
    row, column = (side - (bottom - top)) // 2, (side - (right - left)) // 2
    square[row : row + bottom - top, column : column + right - left] = pixels[top:bottom, left:right]
    return square


def _strength(drawn: np.ndarray, ink: float) -> float:
    """The factor, from 1 to ``STRONGEST``, that brings the mean of ``drawn``, cut off at 1, closest to ``ink``."""
    low, high = 1.0, STRONGEST
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(drawn * middle, 1).mean() < ink else (low, middle)
    return low
