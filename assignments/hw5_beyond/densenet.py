"""DenseNet: every layer of a block reads the outputs of all layers before it.

Paper    Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", arXiv:1608.06993
         (CVPR 2017).
Lecture  L2.3.1.

Idea. ResNet adds a layer's output to its input, so the two mix. DenseNet concatenates them along the channel axis:
x_l = H_l([x_0, x_1, ..., x_(l-1)]) (equation 2). A layer therefore adds only its own k feature maps (the growth rate)
to a collection that all later layers can read, and the gradient reaches every layer on a short way. Bottlenecks
(1x1 convolutions to 4k channels) and transitions that halve the channels keep it small: DenseNet-BC.

Choices, and where they deviate from the paper
  * Only DenseNet-BC with theta = 0.5 is here, and no dropout by default, as on ImageNet.
  * The first convolution has 2k filters, 64 for k = 32 and 96 for k = 48; its padding, which the paper does not give,
  is 3.
  * He initialisation (fan of the input) as section 4.2 asks; biases are zero.
  * Concatenations are plain: memory grows with the square of a block's depth. ``memory_efficient=True`` computes them
    again in backward instead of keeping them [Pleiss et al. 2017, arXiv:1707.06990].
  * The paper and torchvision have the same network: there are no variants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.ops import cat
from minicnn.tensors import Tensor
from minicnn.utils.checkpoint import checkpoint

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.densenet import BOTTLENECK, COMPRESSION


class DenseLayer(nn.Module):
    """H: norm, ReLU, 1x1 convolution to 4k channels, norm, ReLU, 3x3 convolution to k = ``growth_rate`` channels.

    The layers are ``norm1``, ``relu1``, ``conv1``, ``norm2``, ``relu2`` and ``conv2``. The convolutions have no bias,
    since a norm follows; the 3x3 one keeps the size. ``in_channels`` is the total of all earlier outputs.
    ``drop_rate`` and ``memory_efficient`` are kept under these names.
    """

    def __init__(
        self, in_channels: int, growth_rate: int, drop_rate: float = 0.0, memory_efficient: bool = False
    ) -> None:
        # super().__init__() first, then the six layers, each under its name, and the two options.
        raise NotImplementedError("hw5.1 DenseLayer.__init__: not written yet, see assignments/hw5_beyond/README.md")

    def squeeze(self, *earlier: Tensor) -> Tensor:
        """The part up to ``conv1``, on x_0, ..., x_(l-1) joined along the channels: it costs most memory.

        Args:
            earlier: the block's input and the outputs of all layers before, in their order, each (N, channels, H, W).

        Returns:
            (N, 4k, H, W).
        """
        raise NotImplementedError("hw5.1 DenseLayer.squeeze: not written yet, see assignments/hw5_beyond/README.md")

    def grow(self, x: Tensor) -> Tensor:
        """The rest, from ``norm2`` on: (N, 4k, H, W) -> (N, k, H, W).

        At the end, in training, each value is dropped with probability ``drop_rate``.
        """
        raise NotImplementedError("hw5.1 DenseLayer.grow: not written yet, see assignments/hw5_beyond/README.md")

    def forward(self, earlier: list[Tensor]) -> Tensor:
        if self.memory_efficient and any(x.requires_grad for x in earlier):
            return self.grow(checkpoint(self.squeeze, *earlier, use_reentrant=False))
        return self.grow(self.squeeze(*earlier))


class DenseBlock(nn.ModuleDict):
    """``layers`` dense layers, 0 or more: (N, C, H, W) -> (N, C + layers * k, H, W).

    They are called ``denselayer1``, ``denselayer2``, ... Each gets the list of the block's input and the outputs of all
    layers before it; the block's output is all of these joined along the channels, its input first.
    """

    def __init__(
        self, layers: int, in_channels: int, growth_rate: int, drop_rate: float, memory_efficient: bool
    ) -> None:
        # super().__init__() first. The block is a ModuleDict: self["name"] = module adds a layer.
        # How many channels does layer l read?
        raise NotImplementedError("hw5.2 DenseBlock.__init__: not written yet, see assignments/hw5_beyond/README.md")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("hw5.2 DenseBlock.forward: not written yet, see assignments/hw5_beyond/README.md")


class Transition(nn.Sequential):
    """Between two blocks: fewer channels by a 1x1 convolution, half the size by average pooling.

    (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2), through ``norm``, ``relu``, ``conv`` (without bias) and
    ``pool``, in this order.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        # A Sequential runs its modules in the order in which they are set as attributes.
        raise NotImplementedError("hw5.3 Transition.__init__: not written yet, see assignments/hw5_beyond/README.md")


def compressed(channels: int) -> int:
    """How many of ``channels`` a transition keeps: theta times as many, rounded down (section 3)."""
    raise NotImplementedError("hw5.3 compressed: not written yet, see assignments/hw5_beyond/README.md")
