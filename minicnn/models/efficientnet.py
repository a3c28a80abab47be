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

from functools import partial
from math import ceil, sqrt
from typing import Any

from .. import nn
from ..ops import stochastic_depth
from ..tensors import Tensor
from .registry import Paper, Score, register
from .senet import SqueezeExcitation

PAPER = Paper(
    title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    authors="Tan, Le",
    year=2019,
    url="https://arxiv.org/abs/1905.11946",
    lecture="L2.3.3",
)
VARIANTS = ("paper", "torchvision")

# Section 3.3: the bases of compound scaling.
ALPHA_DEPTH, BETA_WIDTH, GAMMA_RESOLUTION = 1.2, 1.1, 1.15

# fmt: off
# Table 1: EfficientNet-B0. Before the stages a 3x3 convolution with 32 filters, stride 2; after them a 1x1 with 1280.
TABLE_1 = (
    # expansion  kernel  stride  channels  blocks   side of the stage's output for 224 x 224
    (1,          3,      1,      16,       1,       112),
    (6,          3,      2,      24,       2,        56),
    (6,          5,      2,      40,       2,        28),
    (6,          3,      2,      80,       3,        14),
    (6,          5,      1,      112,      3,        14),
    (6,          5,      2,      192,      4,         7),
    (6,          3,      1,      320,      1,         7),
)
STEM_CHANNELS, HEAD_EXPANSION = 32, 4  # 1280 = 4 * 320

SCALING: dict[str, tuple[float, float, int, float, int]] = {
    #                   width depth image dropout  parameters
    "efficientnet_b0": (1.0,  1.0,  224,  0.2,     5_288_548),
    "efficientnet_b1": (1.0,  1.1,  240,  0.2,     7_794_184),
    "efficientnet_b2": (1.1,  1.2,  260,  0.3,     9_109_994),
    "efficientnet_b3": (1.2,  1.4,  300,  0.3,    12_233_232),
    "efficientnet_b4": (1.4,  1.8,  380,  0.4,    19_341_616),
    "efficientnet_b5": (1.6,  2.2,  456,  0.4,    30_389_784),
    "efficientnet_b6": (1.8,  2.6,  528,  0.5,    43_040_704),
    "efficientnet_b7": (2.0,  3.1,  600,  0.5,    66_347_960),
}

# Validation error in per cent: 100 minus the accuracies of Table 2.
ERRORS: dict[str, Score] = {
    #                   top-1  top-5
    "efficientnet_b0": (22.9,  6.7, "Table 2: validation, one crop"),
    "efficientnet_b1": (20.9,  5.6, "Table 2: validation, one crop"),
    "efficientnet_b2": (19.9,  5.1, "Table 2: validation, one crop"),
    "efficientnet_b3": (18.4,  4.3, "Table 2: validation, one crop"),
    "efficientnet_b4": (17.1,  3.6, "Table 2: validation, one crop"),
    "efficientnet_b5": (16.4,  3.3, "Table 2: validation, one crop"),
    "efficientnet_b6": (16.0,  3.2, "Table 2: validation, one crop"),
    "efficientnet_b7": (15.7,  3.0, "Table 2: validation, one crop"),
}
# fmt: on


def compound_scaling(phi: float) -> tuple[float, float, float]:
    """Depth, width and resolution factors for ``2 ** phi`` times the multiply-adds (equation 3), in this order.

    ``phi`` may be a fraction, and negative for a smaller network.
    """
    return ALPHA_DEPTH**phi, BETA_WIDTH**phi, GAMMA_RESOLUTION**phi


def scale_channels(channels: int, width: float) -> int:
    """``channels * width``, rounded to the nearest multiple of 8 (of two, the larger), and at least 8.

    If the result is below 90 % of ``channels * width``, the next multiple of 8 is taken.
    """
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def scale_blocks(blocks: int, depth: float) -> int:
    """``blocks * depth``, rounded up; ``depth`` may be below 1."""
    return ceil(blocks * depth)


def scaled_stages(width: float, depth: float) -> list[tuple[int, int]]:
    """Channels and blocks of each stage of ``TABLE_1``, scaled by ``width`` and ``depth``."""
    return [(scale_channels(row[3], width), scale_blocks(row[4], depth)) for row in TABLE_1]


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, and SiLU unless ``activate`` is false: 0, 1 and 2 of the public keys."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        norm_layer: Any,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        convolution = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        super().__init__(convolution, norm_layer(out_channels), *([nn.SiLU(inplace=True)] if activate else []))


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
        super().__init__()
        wide = scale_channels(in_channels, expansion)
        layers: list[nn.Module] = []
        if wide != in_channels:
            layers.append(ConvNorm(in_channels, wide, 1, norm_layer))  # (N, C, H, W) -> (N, wide, H, W)
        layers.append(ConvNorm(wide, wide, kernel, norm_layer, stride, groups=wide))  # (N, wide, H/s, W/s)
        # Reduced to a quarter of the block's input, and with SiLU inside; otherwise SENet's.
        layers.append(SqueezeExcitation(wide, max(1, in_channels // 4), nn.functional.silu))
        layers.append(ConvNorm(wide, out_channels, 1, norm_layer, activate=False))  # (N, K, H/s, W/s)
        self.block = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.drop_probability = drop_probability

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input if ``has_shortcut``.

        In training a branch with a shortcut is left out with probability p = ``drop_probability``, independently for
        each image; where it stays it is scaled by 1 / (1 - p).
        """
        out = self.block(x)
        if self.has_shortcut:
            out = stochastic_depth(out, self.drop_probability, "row", self.training) + x
        return out


class EfficientNet(nn.Module):
    """Stem, seven stages of MBConv blocks, head: (N, in_channels, H, W) -> (N, num_classes).

    Args:
        width, depth: factors on the channels and blocks of B0.
        dropout: before the classifier.
        stochastic_depth_prob: the probability of dropping the last block; for earlier blocks proportionally less.
        variant: ``"paper"`` or ``"torchvision"``: which batch norm, see the top of this file.
        late_norm: whether torchvision gives this size the paper's batch norm too (B5 to B7).
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        num_classes: int = 1000,
        in_channels: int = 3,
        stochastic_depth_prob: float = 0.2,
        variant: str = "paper",
        late_norm: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant (={variant!r}) must be one of {', '.join(map(repr, VARIANTS))}")
        self.variant = variant
        of_the_paper = variant == "paper" or late_norm
        norm_layer = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01) if of_the_paper else nn.BatchNorm2d
        scaled = scaled_stages(width, depth)
        total = sum(blocks for _, blocks in scaled)

        channels = scale_channels(STEM_CHANNELS, width)
        stages: list[nn.Module] = [ConvNorm(in_channels, channels, 3, norm_layer, stride=2)]
        built = 0
        for (expansion, kernel, stride, *_), (out_channels, blocks) in zip(TABLE_1, scaled, strict=True):
            stage = nn.Sequential()
            for i in range(blocks):
                drop = stochastic_depth_prob * built / total
                stage.append(
                    MBConv(channels, out_channels, kernel, stride if i == 0 else 1, expansion, drop, norm_layer)
                )
                channels = out_channels
                built += 1
            stages.append(stage)
        stages.append(ConvNorm(channels, HEAD_EXPANSION * channels, 1, norm_layer))

        self.features = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, inplace=True), nn.Linear(HEAD_EXPANSION * channels, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                bound = 1 / sqrt(num_classes)
                nn.init.uniform_(module.weight, -bound, bound)
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        # Shapes for B0 and 224 x 224.
        x = self.features(x)  # (N, 3, 224, 224) -> (N, 1280, 7, 7)
        x = self.avgpool(x)  # (N, 1280, 1, 1)
        x = x.flatten(1)  # (N, 1280)
        return self.classifier(x)  # (N, num_classes)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> EfficientNet:
    width, depth, _, dropout, _ = SCALING[name]
    options.setdefault("dropout", dropout)
    return EfficientNet(width, depth, num_classes=num_classes, late_norm=name >= "efficientnet_b5", **options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b0"][2])
def efficientnet_b0(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B0: the network that the search found."""
    return _build("efficientnet_b0", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b1"][2])
def efficientnet_b1(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B1: B0 scaled by phi = 0.5."""
    return _build("efficientnet_b1", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b2"][2])
def efficientnet_b2(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B2: B0 scaled by phi = 1."""
    return _build("efficientnet_b2", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b3"][2])
def efficientnet_b3(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B3: B0 scaled by phi = 2."""
    return _build("efficientnet_b3", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b4"][2])
def efficientnet_b4(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B4: B0 scaled by phi = 3."""
    return _build("efficientnet_b4", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b5"][2])
def efficientnet_b5(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B5: B0 scaled by phi = 4."""
    return _build("efficientnet_b5", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b6"][2])
def efficientnet_b6(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B6: B0 scaled by phi = 5."""
    return _build("efficientnet_b6", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS, input_size=SCALING["efficientnet_b7"][2])
def efficientnet_b7(num_classes: int = 1000, **options: Any) -> EfficientNet:
    """EfficientNet-B7: B0 scaled by phi = 6."""
    return _build("efficientnet_b7", num_classes, options)
