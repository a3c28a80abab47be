"""Transforms of images, with torchvision's names: what happens between a data set and a network.

They take a Pillow image, an array (or tensor) (C, H, W) or a whole batch (N, C, H, W), and return the same
kind; each image of a batch gets its own random numbers. Random transforms draw from the NumPy generator that they
are called with, ``transform(image, generator)``, or by default from the library's stream.
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
