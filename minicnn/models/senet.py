"""SENet: let a network weight its channels, for each image separately.

Paper    Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507 (CVPR 2018).
Lecture  L2.3.2.

Idea. A convolution mixes channels by weights that are the same for every image. An SE block uses the whole image:
*squeeze* each channel to its mean (equation 2), compute from all means, by two small fully connected layers, how much
each channel matters in this image, the *excitation* (equation 3), and scale the channels by it (equation 4). It can
follow any transformation; in a residual block it comes before the addition (Figure 3).

Choices, and where they deviate from the paper
  * ``variant="paper"``: reduction by 16 exactly, stride in a bottleneck's first 1x1 convolution, as in the ResNet that
    the paper extends. ``variant="torchvision"`` is the network that public weights fit (torchvision has no SENet; these
    are timm's): the reduced width is a multiple of 8, so at least 8, and the stride is in the 3x3.
  * The two fully connected layers are 1x1 convolutions on a 1x1 map, the same thing, with the public weights' shapes.
  * SE-ResNet-18 and -34 are not in the paper: the SE block has the same place in their basic blocks as in a bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn
from ..tensors import Tensor
from .backbone import features
from .registry import Paper, Score, register
from .resnet import VARIANTS, BasicBlock, Bottleneck, ResNet, residual_add

PAPER = Paper(
    title="Squeeze-and-Excitation Networks",
    authors="Hu, Shen, Albanie, Sun, Wu",
    year=2017,
    url="https://arxiv.org/abs/1709.01507",
    lecture="L2.3.2",
)
REDUCTION = 16

# fmt: off
# Validation error in per cent.
ERRORS: dict[str, Score] = {
    #              top-1  top-5
    "seresnet50":  (23.29, 6.62, "Table 2: validation, one crop"),
    "seresnet101": (22.38, 6.07, "Table 2: validation, one crop"),
    "seresnet152": (21.57, 5.73, "Table 2: validation, one crop"),
}
# fmt: on


class SqueezeExcitation(nn.Module):
    """Scale the C = ``channels`` channels of each image by gates in (0, 1), computed from its own channel means.

    (N, C, H, W) -> (N, C, H, W). ``reduced`` is the width between the two layers, C / 16 by default, and
    ``activation`` the function between them.
    """

    def __init__(
        self,
        channels: int,
        reduced: int | None = None,
        activation: Callable[[Tensor], Tensor] = nn.functional.relu,
    ) -> None:
        super().__init__()
        reduced = max(1, channels // REDUCTION) if reduced is None else reduced
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)
        self.activation = activation

    def gates(self, x: Tensor) -> Tensor:
        """How much each channel of each image matters: (N, C, H, W) -> (N, C, 1, 1), numbers in (0, 1).

        Equations 2 and 3, for numbers of any size. The delta of equation 3 is ``activation``.
        """
        z = nn.functional.adaptive_avg_pool2d(x, 1)  # squeeze: (N, C, H, W) -> (N, C, 1, 1)
        z = self.activation(self.fc1(z))  # (N, reduced, 1, 1)
        return nn.functional.sigmoid(self.fc2(z))  # excitation: (N, C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Every channel of every image times its gate (equation 4)."""
        return x * self.gates(x)  # (N, C, H, W) * (N, C, 1, 1)


def _reduced(channels: int, variant: str) -> int:
    """The width inside an SE block: C / 16; public weights have the nearest multiple of 8, at least 8."""
    if variant == "paper":
        return channels // REDUCTION
    return max(8, int(channels / REDUCTION + 4) // 8 * 8)


class SEBasicBlock(BasicBlock):
    """``BasicBlock`` with an SE block, ``se``, as the last layer of its branch, before the addition."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
        variant: str = "paper",
    ) -> None:
        super().__init__(inplanes, planes, stride, None, groups, base_width, dilation, norm_layer, variant)
        channels = planes * self.expansion
        self.se = SqueezeExcitation(channels, _reduced(channels, variant))
        self.downsample = downsample  # after ``se``, where the public weights have it

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)  # (N, C, H, W) -> (N, K, H/s, W/s)

        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, K, H/s, W/s)
        out = self.bn2(self.conv2(out))  # (N, K, H/s, W/s)
        out = self.se(out)

        out = residual_add(out, identity)  # H(x) = F(x) + x
        return self.relu(out)


class SEBottleneck(Bottleneck):
    """``Bottleneck`` with an SE block, ``se``, as the last layer of its branch, before the addition."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
        variant: str = "paper",
    ) -> None:
        super().__init__(inplanes, planes, stride, None, groups, base_width, dilation, norm_layer, variant)
        channels = planes * self.expansion
        self.se = SqueezeExcitation(channels, _reduced(channels, variant))
        self.downsample = downsample  # after ``se``, where the public weights have it

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)  # (N, C, H, W) -> (N, 4K, H/s, W/s)

        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, K, H/s, W/s); torchvision (N, K, H, W)
        out = self.relu(self.bn2(self.conv2(out)))  # (N, K, H/s, W/s)
        out = self.bn3(self.conv3(out))  # (N, K, H/s, W/s) -> (N, 4K, H/s, W/s)
        out = self.se(out)

        out = residual_add(out, identity)  # H(x) = F(x) + x
        return self.relu(out)


# fmt: off
CONFIGS: dict[str, tuple[type[SEBasicBlock] | type[SEBottleneck], tuple[int, int, int, int], int]] = {
    #              block         per stage       parameters (public weights' variant)
    "seresnet18":  (SEBasicBlock, (2, 2, 2, 2),  11_779_624),
    "seresnet34":  (SEBasicBlock, (3, 4, 6, 3),  21_960_416),
    "seresnet50":  (SEBottleneck, (3, 4, 6, 3),  28_088_024),
    "seresnet101": (SEBottleneck, (3, 4, 23, 3), 49_326_872),
    "seresnet152": (SEBottleneck, (3, 8, 36, 3), 66_821_848),
}
# fmt: on


def insert_se(
    model: nn.Module,
    names: Sequence[str],
    reduction: int = REDUCTION,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> nn.Module:
    """Put an SE block after each of the modules ``names`` of any network, in place: SE-VGG, SE-Inception (Figure 2).

    A wrapped module's parameters are then under ``<name>.0``, its SE block's under ``<name>.1``.

    Raises:
        ValueError: for a module that the model does not have, or whose output is not a feature map.
    """
    channels = features(model, names, input_shape).channels
    for name in names:
        parent_name, _, child_name = name.rpartition(".")
        child = model.get_submodule(name)
        se = SqueezeExcitation(channels[name], max(1, channels[name] // reduction))
        model.get_submodule(parent_name).add_module(child_name, nn.Sequential(child, se))
    return model


def _build(name: str, num_classes: int, options: dict[str, Any]) -> ResNet:
    block, layers, _ = CONFIGS[name]
    return ResNet(block, layers, num_classes, **options)


@register(PAPER, ERRORS, variants=VARIANTS)
def seresnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """SE-ResNet-18: basic blocks with channel attention."""
    return _build("seresnet18", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def seresnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """SE-ResNet-34: basic blocks with channel attention."""
    return _build("seresnet34", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def seresnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """SE-ResNet-50: bottlenecks with channel attention."""
    return _build("seresnet50", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def seresnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """SE-ResNet-101: bottlenecks with channel attention."""
    return _build("seresnet101", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def seresnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """SE-ResNet-152: bottlenecks with channel attention."""
    return _build("seresnet152", num_classes, options)
