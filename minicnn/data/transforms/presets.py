"""The transform for a published classifier, from the picture to the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Transform
from .fixed import CenterCrop, ConvertImageDtype, Normalize, Resize, ToTensor
from .sizes import InterpolationMode, Size, check_size, square

if TYPE_CHECKING:
    from PIL.Image import Image

# Mean and deviation of ImageNet's pictures, RGB.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageClassification(Transform):
    """Resize, cut out the centre, scale to [0, 1], normalise: what torchvision calls by the same name.

    A Pillow image becomes a tensor (C, crop, crop); an array (C, H, W) or a batch (N, C, H, W) becomes such an array.

    Args:
        crop_size: the side of the square that is cut out of the middle.
        resize_size: to which the shorter side is scaled first; a pair (height, width) scales both sides.
        mean, std: of each channel in [0, 1].
        interpolation: of the resizing, which Pillow does with antialiasing.

    Raises:
        ValueError: for invalid sizes, an unknown interpolation, or a deviation that is not positive; when
            called, for an image with other channels than ``mean`` has.
    """

    def __init__(
        self,
        crop_size: Size,
        resize_size: Size = 256,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
    ) -> None:
        self.crop_size = square(check_size(crop_size))
        self.resize_size = check_size(resize_size)
        normalize = Normalize(mean, std)
        self.mean, self.std = normalize.mean, normalize.std
        self.interpolation = InterpolationMode(interpolation)

    def apply_image(self, image: Image, generator: np.random.Generator) -> Any:
        image = Resize(self.resize_size, self.interpolation)(image)
        return Normalize(self.mean, self.std)(ToTensor()(CenterCrop(self.crop_size)(image)))

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        images = CenterCrop(self.crop_size)(Resize(self.resize_size, self.interpolation)(images))
        return Normalize(self.mean, self.std)(ConvertImageDtype(np.float32)(images))

    def at(self, size: int) -> ImageClassification:
        """The same for another crop: the resizing grows or shrinks in proportion."""
        resize = tuple(round(side * size / old) for side, old in zip(self.resize_size, self.crop_size, strict=False))
        return ImageClassification(size, resize, self.mean, self.std, self.interpolation)
