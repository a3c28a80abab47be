"""How small an image may be: checked at the network's input, before a late pooling has nothing left to pool."""

from __future__ import annotations

from ..errors import ShapeError
from ..tensors import Tensor


class InputSizeError(ShapeError):
    """The images are too small for the network."""


def require_size(images: Tensor, smallest: int) -> None:
    """Check a batch of images, (N, C, H, W): raises InputSizeError unless H and W are at least ``smallest``."""
    if images.ndim != 4:
        raise ShapeError(f"expected a batch of images (N, C, H, W), got shape {tuple(images.shape)}")
    height, width = images.shape[2:]
    if min(height, width) < smallest:
        raise InputSizeError(f"expected images of at least {smallest}x{smallest} pixels, got {height}x{width}")
