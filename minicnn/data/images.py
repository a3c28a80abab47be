"""Image files, read with Pillow: any mode, upright, one clear error for those that cannot be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..paths import expanded, printable
from .errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's mode


def load_image(path: str | Path, in_channels: int = 3, on_paper: bool = False) -> Image:
    """The image in the file ``path`` as an upright 8-bit Pillow image, RGB or (``in_channels=1``) grey.

    A rotation in the file (EXIF) is applied, and of an animation the first picture is taken. 16-bit grey becomes
    8-bit by its upper byte; 32-bit integers are read as 16-bit values, or as 8-bit ones if none is above 255; floats as
    shares of white, or as 8-bit values if one is above 1. Transparency is dropped, and CMYK and palettes are converted
    by Pillow's ``convert``, as in torchvision.

    Args:
        path: the file; ``~`` is the home folder.
        on_paper: where a drawing is transparent there is white, or black under light ink, instead of the hidden colour.

    Raises:
        DataError: if the file is missing, not a regular file, not an image, or damaged.
        ValueError: if ``in_channels`` is neither 1 nor 3.
    """
    from PIL import Image, ImageOps

    mode = channel_mode(in_channels)
    path = expanded(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # opening a pipe would block
            raise DataError(f"{path!r} is a pipe or a device, expected an image file")
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return to_8_bit(_on_paper(upright) if on_paper else upright).convert(mode)
    except FileNotFoundError:
        raise DataError(f"no image file {path!r}") from None
    except IsADirectoryError:
        raise DataError(f"{path!r} is a folder, expected an image file") from None
    except DataError:
        raise
    # Pillow's decoders raise almost anything at a damaged file: OSError, SyntaxError, struct.error,
    # IndexError ...
    except Exception as error:
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise DataError(f"cannot read {path!r} as an image: {reason}") from error


def _on_paper(image: Image) -> Image:
    """A picture with transparent parts, as a program shows it that lays it on white, or on black if it is light."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    drawing = image.convert("RGBA")
    opacity = np.asarray(drawing.getchannel("A"), np.float64)
    light = (np.asarray(drawing.convert("L")) * opacity).sum() > 127.5 * opacity.sum()
    return Image.alpha_composite(Image.new("RGBA", drawing.size, "black" if light else "white"), drawing)


def channel_mode(in_channels: int) -> str:
    """Pillow's name for images with this number of channels.

    Raises:
        ValueError: if ``in_channels`` is neither 1 nor 3.
    """
    if in_channels not in MODES:
        raise ValueError(f"`in_channels` (={in_channels}) must be 1 (grey) or 3 (RGB) for image files")
    return MODES[in_channels]


def to_8_bit(image: Image) -> Image:
    """A grey image of larger numbers (modes ``I;16``, ``I``, ``F``) in 8 bits; others as Pillow can convert them."""
    from PIL import Image

    if image.mode == "LAB":
        return image.convert("RGB")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA")
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = values * 255 if values.max() <= 1 else values
    elif image.mode == "I" and values.max() <= 255:
        pass
    elif image.mode.startswith("I"):
        values = np.clip(values.astype(np.int64), 0, 65535) >> 8
    else:
        return image
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
