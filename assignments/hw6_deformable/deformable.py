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

from minicnn import nn
from minicnn.tensors import Tensor


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
        # First the deformable convolution itself: super().__init__.
        # Then modulated, taps and offsets.
        # At last zero the parameters of offsets: nn.init.zeros_.
        raise NotImplementedError("hw6.8 OffsetConv2d.__init__: not written yet, see assignments/hw6_deformable/README.md")

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
        raise NotImplementedError("hw6.8 OffsetConv2d.where: not written yet, see assignments/hw6_deformable/README.md")

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The deformable convolution of ``x`` with the offsets and the mask that ``where`` predicts from it.

        ``nn.DeformConv2d.forward(input, offset, mask)`` is the convolution. Gradients reach ``x`` on two ways: through
        the sampled values and through the sampling points.

        Args:
            x: (N, C, H, W).

        Returns:
            (N, K, H', W').
        """
        raise NotImplementedError("hw6.8 OffsetConv2d.forward: not written yet, see assignments/hw6_deformable/README.md")
