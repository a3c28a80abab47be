"""Transforms of images, with torchvision's names: what happens between a data set and a network.

They take a Pillow image, an array (or tensor) (C, H, W) or a whole batch (N, C, H, W), and return the same
kind; of a batch each image gets random numbers of its own. The random ones draw from the NumPy generator they
are called with, ``transform(image, generator)``, and without one from the library's default stream.
"""

from .base import Compose, Transform, apply_transform
from .fixed import CenterCrop, ConvertImageDtype, Normalize, Resize, ToTensor
from .presets import ImageClassification
from .random import RandomCrop, RandomHorizontalFlip, RandomResizedCrop
from .sizes import InterpolationMode

__all__ = [
    "CenterCrop",
    "Compose",
    "ConvertImageDtype",
    "ImageClassification",
    "InterpolationMode",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "ToTensor",
    "Transform",
    "apply_transform",
]
