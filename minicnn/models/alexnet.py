"""AlexNet: five convolutions and three linear layers, the network that made the field turn to depth.

Paper    Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.
         The one-column network of public weights: Krizhevsky, "One weird trick for parallelizing convolutional
         neural networks", arXiv:1404.5997 (2014).
Lecture  L1.1 (8 layers), L2.2.1 (16.4 % top-5 error), L3.1 (few operations, heavy memory, low accuracy).

Idea. First come convolutions with few weights, then three linear layers with almost all the weights (96 %), which
decide. The following made so large a network trainable: ReLU, whose gradient does not fade where it is active (section
3.1); two GPUs with half of the filters each, which exchange maps only in the third convolution (3.2); a
normalisation over neighbouring channels (3.3); pooling windows that overlap (3.4); dropout (4.2).

Choices, and where they deviate from the paper
  * ``variant="paper"`` takes images of 227 x 227. The paper says 224, into which 11x11 windows with stride 4 fit
    54.25 times; its program rounded up, so that the 55th window reached over the edge by 3 pixels. 227 = 224 + 3
    gives the same 55 x 55 maps. (At 224 this variant computes 54 x 54 maps.)
  * The two GPUs are ``groups=2`` on one device: the same connections.
  * The paper's alpha of the normalisation is not divided by n: its 1e-4 is 5e-4 for ``LocalResponseNorm``.
  * The paper counts 253 440 neurons after the first convolution; 96 maps of 55 x 55 are 290 400. The numbers of all
    other layers agree.
  * The initial weights, N(0, 0.01^2), suit the paper's images: pixels of 0 to 255 minus their mean. On images
    normalised to a deviation of 1 the signal becomes small, and training begins with a plateau (on the digits about a
    hundred steps).
  * Dropout scales in training (by 2) instead of in evaluation (by 0.5).
  * An adaptive pooling reduces the maps to the 6 x 6 that the linear layers need. It does nothing at the paper's
    size, and allows any images from 67 x 67 on (torchvision's variant: 63 x 63).
  * ``variant="torchvision"`` is the one-column network of 2014 as torchvision builds it: no groups, no
    normalisation, 64-192-384-256-256 filters, 224 x 224 images padded by 2, dropout before the linear layers
    instead of after them, PyTorch's default initialisation.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..tensors import Tensor
from .input_size import require_size
from .registry import Paper, Score, register

PAPER = Paper(
    title="ImageNet Classification with Deep Convolutional Neural Networks",
    authors="Krizhevsky, Sutskever, Hinton",
    year=2012,
    url="https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
    lecture="L1.1",
)
VARIANTS = ("paper", "torchvision")

# fmt: off
# Figure 2 and section 3.5: the kernels of each layer, and its output for images of INPUT_SIZE.
LAYERS = {
    "paper": (
        # here           kernels            output
        ("features.0",   (96, 3, 11, 11),   (96, 55, 55)),
        ("features.4",   (256, 48, 5, 5),   (256, 27, 27)),
        ("features.8",   (384, 256, 3, 3),  (384, 13, 13)),
        ("features.10",  (384, 192, 3, 3),  (384, 13, 13)),
        ("features.12",  (256, 192, 3, 3),  (256, 13, 13)),
        ("classifier.0", (4096, 9216),      (4096,)),
        ("classifier.3", (4096, 4096),      (4096,)),
        ("classifier.6", (1000, 4096),      (1000,)),
    ),
    "torchvision": (
        ("features.0",   (64, 3, 11, 11),   (64, 55, 55)),
        ("features.3",   (192, 64, 5, 5),   (192, 27, 27)),
        ("features.6",   (384, 192, 3, 3),  (384, 13, 13)),
        ("features.8",   (256, 384, 3, 3),  (256, 13, 13)),
        ("features.10",  (256, 256, 3, 3),  (256, 13, 13)),
        ("classifier.1", (4096, 9216),      (4096,)),
        ("classifier.4", (4096, 4096),      (4096,)),
        ("classifier.6", (1000, 4096),      (1000,)),
    ),
}

# Section 3.5: the neurons, that is output values, of the eight layers.
NEURONS = (253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000)

# The sides of square images; multiply-adds: one per weight and output pixel, at INPUT_SIZE.
INPUT_SIZE     = {"paper": 227,         "torchvision": 224}
SMALLEST_INPUT = {"paper": 67,          "torchvision": 63}
PARAMETERS     = {"paper": 60_965_224,  "torchvision": 61_100_840}
MULTIPLY_ADDS  = {"paper": 724_406_816, "torchvision": 714_188_480}
# fmt: on

HIDDEN = 4096  # neurons of each of the first two linear layers

# Section 5: weights are normal with this deviation, the biases of the eight layers constant. A bias of 1 keeps the
# ReLU of a fresh layer active.
WEIGHT_STD = 0.01
BIASES = (0, 1, 0, 1, 1, 1, 1, 0)

ERRORS: dict[str, Score] = {"alexnet": (40.7, 18.2, "Table 2: ILSVRC-2012 validation, 1 CNN, 10 crops")}


def _response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def _paper_features(in_channels: int) -> nn.Sequential:
    """The five convolutions of 2012; shapes for 227 x 227."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # (N, 3, 227, 227) -> (N, 96, 55, 55)
        nn.ReLU(inplace=True),
        _response_norm(),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 96, 27, 27)
        nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # (N, 256, 27, 27)
        nn.ReLU(inplace=True),
        _response_norm(),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 13, 13)
        nn.Conv2d(256, 384, kernel_size=3, padding=1),  # (N, 384, 13, 13), sees the maps of both GPUs
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # (N, 384, 13, 13)
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # (N, 256, 13, 13)
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 6, 6)
    )


def _torchvision_features(in_channels: int) -> nn.Sequential:
    """The five convolutions of public weights; shapes for 224 x 224."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),  # (N, 3, 224, 224) -> (N, 64, 55, 55)
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 64, 27, 27)
        nn.Conv2d(64, 192, kernel_size=5, padding=2),  # (N, 192, 27, 27)
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 192, 13, 13)
        nn.Conv2d(192, 384, kernel_size=3, padding=1),  # (N, 384, 13, 13)
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),  # (N, 256, 13, 13)
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),  # (N, 256, 13, 13)
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 6, 6)
    )


def _paper_classifier(num_classes: int, dropout: float) -> nn.Sequential:
    """The three linear layers of 2012, with dropout on the outputs of the first two."""
    return nn.Sequential(
        nn.Linear(256 * 6 * 6, HIDDEN),  # (N, 9216) -> (N, 4096)
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(HIDDEN, HIDDEN),  # (N, 4096)
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(HIDDEN, num_classes),  # (N, num_classes)
    )


def _torchvision_classifier(num_classes: int, dropout: float) -> nn.Sequential:
    """The three linear layers of public weights, with dropout on the inputs of the first two."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(256 * 6 * 6, HIDDEN),  # (N, 9216) -> (N, 4096)
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(HIDDEN, HIDDEN),  # (N, 4096)
        nn.ReLU(inplace=True),
        nn.Linear(HIDDEN, num_classes),  # (N, num_classes)
    )


PARTS = {
    "paper": (_paper_features, _paper_classifier),
    "torchvision": (_torchvision_features, _torchvision_classifier),
}


class AlexNet(nn.Module):
    """Convolutions, pooling to 6 x 6, linear layers: (N, in_channels, H, W) -> (N, num_classes).

    Args:
        dropout: the probability that a value is dropped.
        variant: ``"paper"`` or ``"torchvision"``, see the top of this file.

    Raises ValueError for an unknown variant, ShapeError for images below ``SMALLEST_INPUT``.
    """

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3, variant: str = "paper"
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant (={variant!r}) must be one of {', '.join(map(repr, VARIANTS))}")
        features, classifier = PARTS[variant]
        self.variant = variant
        self.features = features(in_channels)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = classifier(num_classes, dropout)

        if variant == "paper":
            layers = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
            for layer, value in zip(layers, BIASES, strict=True):
                weight, bias = layer.parameters()
                nn.init.normal_(weight, std=WEIGHT_STD)
                nn.init.constant_(bias, value)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, SMALLEST_INPUT[self.variant])
        x = self.features(x)  # (N, 3, 227, 227) -> (N, 256, 6, 6)
        x = self.avgpool(x)  # (N, 256, 6, 6)
        x = x.flatten(1)  # (N, 9216)
        return self.classifier(x)  # (N, num_classes)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=INPUT_SIZE["paper"])
def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    """AlexNet: five convolutions, three linear layers."""
    return AlexNet(num_classes, **options)
