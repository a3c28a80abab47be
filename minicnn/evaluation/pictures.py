"""Images as a person sees them, small enough for a page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..data.transforms.pixels import is_pil, to_image
from ..tensors import Tensor
from ..utils.page import data_url

SIDE = 112  # pixels, of the longer side


def thumbnail(image: Any) -> tuple[str, int, int]:
    """A picture as the ``src`` of an ``<img>``, with its width and height, of which none is above ``SIDE``.

    Args:
        image: a Pillow image, or pixels (C, H, W), C = 1 or 3: uint8, or floats in [0, 1].
    """
    if not is_pil(image):
        pixels = image.numpy() if isinstance(image, Tensor) else np.asarray(image)
        if pixels.dtype != np.uint8:
            pixels = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
        image = to_image(pixels)
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    small.save(written, format="png", optimize=True)
    return data_url(written.getvalue()), small.width, small.height
