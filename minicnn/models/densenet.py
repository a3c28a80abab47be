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

import re
from collections.abc import Mapping
from typing import Any

from .. import nn
from ..nn.state import IncompatibleKeys
from ..ops import cat
from ..tensors import Tensor
from ..utils.checkpoint import checkpoint
from .input_size import require_size
from .registry import Paper, Score, register

PAPER = Paper(
    title="Densely Connected Convolutional Networks",
    authors="Huang, Liu, van der Maaten, Weinberger",
    year=2016,
    url="https://arxiv.org/abs/1608.06993",
    lecture="L2.3.1",
)

# fmt: off
# Table 1: the side of each output for a 224 x 224 image.
TABLE_1 = (
    # paper                  here                    output
    ("convolution",          "features.relu0",         112),
    ("pooling",              "features.pool0",          56),
    ("dense block 1",        "features.denseblock1",    56),
    ("transition layer 1",   "features.transition1",    28),
    ("dense block 2",        "features.denseblock2",    28),
    ("transition layer 2",   "features.transition2",    14),
    ("dense block 3",        "features.denseblock3",    14),
    ("transition layer 3",   "features.transition3",     7),
    ("dense block 4",        "features.denseblock4",     7),
)

CONFIGS: dict[str, tuple[int, tuple[int, int, int, int], int]] = {
    #              growth  layers per block    parameters
    "densenet121": (32,    (6, 12, 24, 16),    7_978_856),
    "densenet169": (32,    (6, 12, 32, 32),   14_149_480),
    "densenet201": (32,    (6, 12, 48, 32),   20_013_928),
    "densenet161": (48,    (6, 12, 36, 24),   28_681_000),
}

# Validation error in per cent.
ERRORS: dict[str, Score] = {
    #              top-1  top-5
    "densenet121": (25.02, 7.71, "Table 3: validation, one crop"),
    "densenet169": (23.80, 6.85, "Table 3: validation, one crop"),
    "densenet201": (22.58, 6.34, "Table 3: validation, one crop"),
}
# fmt: on

BOTTLENECK = 4  # a 1x1 convolution leaves 4k channels to the 3x3 one
COMPRESSION = 0.5  # theta: the share of channels that a transition keeps

# The published files use older names of layers: their norm.1 is norm1 here and in torchvision.
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


class DenseLayer(nn.Module):
    """H: norm, ReLU, 1x1 convolution to 4k channels, norm, ReLU, 3x3 convolution to k = ``growth_rate`` channels.

    The layers are ``norm1``, ``relu1``, ``conv1``, ``norm2``, ``relu2`` and ``conv2``. The convolutions have no bias,
    since a norm follows; the 3x3 one keeps the size. ``in_channels`` is the total of all earlier outputs.
    ``drop_rate`` and ``memory_efficient`` are kept under these names.
    """

    def __init__(
        self, in_channels: int, growth_rate: int, drop_rate: float = 0.0, memory_efficient: bool = False
    ) -> None:
        super().__init__()
        narrow = BOTTLENECK * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, narrow, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(narrow)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(narrow, growth_rate, kernel_size=3, padding=1, bias=False)
        self.drop_rate = drop_rate
        self.memory_efficient = memory_efficient

    def squeeze(self, *earlier: Tensor) -> Tensor:
        """The part up to ``conv1``, on x_0, ..., x_(l-1) joined along the channels: it costs most memory.

        Args:
            earlier: the block's input and the outputs of all layers before, in their order, each (N, channels, H, W).

        Returns:
            (N, 4k, H, W).
        """
        x = cat(earlier, 1)  # (N, in_channels, H, W)
        return self.conv1(self.relu1(self.norm1(x)))  # (N, 4k, H, W)

    def grow(self, x: Tensor) -> Tensor:
        """The rest, from ``norm2`` on: (N, 4k, H, W) -> (N, k, H, W).

        At the end, in training, each value is dropped with probability ``drop_rate``.
        """
        x = self.conv2(self.relu2(self.norm2(x)))  # (N, 4k, H, W) -> (N, k, H, W)
        return nn.functional.dropout(x, self.drop_rate, self.training)

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
        super().__init__()
        for i in range(layers):
            channels = in_channels + i * growth_rate  # the input, and k from each layer before
            self[f"denselayer{i + 1}"] = DenseLayer(channels, growth_rate, drop_rate, memory_efficient)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer in self.values():
            outputs.append(layer(outputs))  # (N, k, H, W), from all before
        return cat(outputs, 1)  # (N, C + layers * k, H, W)


class Transition(nn.Sequential):
    """Between two blocks: fewer channels by a 1x1 convolution, half the size by average pooling.

    (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2), through ``norm``, ``relu``, ``conv`` (without bias) and
    ``pool``, in this order.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


def compressed(channels: int) -> int:
    """How many of ``channels`` a transition keeps: theta times as many, rounded down (section 3)."""
    return int(channels * COMPRESSION)


class DenseNet(nn.Module):
    """Stem, four dense blocks with transitions between them, average pool, linear layer.

    (N, in_channels, H, W) -> (N, num_classes).

    Args:
        growth_rate: k, the channels that each layer adds.
        block_config: layers in each of the blocks.
        drop_rate: dropout after each layer.
        memory_efficient: compute the concatenations again in backward instead of keeping them.

    Raises ShapeError for images below ``smallest_input``: 29 x 29 with four blocks.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: tuple[int, ...] = (6, 12, 24, 16),
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.smallest_input = 4 * 2 ** (len(block_config) - 1) - 3  # the stem rounds up, the transitions round down
        channels = 2 * growth_rate
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(channels))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        for i, layers in enumerate(block_config, 1):
            block = DenseBlock(layers, channels, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            channels += layers * growth_rate
            if i < len(block_config):
                kept = compressed(channels)
                self.features.add_module(f"transition{i}", Transition(channels, kept))
                channels = kept
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Like any module's, but accepts the keys of the published files too."""
        if isinstance(state_dict, Mapping):
            state_dict = {OLD_KEY.sub(r"\1\2", key): value for key, value in state_dict.items()}
        return super().load_state_dict(state_dict, strict)

    def forward(self, x: Tensor) -> Tensor:
        # Shapes for DenseNet-121 and 224 x 224.
        require_size(x, self.smallest_input)
        x = self.features(x)  # (N, 3, 224, 224) -> (N, 1024, 7, 7)
        x = nn.functional.relu(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))  # (N, 1024, 1, 1)
        x = x.flatten(1)  # (N, 1024)
        return self.classifier(x)  # (N, num_classes)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> DenseNet:
    growth_rate, block_config, _ = CONFIGS[name]
    return DenseNet(growth_rate, block_config, num_classes, **options)


@register(PAPER, ERRORS)
def densenet121(num_classes: int = 1000, **options: Any) -> DenseNet:
    """DenseNet-121: growth rate 32."""
    return _build("densenet121", num_classes, options)


@register(PAPER, ERRORS)
def densenet161(num_classes: int = 1000, **options: Any) -> DenseNet:
    """DenseNet-161: growth rate 48, the widest."""
    return _build("densenet161", num_classes, options)


@register(PAPER, ERRORS)
def densenet169(num_classes: int = 1000, **options: Any) -> DenseNet:
    """DenseNet-169: growth rate 32."""
    return _build("densenet169", num_classes, options)


@register(PAPER, ERRORS)
def densenet201(num_classes: int = 1000, **options: Any) -> DenseNet:
    """DenseNet-201: growth rate 32, the deepest."""
    return _build("densenet201", num_classes, options)
