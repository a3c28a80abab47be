"""What every transform shares: it distinguishes images, arrays and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...tensors import Tensor
from ..randomness import numpy_generator
from .pixels import is_pil, to_array, to_image

if TYPE_CHECKING:
    from PIL.Image import Image


class Transform:
    """Base class: calls ``apply_image`` or ``apply_batch``, depending on its argument."""

    def __call__(self, image: Any, generator: np.random.Generator | None = None) -> Any:
        """Transform a Pillow image, an array or tensor (C, H, W), or a batch of them (N, C, H, W).

        Raises:
            TypeError: for anything else.
        """
        generator = numpy_generator(generator)
        if isinstance(image, Tensor):
            return Tensor(self(image.detach().cpu().numpy(), generator))
        if isinstance(image, np.ndarray):
            if image.ndim not in (3, 4):
                raise TypeError(f"expected an array (C, H, W) or (N, C, H, W), got shape {image.shape}")
            if image.ndim == 4:
                return self.apply_batch(image, generator)
            return self.apply_batch(image[None], generator)[0]
        if not is_pil(image):
            raise TypeError(f"expected an image, an array or a tensor, got {type(image).__name__}")
        return self.apply_image(image, generator)

    def apply_image(self, image: Image, generator: np.random.Generator) -> Any:
        """Transform one Pillow image: by default, its pixels as an array.

        Raises:
            ValueError: for modes that cannot be recognised from the pixels (palettes, CMYK ...).
        """
        if image.mode not in ("L", "RGB", "RGBA"):
            raise ValueError(f"{type(self).__name__} takes L, RGB or RGBA images, got {image.mode}: convert it first")
        return to_image(self.apply_batch(to_array(image)[None], generator)[0])

    def apply_batch(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Transform images (N, C, H, W) without changing them in place."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply_batch()")

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class Compose(Transform):
    """One transform after the other. Plain functions of the image may be among them."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any, generator: np.random.Generator | None = None) -> Any:
        """Transform as each of the transforms does, in their order."""
        generator = numpy_generator(generator)
        for transform in self.transforms:
            image = apply_transform(transform, image, generator)
        return image

    def __repr__(self) -> str:
        return "Compose([" + ", ".join(repr(transform) for transform in self.transforms) + "])"


def apply_transform(transform: Callable[..., Any], image: Any, generator: np.random.Generator) -> Any:
    """Call a transform of this module with the generator, any other function without."""
    return transform(image, generator) if isinstance(transform, Transform) else transform(image)
