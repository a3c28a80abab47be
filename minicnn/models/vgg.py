"""VGG: nothing but 3x3 convolutions, sixteen of them deep.

Paper    Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556
         (ICLR 2015). With batch norm: Ioffe, Szegedy, arXiv:1502.03167, added by the authors of public weights.
Lecture  L1.1 (19 layers), L2.2.1 (7.3 % top-5 error), L2.2.5 (why one layer less destroys it), L3.1 (simple, the
         heaviest of all), L3.2 (as a backbone).

Idea. Two 3x3 convolutions see 5x5 pixels, three see 7x7, with 27 C^2 weights where one 7x7 convolution has 49 C^2,
and with three ReLUs instead of one (section 2.3). So use the smallest kernel that distinguishes left and right
everywhere, and use the savings for depth. Five stages; a max pooling after each halves the map, and the filters double.

Choices, and where they deviate from the paper
  * There is one variant: the paper's networks A, B, D and E are layer by layer those of public weights.
  * He initialisation with the fan of the output for the convolutions, N(0, 0.01^2) for the linear layers, biases
    zero, as for public weights. The paper draws network A from N(0, 0.1^2) ("10^-2 variance") and starts the deeper
    ones from the trained A; its authors say that this is not necessary with Glorot's initialisation (section 3.1).
  * ``vgg11_bn`` to ``vgg19_bn`` have a batch norm after each convolution. The paper has none. Their convolutions keep
    the bias, which the norm makes useless, because the public weights have it.
  * An adaptive pooling reduces the maps to the 7 x 7 that the linear layers need. It does nothing at 224 x 224, and
    allows any images from 32 x 32 on. (To test on larger images the paper slides the linear layers over the maps and
    averages the results.)
  * Networks A-LRN and C of Table 1, which the paper found no better, are not here.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..tensors import Tensor
from .input_size import require_size
from .registry import Paper, Score, register

PAPER = Paper(
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    authors="Simonyan, Zisserman",
    year=2014,
    url="https://arxiv.org/abs/1409.1556",
    lecture="L1.1",
)

Stages = tuple[tuple[int, ...], ...]

# fmt: off
# Table 1: the filters of every 3x3 convolution, by stage. At 224 x 224 a stage's maps have the side in SIDES.
SIDES =                 (224,      112,        56,                   28,                   14)
TABLE_1: dict[str, Stages] = {
    "A":                ((64,),    (128,),     (256, 256),           (512, 512),           (512, 512)),
    "B":                ((64, 64), (128, 128), (256, 256),           (512, 512),           (512, 512)),
    "D":                ((64, 64), (128, 128), (256, 256, 256),      (512, 512, 512),      (512, 512, 512)),
    "E":                ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512)),
}
HIDDEN = 4096  # neurons of each of the first two linear layers

# Table 2: parameters in millions.
TABLE_2 = {"A": 133, "B": 133, "D": 138, "E": 144}

# Multiply-adds: one per weight and output pixel, in all convolutions and linear layers.
CONFIGS: dict[str, tuple[str, bool, int, float]] = {
    #           network  norm   parameters    multiply-adds
    "vgg11":    ("A",    False, 132_863_336,   7.609e9),
    "vgg13":    ("B",    False, 133_047_848,  11.308e9),
    "vgg16":    ("D",    False, 138_357_544,  15.470e9),
    "vgg19":    ("E",    False, 143_667_240,  19.632e9),
    "vgg11_bn": ("A",    True,  132_868_840,   7.609e9),
    "vgg13_bn": ("B",    True,  133_053_736,  11.308e9),
    "vgg16_bn": ("D",    True,  138_365_992,  15.470e9),
    "vgg19_bn": ("E",    True,  143_678_248,  19.632e9),
}
SMALLEST_INPUT = 32

# Validation error in per cent.
ERRORS: dict[str, Score] = {
    #            top-1  top-5
    "vgg11":    (29.6,  10.4,  "Table 3: validation, one scale, dense evaluation"),
    "vgg13":    (28.7,   9.9,  "Table 3: validation, one scale, dense evaluation"),
    "vgg16":    (25.6,   8.1,  "Table 3: validation, one scale, dense evaluation"),
    "vgg19":    (25.5,   8.0,  "Table 3: validation, one scale, dense evaluation"),
    "vgg11_bn": (29.63, 10.19, "torchvision's weights: validation, 1 crop"),
    "vgg13_bn": (28.41,  9.63, "torchvision's weights: validation, 1 crop"),
    "vgg16_bn": (26.64,  8.48, "torchvision's weights: validation, 1 crop"),
    "vgg19_bn": (25.78,  8.16, "torchvision's weights: validation, 1 crop"),
}
# fmt: on


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, three linear layers: (N, in_channels, H, W) -> (N, num_classes).

    Args:
        stages: the filters of each convolution, by stage, e.g. ``TABLE_1["D"]``; the last stage has 512.
        batch_norm: put a batch norm after each convolution.
        dropout: the probability that a value after the first and the second linear layer is dropped.

    Raises ShapeError for images below ``SMALLEST_INPUT``.
    """

    def __init__(
        self,
        stages: Stages,
        batch_norm: bool = False,
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        with nn.init.skip():  # 100 million numbers are drawn once, below
            self.features = _features(stages, batch_norm, in_channels)
            self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, HIDDEN),  # (N, 25088) -> (N, 4096)
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(HIDDEN, HIDDEN),  # (N, 4096)
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(HIDDEN, num_classes),  # (N, num_classes)
            )

        for module in self.modules():  # biases are built as zero, a norm as the identity
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, SMALLEST_INPUT)
        x = self.features(x)  # (N, 3, 224, 224) -> (N, 512, 7, 7)
        x = self.avgpool(x)  # (N, 512, 7, 7)
        x = x.flatten(1)  # (N, 25088)
        return self.classifier(x)  # (N, num_classes)


def _features(stages: Stages, batch_norm: bool, in_channels: int) -> nn.Sequential:
    """The convolutions, with all layers between them, in one flat sequence as in public weights."""
    layers: list[nn.Module] = []
    for stage in stages:
        for filters in stage:
            layers.append(nn.Conv2d(in_channels, filters, kernel_size=3, padding=1))  # (N, C, H, W) -> (N, K, H, W)
            if batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU(inplace=True))
            in_channels = filters
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))  # (N, K, H, W) -> (N, K, H/2, W/2)
    return nn.Sequential(*layers)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> VGG:
    network, batch_norm, *_ = CONFIGS[name]
    return VGG(TABLE_1[network], batch_norm, num_classes, **options)


@register(PAPER, ERRORS)
def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-11, network A: eight 3x3 convolutions."""
    return _build("vgg11", num_classes, options)


@register(PAPER, ERRORS)
def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-13, network B: ten 3x3 convolutions."""
    return _build("vgg13", num_classes, options)


@register(PAPER, ERRORS)
def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-16, network D: thirteen 3x3 convolutions."""
    return _build("vgg16", num_classes, options)


@register(PAPER, ERRORS)
def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-19, network E: sixteen 3x3 convolutions."""
    return _build("vgg19", num_classes, options)


@register(PAPER, ERRORS)
def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-11 with batch norm."""
    return _build("vgg11_bn", num_classes, options)


@register(PAPER, ERRORS)
def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-13 with batch norm."""
    return _build("vgg13_bn", num_classes, options)


@register(PAPER, ERRORS)
def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-16 with batch norm."""
    return _build("vgg16_bn", num_classes, options)


@register(PAPER, ERRORS)
def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-19 with batch norm."""
    return _build("vgg19_bn", num_classes, options)
