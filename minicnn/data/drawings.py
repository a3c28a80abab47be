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

INK = 0.25  # a pixel differs from the ground by so much of the strongest ink, where something is drawn
INK_ON_PAPER = 0.45  # ... in a fine picture, which may be a photograph of paper that is not evenly lit
FAINT = 0.06  # what differs less from the ground, in [0, 1], is paper and no ink
FINE = 4  # a picture is so many times as large as the network's input, if single pixels do not count
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
    """A picture as a network expects it that has learned ``style``, in mode ``L``, and whether it was inverted.

    Whatever the paper and the ink are, the ground becomes the learned one, and the strongest ink full black or white. A
    picture of the network's own ``size`` keeps its margins. From any other, the square is taken in which what is drawn
    has the learned extent, in the middle. When it is as small as the network's input, thin strokes are strengthened
    until there is as much ink in it as in the mean of the learned images.

    Args:
        image: in Pillow's mode ``L``, or another that can be converted.
        size: (height, width) of the network's input.
        invert: None: if the ink is darker than its ground, and the learned one is lighter, or the other way round.
    """
    from PIL import Image as images

    pixels = np.asarray(image.convert("L"), np.float32) / 255
    learned = 1.0 if style.ground < 0.5 else -1.0
    ground, ink = _ground_and_ink(pixels, size)
    if invert is None:
        invert = learned * ink < 0 if ink else abs(1 - ground - style.ground) < abs(ground - style.ground)
    if invert:
        pixels, ground, ink = 1 - pixels, 1 - ground, -ink
    unlike = abs(ground - style.ground) > ALIKE or abs(ink) < 0.5
    if learned * ink > 0 and (unlike or pixels.shape != size):
        inked = np.clip((pixels - ground) / ink, 0, 1)
        ground, full = style.ground, float(style.ground < 0.5)
        pixels, ink = ground + (full - ground) * inked, full - ground
    if ink and pixels.shape != size and (box := _box(_drawn(pixels, ground, ink, size))) is not None:
        square = images.fromarray(_square(pixels, box, style.extent, ground))
        small = np.asarray(square.resize(size[::-1], images.Resampling.BILINEAR))
        pixels = np.clip(ground + (small - ground) * _strength(abs(small - ground), style.ink), 0, 1)
    return images.fromarray((pixels * 255).round().astype(np.uint8)), invert


def _ground_and_ink(pixels: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """The brightness of the ground, and by how much the strongest ink is lighter (+) or darker; 0 if there is none."""
    ground = float(np.median(_border(pixels[None])))
    differences = _smooth(pixels - ground, size)
    ink = float(max(differences.max(), differences.min(), key=abs))
    return ground, ink if abs(ink) >= FAINT else 0.0


def _drawn(pixels: np.ndarray, ground: float, ink: float, size: tuple[int, int]) -> np.ndarray:
    """Where there is ink (H, W); single pixels of a fine picture are dust or noise."""
    inked = (pixels - ground) / ink
    share = INK_ON_PAPER if _is_fine(pixels, size) else INK
    return (inked > share) & (_smooth(inked, size) > share / 2)


def _is_fine(pixels: np.ndarray, size: tuple[int, int]) -> bool:
    return min(pixels.shape) >= FINE * max(size)


def _smooth(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The means of 3x3 pixels (H, W) of a fine picture; a small one as it is."""
    if not _is_fine(pixels, size):
        return pixels
    padded = np.pad(pixels, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9


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
