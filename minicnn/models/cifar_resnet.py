"""ResNet for small images: 6n + 2 layers, shortcuts without parameters.

Paper    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2.
Lecture  L2.2.2 (plain-56 trains worse than plain-20), L2.2.6 (option A).

Idea. The blocks of ``resnet.py`` on 32 x 32 images, to study depth alone: one 3x3 convolution, three stages
of n blocks with 16, 32 and 64 filters, average pool, one linear layer. Every shortcut is option A, identity
with zeros for the channels that a block adds: a residual network has the same parameters as its plain twin.

Choices, and where they deviate from the paper
  * Option A takes every second pixel and puts the zero channels after the others. The paper gives the stride
    and the zeros, but not which pixels are taken and where the zeros are put.
  * He initialisation takes the fan of the output, as in ``resnet.py``.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F
from ..tensors import Tensor
from .registry import Score, register
from .resnet import PAPER, BasicBlock, PlainBlock, conv3x3

# fmt: off
# The table of section 4.2, for a 32 x 32 image.
TABLE = (
    # here    output  layers  filters
    ("relu",      32, "1",        16),
    ("layer1",    32, "2n",       16),
    ("layer2",    16, "2n",       32),
    ("layer3",     8, "2n",       64),
)

# Table 6: the residual networks on CIFAR-10.
TABLE_6 = {
    # layers  parameters/1e6  error/%
    20:       (0.27,          8.75),
    32:       (0.46,          7.51),
    44:       (0.66,          7.17),
    56:       (0.85,          6.97),
    110:      (1.7,           6.43),
}
# fmt: on
ERRORS: dict[str, Score] = {
    f"resnet{layers}": (error, None, "Table 6: CIFAR-10 test set") for layers, (_, error) in TABLE_6.items()
}


class ZeroPadShortcut(nn.Module):
    """Option A, without parameters: every s-th pixel, and zeros for the new channels.

    (N, in_planes, H, W) -> (N, out_planes, H/s, W/s), rounded up. The pixels are those of rows and columns
    0, s, 2s ...; the new channels, all zero, follow the old ones.
    """

    def __init__(self, in_planes: int, out_planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_planes - in_planes

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]  # (N, C, H, W) -> (N, C, H/s, W/s)
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))  # (N, C, H/s, W/s) -> (N, K, H/s, W/s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"


def blocks_per_stage(depth: int) -> int:
    """The n of a network of ``depth`` = 6n + 2 layers: three stages of n blocks, and the first and the last layer.

    Raises:
        ValueError: if ``depth`` is not 6n + 2 with n >= 1.
    """
    n, remainder = divmod(depth - 2, 6)
    if n < 1 or remainder:
        raise ValueError(f"depth (={depth}) must be 6n + 2: 8, 14, 20, ...")
    return n


class CifarResNet(nn.Module):
    """6n + 2 layers: (N, in_channels, H, W) -> (N, num_classes), for any size; 32 x 32 in the paper.

    ``block`` is ``BasicBlock`` or ``PlainBlock``. Raises ValueError if ``depth`` is not 6n + 2.
    """

    def __init__(self, block: type[BasicBlock], depth: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        n = blocks_per_stage(depth)
        self.inplanes = 16
        self.conv1 = conv3x3(in_channels, self.inplanes)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._make_layer(block, 16, n)
        self.layer2 = self._make_layer(block, 32, n, stride=2)
        self.layer3 = self._make_layer(block, 64, n, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_layer(self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1) -> nn.Sequential:
        """One stage of ``blocks`` blocks. Only its first block changes the width and, by ``stride``, the size.

        The first block reads ``self.inplanes`` channels and, unless nothing changes or the block is a ``PlainBlock``,
        has a ``ZeroPadShortcut`` for ``downsample``. Afterwards ``self.inplanes`` is ``planes``.
        """
        downsample = None
        if (stride != 1 or self.inplanes != planes) and block is not PlainBlock:
            downsample = ZeroPadShortcut(self.inplanes, planes, stride)
        layers = [block(self.inplanes, planes, stride, downsample)]
        layers += [block(planes, planes) for _ in range(1, blocks)]
        self.inplanes = planes
        return nn.Sequential(*layers)

    def _forward_impl(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 3, 32, 32) -> (N, 16, 32, 32)

        x = self.layer1(x)  # (N, 16, 32, 32)
        x = self.layer2(x)  # (N, 32, 16, 16)
        x = self.layer3(x)  # (N, 64, 8, 8)

        x = self.avgpool(x)  # (N, 64, 1, 1)
        x = x.flatten(1)  # (N, 64)
        return self.fc(x)  # (N, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)


@register(PAPER, ERRORS, input_size=32)
def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-20 for small images, shortcuts without parameters."""
    return CifarResNet(BasicBlock, 20, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def resnet32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-32 for small images, shortcuts without parameters."""
    return CifarResNet(BasicBlock, 32, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def resnet44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-44 for small images, shortcuts without parameters."""
    return CifarResNet(BasicBlock, 44, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def resnet56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-56 for small images, shortcuts without parameters."""
    return CifarResNet(BasicBlock, 56, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def resnet110(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-110 for small images, shortcuts without parameters."""
    return CifarResNet(BasicBlock, 110, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def plain20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-20 without its shortcuts."""
    return CifarResNet(PlainBlock, 20, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def plain32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-32 without its shortcuts."""
    return CifarResNet(PlainBlock, 32, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def plain44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-44 without its shortcuts."""
    return CifarResNet(PlainBlock, 44, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def plain56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-56 without its shortcuts."""
    return CifarResNet(PlainBlock, 56, num_classes, **options)


@register(PAPER, ERRORS, input_size=32)
def plain110(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-110 without its shortcuts."""
    return CifarResNet(PlainBlock, 110, num_classes, **options)
