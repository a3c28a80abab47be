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

from minicnn import nn
from minicnn.nn import functional as F
from minicnn.tensors import Tensor
from minicnn.models.resnet import BasicBlock, PlainBlock, conv3x3


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
        # (N, C, H, W) -> (N, C, H/s, W/s) -> (N, K, H/s, W/s)
        raise NotImplementedError("hw4.4 ZeroPadShortcut.forward: not written yet, see assignments/hw4_resnet/README.md")

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"


def blocks_per_stage(depth: int) -> int:
    """The n of a network of ``depth`` = 6n + 2 layers: three stages of n blocks, and the first and the last layer.

    Raises:
        ValueError: if ``depth`` is not 6n + 2 with n >= 1.
    """
    raise NotImplementedError("hw4.8 blocks_per_stage: not written yet, see assignments/hw4_resnet/README.md")


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
        raise NotImplementedError("hw4.8 CifarResNet._make_layer: not written yet, see assignments/hw4_resnet/README.md")

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
