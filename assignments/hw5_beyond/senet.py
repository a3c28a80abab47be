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

from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.tensors import Tensor
from minicnn.models.resnet import BasicBlock, Bottleneck, residual_add

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.senet import REDUCTION, _reduced


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
        raise NotImplementedError("hw5.4 SqueezeExcitation.gates: not written yet, see assignments/hw5_beyond/README.md")

    def forward(self, x: Tensor) -> Tensor:
        """Every channel of every image times its gate (equation 4)."""
        raise NotImplementedError("hw5.4 SqueezeExcitation.forward: not written yet, see assignments/hw5_beyond/README.md")


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
        raise NotImplementedError("hw5.5 SEBasicBlock.forward: not written yet, see assignments/hw5_beyond/README.md")


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
        raise NotImplementedError("hw5.5 SEBottleneck.forward: not written yet, see assignments/hw5_beyond/README.md")
