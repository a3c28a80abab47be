"""The transform from a picture to a network's input if the weights have none: the paper's, or public weights'."""

from __future__ import annotations

from ..data.cifar import CIFAR10_LAYOUT
from ..data.transforms import ImageClassification
from ..data.transforms.presets import IMAGENET_MEAN, IMAGENET_STD
from .registry import model_entry

CIFAR_SIZE = 32

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and deviation of each colour

# fmt: off
# The transforms with which public weights were evaluated: torchvision's IMAGENET1K_V1, and timm's for SE-ResNet-50.
PUBLISHED: dict[str, tuple[int, int, str]] = {
    #                   shorter side  crop  interpolation
    "alexnet":         (256,          224,  "bilinear"),
    "efficientnet_b0": (256,          224,  "bicubic"),
    "efficientnet_b1": (256,          240,  "bicubic"),
    "efficientnet_b2": (288,          288,  "bicubic"),
    "efficientnet_b3": (320,          300,  "bicubic"),
    "efficientnet_b4": (384,          380,  "bicubic"),
    "efficientnet_b5": (456,          456,  "bicubic"),
    "efficientnet_b6": (528,          528,  "bicubic"),
    "efficientnet_b7": (600,          600,  "bicubic"),
    "seresnet50":      (256,          224,  "bicubic"),
}
# fmt: on

# GoogLeNet's public weights were trained on pixels in [-1, 1]. torchvision builds the network with
# transform_input=True, which converts ImageNet's normalisation to this one.
SYMMETRIC: Statistics = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def preprocessing(name: str, variant: str | None = None, in_channels: int = 3) -> ImageClassification:
    """The usual evaluation transform for a model: shorter side to 8/7 of its image size, the centre, normalised.

    For CIFAR-10 models nothing is cut off: the whole picture is scaled to 32 x 32. A grey channel is normalised with
    the mean of the colours' numbers.

    Args:
        variant: None for the paper's; for the public weights' variant, the transform of their evaluation.

    Raises:
        ValueError: for an unknown model or variant.
    """
    entry = model_entry(name)
    variant = entry.variant_called(variant)
    crop = entry.input_size
    if crop == CIFAR_SIZE:
        statistics = CIFAR10_LAYOUT.mean, CIFAR10_LAYOUT.std
        return ImageClassification(crop, (crop, crop), *_for_channels(statistics, in_channels))
    resize, interpolation = round(crop * 256 / 224), "bilinear"
    statistics = IMAGENET_MEAN, IMAGENET_STD
    if variant == entry.public_variant:
        resize, crop, interpolation = PUBLISHED.get(name, (resize, crop, interpolation))
        if name == "googlenet":
            statistics = SYMMETRIC
    return ImageClassification(crop, resize, *_for_channels(statistics, in_channels), interpolation)


def _for_channels(statistics: Statistics, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if channels == 3:
        return statistics
    mean, deviation = (sum(values) / 3 for values in statistics)
    return (mean,) * channels, (deviation,) * channels
