"""EfficientNet: one small network, and a rule that enlarges it in depth, width and resolution together.

Paper    Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv:1905.11946
         (ICML 2019). Its block: Sandler et al., "MobileNetV2", arXiv:1801.04381.
Lecture  L2.3.3.

Idea. Depth, width and resolution each help, but each alone soon stops helping. Compound scaling raises them together:
depth 1.2^phi, width 1.1^phi, resolution 1.15^phi, with 1.2 * 1.1^2 * 1.15^2 close to 2, so that each step of phi
doubles the multiply-adds (equation 3). B0 comes from a search; B1 to B7 come from B0 by the rule.

Choices, and where they deviate from the paper
  * The factors of B1 to B7 are the published ones (``SCALING``): rounded powers, phi = 0.5 for B1.
  * ``variant="paper"``: batch norm with epsilon 1e-3 and momentum 0.99 (0.01 in PyTorch's convention) everywhere, as in
    section 5.2 and the authors' code. ``variant="torchvision"``: the same from B5 on, PyTorch's defaults up to B4.
  * Strided convolutions pad equally on both sides, as public weights in PyTorch need; the authors' code pads only below
    and to the right.
  * Stochastic depth drops block i of n with probability 0.2 i / n (section 5.2: survival probability 0.8).
  * He initialisation (fan of the output), classifier uniform within 1 / sqrt(classes): torchvision's.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from minicnn import nn
from minicnn.ops import stochastic_depth
from minicnn.tensors import Tensor
from minicnn.models.senet import SqueezeExcitation

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.efficientnet import ALPHA_DEPTH, BETA_WIDTH, GAMMA_RESOLUTION, TABLE_1, ConvNorm


def compound_scaling(phi: float) -> tuple[float, float, float]:
    """Depth, width and resolution factors for ``2 ** phi`` times the multiply-adds (equation 3), in this order.

    ``phi`` may be a fraction, and negative for a smaller network.
    """
    raise NotImplementedError("hw5.6 compound_scaling: not written yet, see assignments/hw5_beyond/README.md")


def scale_channels(channels: int, width: float) -> int:
    """``channels * width``, rounded to the nearest multiple of 8 (of two, the larger), and at least 8.

    If the result is below 90 % of ``channels * width``, the next multiple of 8 is taken.
    """
    raise NotImplementedError("hw5.6 scale_channels: not written yet, see assignments/hw5_beyond/README.md")


def scale_blocks(blocks: int, depth: float) -> int:
    """``blocks * depth``, rounded up; ``depth`` may be below 1."""
    raise NotImplementedError("hw5.6 scale_blocks: not written yet, see assignments/hw5_beyond/README.md")


def scaled_stages(width: float, depth: float) -> list[tuple[int, int]]:
    """Channels and blocks of each stage of ``TABLE_1``, scaled by ``width`` and ``depth``."""
    raise NotImplementedError("hw5.6 scaled_stages: not written yet, see assignments/hw5_beyond/README.md")


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 widens, depthwise kxk filters each channel, SE weights them, 1x1 narrows.

    (N, C, H, W) -> (N, K, H/s, W/s). If the shape stays the same, the input is added, and in training the branch is
    left out for some images (stochastic depth).

    ``block`` is a Sequential of these, every ``ConvNorm`` with ``norm_layer``:

    * a 1x1 ``ConvNorm`` to ``wide = scale_channels(in_channels, expansion)`` channels, unless ``wide`` is
      ``in_channels``;
    * a depthwise ``ConvNorm``: ``wide`` channels in as many groups, ``kernel`` and ``stride``;
    * a ``SqueezeExcitation`` of the ``wide`` channels, reduced to a quarter of ``in_channels``, rounded down but at
      least 1, with SiLU as its activation;
    * a 1x1 ``ConvNorm`` to ``out_channels``, without activation: the narrow ends are linear.

    ``has_shortcut`` says whether the input is added (stride 1 and out_channels = in_channels); ``drop_probability`` is
    kept under its name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expansion: int,
        drop_probability: float,
        norm_layer: Any,
    ) -> None:
        # super().__init__() first, then self.block, self.has_shortcut and self.drop_probability.
        raise NotImplementedError("hw5.7 MBConv.__init__: not written yet, see assignments/hw5_beyond/README.md")

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input if ``has_shortcut``.

        In training a branch with a shortcut is left out with probability p = ``drop_probability``, independently for
        each image; where it stays it is scaled by 1 / (1 - p).
        """
        raise NotImplementedError("hw5.8 MBConv.forward: not written yet, see assignments/hw5_beyond/README.md")
