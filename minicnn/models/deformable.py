"""Deformable ResNet: let the last stage choose where it samples.

Paper    Dai, Qi, Xiong, Li, Zhang, Hu, Wei, "Deformable Convolutional Networks", arXiv:1703.06211 (ICCV 2017).
         Version 2: Zhu, Hu, Lin, Dai, "Deformable ConvNets v2", arXiv:1811.11168 (CVPR 2019).
Lecture  L2.3.4.

Idea. A 3x3 convolution samples the same rigid grid in every image. Here an ordinary convolution of the same input
first predicts nine offsets (dy, dx) per output pixel, and the kernel samples there, between pixels by bilinear
interpolation (section 2.1). Offsets start at zero, so training starts from an ordinary ResNet; the gradient reaches
them through the interpolation.

Choices, and where they deviate from the paper
  * As in the paper, the 3x3 convolutions of conv5_x (``layer4``) are deformable: one in each bottleneck, three in all
    for ResNet-50. In ResNet-18, which the paper does not use, both convolutions of each basic block.
  * The paper's tasks are detection and segmentation, where conv5_x keeps stride 16 and dilates; here the network
    classifies, with ResNet's own strides.
  * ``modulated=True`` adds version 2's mask, a sigmoid that starts at 1/2.
  * The keys are ResNet's plus ``layer4.*.conv*.offsets.*``: a ResNet's weights load with ``strict=False``.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..tensors import Tensor
from .registry import Paper, register
from .resnet import CONFIGS, VARIANTS, ResNet

PAPER = Paper(
    title="Deformable Convolutional Networks",
    authors="Dai, Qi, Xiong, Li, Zhang, Hu, Wei",
    year=2017,
    url="https://arxiv.org/abs/1703.06211",
    lecture="L2.3.4",
)
DEFORMABLE_STAGE = "layer4"


class OffsetConv2d(nn.DeformConv2d):
    """A deformable convolution that predicts its own offsets (and mask): (N, C, H, W) -> (N, K, H', W').

    ``offsets`` is an ordinary convolution with the same window, zero at the start, with two channels (dy, dx) per tap
    and, if ``modulated``, one more for the logit of the mask.
    """

    def __init__(self, *args: Any, modulated: bool = False, **options: Any) -> None:
        """A ``DeformConv2d`` with a second convolution that predicts where to sample.

        Args:
            args, options: those of ``nn.DeformConv2d``; after ``super().__init__`` the layer has ``in_channels``,
                ``kernel_size``, ``stride``, ``padding`` and ``dilation``.
            modulated: version 2: predict a mask too.

        The layer then also has ``modulated``; ``taps``, the number of taps kH * kW; and ``offsets``, an ``nn.Conv2d``
        with a bias. It reads all input channels, has the kernel, stride, padding and dilation of the layer, and
        2 * taps output channels, 3 * taps if modulated. All its parameters are 0.
        """
        super().__init__(*args, **options)
        self.modulated = modulated
        self.taps = self.kernel_size[0] * self.kernel_size[1]
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        self.offsets = nn.Conv2d(self.in_channels, (3 if modulated else 2) * self.taps, *window)
        for parameter in self.offsets.parameters():
            nn.init.zeros_(parameter)

    @classmethod
    def replacing(cls, conv: nn.Conv2d, modulated: bool = False) -> OffsetConv2d:
        """The deformable convolution that replaces ``conv``, with its weights and geometry."""
        out = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            conv.bias is not None,
            modulated=modulated,
        )
        out.weight, out.bias = conv.weight, conv.bias
        return out

    def where(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Where to sample in ``x``, and how much each sample counts, as ``offsets`` predicts it.

        Args:
            x: (N, C, H, W).

        Returns:
            the offsets (N, 2 * taps, H', W'), which are the first 2 * taps channels that ``self.offsets`` predicts; and
            the mask (N, taps, H', W'), the sigmoid of the other channels, or ``None`` unless ``modulated``.
        """
        predicted = self.offsets(x)
        if not self.modulated:
            return predicted, None
        return predicted[:, : 2 * self.taps], nn.functional.sigmoid(predicted[:, 2 * self.taps :])

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The deformable convolution of ``x`` with the offsets and the mask that ``where`` predicts from it.

        ``nn.DeformConv2d.forward(input, offset, mask)`` is the convolution. Gradients reach ``x`` on two ways: through
        the sampled values and through the sampling points.

        Args:
            x: (N, C, H, W).

        Returns:
            (N, K, H', W').
        """
        return super().forward(x, *self.where(x))


class DeformableResNet(ResNet):
    """``ResNet`` with every 3x3 convolution of its last stage deformable. Arguments as of ``ResNet``.

    Args:
        modulated: version 2, with a mask.
    """

    def __init__(self, *args: Any, modulated: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        for block in getattr(self, DEFORMABLE_STAGE):
            for name, child in list(block.named_children()):
                if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3):
                    setattr(block, name, OffsetConv2d.replacing(child, modulated))

    def parameter_groups(self, lr: float, offset_lr_multiplier: float = 1.0) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser, in which the offsets learn at ``offset_lr_multiplier`` times the rate.

        This is the paper's beta (section 2.1 trains with 1; version 2 with 0.1 where training is unstable).
        """
        named = list(self.named_parameters())
        offsets = [p for name, p in named if ".offsets." in name]
        others = [p for name, p in named if ".offsets." not in name]
        return [{"params": others, "lr": lr}, {"params": offsets, "lr": lr * offset_lr_multiplier}]


def _build(name: str, num_classes: int, options: dict[str, Any]) -> DeformableResNet:
    block, layers, *_ = CONFIGS[name]
    return DeformableResNet(block, layers, num_classes, **options)


@register(PAPER, variants=VARIANTS)
def deformable_resnet18(num_classes: int = 1000, **options: Any) -> DeformableResNet:
    """ResNet-18 whose last stage samples where predicted offsets point."""
    return _build("resnet18", num_classes, options)


@register(PAPER, variants=VARIANTS)
def deformable_resnet50(num_classes: int = 1000, **options: Any) -> DeformableResNet:
    """ResNet-50 whose last stage samples where predicted offsets point."""
    return _build("resnet50", num_classes, options)
