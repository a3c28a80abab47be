"""Image files, read with Pillow: any mode, upright, one clear error for those that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's mode


def load_image(path: str | Path, in_channels: int = 3) -> Image:
    """The image in the file ``path`` as an upright 8-bit Pillow image, RGB or (``in_channels=1``) grey.

    Rotation noted in the file (EXIF) is applied. 16-bit grey becomes 8-bit by its upper byte. Transparency is
    dropped and CMYK and palettes converted as Pillow's ``convert`` does it, which is also what torchvision
    does.

    Raises:
        DataError: if the file is missing, is no image, or is damaged.
        ValueError: if ``in_channels`` is neither 1 nor 3.
    """
    from PIL import Image, ImageOps

    mode = channel_mode(in_channels)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return to_8_bit(upright).convert(mode)
    except FileNotFoundError:
        raise DataError(f"no image file {str(path)!r}") from None
    except IsADirectoryError:
        raise DataError(f"{str(path)!r} is a folder, expected an image file") from None
    # Pillow's decoders raise almost anything at a damaged file: OSError, SyntaxError, struct.error,
    # IndexError ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot read {str(path)!r} as an image: {reason}") from error


def channel_mode(in_channels: int) -> str:
    """Pillow's name for images of so many channels.

    Raises:
        ValueError: if ``in_channels`` is neither 1 nor 3.
    """
    if in_channels not in MODES:
        raise ValueError(f"`in_channels` (={in_channels}) must be 1 (grey) or 3 (RGB) for image files")
    return MODES[in_channels]


def to_8_bit(image: Image) -> Image:
    """A 16-bit grey image (modes ``I;16``, ``I``) by its upper bytes; every other image as it is."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
