"""ResNet for ImageNet: let the layers learn what to add to their input, not the whole map.

Paper    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385 (CVPR 2016).
         Why the shortcut should stay an identity: the same, "Identity Mappings in Deep Residual Networks",
         arXiv:1603.05027 (ECCV 2016).
Lecture  L2.2.2 plain networks, L2.2.3 residual, L2.2.4 shortcut, L2.2.6 the whole network, L2.2.7 its code.

Idea. A deeper network could copy a shallower one and make its further layers the identity; yet it trains to
a *higher* training error, so the identity must be hard to find for a stack of layers. Let the stack learn the
residual F(x) = H(x) - x and give H(x) = F(x) + x: now the identity is F = 0, which is easy, and in the
backward pass dH/dx = I + dF/dx hands the gradient on undiminished.

Choices, and where they deviate from the paper
  * ``variant="paper"`` strides in a bottleneck's first 1x1 convolution, ``"torchvision"`` in its 3x3, as
    public weights do: 4.1e9 multiply-adds instead of 3.8e9 for 50 layers. Both have the same keys and shapes,
    and give different results.
  * Shortcuts where the shape changes are projections (option B), as in public weights. Table 2 of the paper
    has option A for 18 and 34 layers; ``cifar_resnet.py`` builds that one.
  * The max pool pads one pixel on every side; the paper gives only 3x3, stride 2, and the output, 56 x 56.
  * He initialisation takes the fan of the output, which keeps the gradient's size from layer to layer.
  * No convolution has a bias, because a batch norm follows. The softmax is in the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn import nn
from minicnn.models.registry import Paper, Score, register
from minicnn.ops import residual_add
from minicnn.tensor import Tensor

PAPER = Paper(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    year=2015,
    url="https://arxiv.org/abs/1512.03385",
    lecture="L2.2",
)
VARIANTS = ("paper", "torchvision")

# fmt: off
# Table 1: the side of each output for a 224 x 224 image, and the (kernel, filters) of each block there.
# How many blocks a network has in each row is in CONFIGS.
TABLE_1 = (
    # paper           here     output  18 and 34 layers        50, 101 and 152 layers
    ("conv1",        "relu",     112, ((7, 64),),             ((7, 64),)),
    ("conv2_x",      "layer1",    56, ((3, 64), (3, 64)),     ((1, 64), (3, 64), (1, 256))),
    ("conv3_x",      "layer2",    28, ((3, 128), (3, 128)),   ((1, 128), (3, 128), (1, 512))),
    ("conv4_x",      "layer3",    14, ((3, 256), (3, 256)),   ((1, 256), (3, 256), (1, 1024))),
    ("conv5_x",      "layer4",     7, ((3, 512), (3, 512)),   ((1, 512), (3, 512), (1, 2048))),
    ("average pool", "avgpool",    1, (),                     ()),
)
# fmt: on


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """3x3 convolution, padded: (N, in_planes, H, W) -> (N, out_planes, H/stride, W/stride)."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """1x1 convolution, the same linear map over channels at every ``stride``-th pixel."""
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


def projection(
    in_planes: int, out_planes: int, stride: int = 1, norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d
) -> nn.Sequential:
    """Option B, the shortcut with weights: a 1x1 convolution W_s and its norm (equation 2; L2.2.6).

    (N, in_planes, H, W) -> (N, out_planes, H/stride, W/stride)

    Args:
        stride: the block's, so that branch and shortcut have one size.
        norm_layer: builds, from the number of channels, what stands in for batch norm.

    Returns:
        An ``nn.Sequential`` of the convolution, without a bias, and the norm.
    """
    layers = [nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)]
    layers.append(norm_layer(out_planes))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions of K = ``planes`` filters, the first with stride s; a shortcut (Figure 5, left).

    (N, C, H, W) -> (N, K, H/s, W/s): ReLU(F(x) + x), where F is conv1, bn1, ReLU, conv2, bn2.

    Args:
        inplanes: C, the channels of the input.
        planes: K.
        stride: s, of the first convolution alone.
        downsample: the module in the shortcut, where the shape changes; None for the identity.
        groups, base_width, dilation: other values than 1, 64 and 1 are for ``Bottleneck`` only.
        norm_layer: builds, from the number of channels, what follows each convolution; None for ``nn.BatchNorm2d``.
        variant: accepted and not used, for both variants are the same here.

    The parts are ``conv1``, ``bn1``, ``relu``, ``conv2``, ``bn2`` and ``downsample``, and the number ``stride``. The
    convolutions are padded and have no bias. Raises ValueError for groups, base_width or dilation that it cannot do.
    """

    expansion = 1
    last_norm = "bn2"

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
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise ValueError("Dilation > 1 not supported in BasicBlock")
        if norm_layer is None:
            norm_layer = nn.BatchNorm2d
        self.stride = stride
        self.downsample = downsample
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn1 = norm_layer(planes)
        self.bn2 = norm_layer(planes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(x + out)


class PlainBlock(BasicBlock):
    """``BasicBlock`` without its shortcut, for the plain networks that show the degradation (L2.2.2)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, K, H/s, W/s)
        return self.relu(self.bn2(self.conv2(out)))  # (N, K, H/s, W/s)


class Bottleneck(nn.Module):
    """1x1 narrows to w channels, 3x3 works on them, 1x1 widens to 4K; and a shortcut (Figure 5, right).

    (N, C, H, W) -> (N, 4K, H/s, W/s): ReLU(F(x) + x), where F is conv1, bn1, ReLU, conv2, bn2, ReLU, conv3, bn3.

    w = floor(K * base_width / 64) * groups, which is K = ``planes`` in a ResNet. The paper's variant has stride s
    in the first 1x1, which therefore looks at one pixel in s x s; torchvision's has it in the 3x3.

    Args:
        inplanes: C, the channels of the input.
        planes: K.
        stride: s.
        downsample: the module in the shortcut, where the shape changes; None for the identity.
        groups, dilation: of the 3x3 convolution.
        base_width: see w.
        norm_layer: builds, from the number of channels, what follows each convolution; None for ``nn.BatchNorm2d``.
        variant: ``"paper"`` or ``"torchvision"``.

    The parts are ``conv1`` to ``conv3``, ``bn1`` to ``bn3``, ``relu`` and ``downsample``, and the number ``stride``.
    The convolutions have no bias.
    """

    expansion = 4
    last_norm = "bn3"

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
        super().__init__()
        if norm_layer is None:
            norm_layer = nn.BatchNorm2d
        narrow = planes * base_width // 64 * groups
        first, second = stride, stride
        if variant == "torchvision":
            first = 1
        else:
            second = 1
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(inplanes, narrow, 1, stride=first, bias=False)
        self.conv2 = nn.Conv2d(
            narrow, narrow, 3, stride=second, padding=dilation, dilation=dilation, groups=groups, bias=False
        )
        self.conv3 = nn.Conv2d(narrow, 4 * planes, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = norm_layer(narrow), norm_layer(narrow), norm_layer(4 * planes)
        self.downsample, self.stride = downsample, stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)
        out = self.conv3(out)
        out = self.bn3(out)
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(x + out)


Block = type[BasicBlock] | type[Bottleneck]

# fmt: off
# Multiply-adds are those of Table 1: one a weight and output pixel, in all convolutions and the linear layer.
CONFIGS: dict[str, tuple[Block, tuple[int, int, int, int], int, float]] = {
    #             block       blocks a stage  parameters  multiply-adds
    "resnet18":  (BasicBlock, (2, 2, 2, 2),   11_689_512,  1.8e9),
    "resnet34":  (BasicBlock, (3, 4, 6, 3),   21_797_672,  3.6e9),
    "resnet50":  (Bottleneck, (3, 4, 6, 3),   25_557_032,  3.8e9),
    "resnet101": (Bottleneck, (3, 4, 23, 3),  44_549_160,  7.6e9),
    "resnet152": (Bottleneck, (3, 8, 36, 3),  60_192_808, 11.3e9),
    "plain18":   (PlainBlock, (2, 2, 2, 2),   11_515_688,  1.8e9),
    "plain34":   (PlainBlock, (3, 4, 6, 3),   21_623_848,  3.6e9),
}

# Validation error in per cent.
ERRORS: dict[str, Score] = {
    #             top-1  top-5
    "resnet18":  (27.88, None,  "Table 2: validation, 10 crops, option A"),
    "resnet34":  (24.52, 7.46,  "Table 3: validation, 10 crops, option B"),
    "resnet50":  (22.85, 6.71,  "Table 3: validation, 10 crops"),
    "resnet101": (21.75, 6.05,  "Table 3: validation, 10 crops"),
    "resnet152": (21.43, 5.71,  "Table 3: validation, 10 crops"),
    "plain18":   (27.94, None,  "Table 2: validation, 10 crops"),
    "plain34":   (28.54, 10.02, "Table 3: validation, 10 crops"),
}
# fmt: on


class ResNet(nn.Module):
    """Stem, four stages of blocks, average pool, linear layer: (N, in_channels, H, W) -> (N, num_classes).

    Args:
        block: ``BasicBlock``, ``Bottleneck`` or ``PlainBlock``.
        layers: the number of blocks in each of the four stages.
        zero_init_residual: start each residual branch at zero, by a zero weight in its last norm
            (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
        groups, width_per_group: of the 3x3 convolution in a bottleneck; 32 and 4 make ResNeXt-50 32x4d.
        replace_stride_with_dilation: for layer2, layer3, layer4: keep the size and dilate instead?
        norm_layer: builds, from the number of channels, what stands in for batch norm.
        in_channels: channels of the image.
        variant: ``"paper"`` or ``"torchvision"``: where a bottleneck strides, see the top of this file.

    Raises ValueError for an unknown variant, for other than three dilation flags, and where the block cannot
    do what is asked of it.
    """

    def __init__(
        self,
        block: Block,
        layers: tuple[int, ...] | list[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: tuple[bool, ...] | list[bool] | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
        in_channels: int = 3,
        variant: str = "paper",
    ) -> None:
        super().__init__()
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise ValueError(f"replace_stride_with_dilation (={dilate}) must be 3 flags, for layer2, layer3, layer4")
        if variant not in VARIANTS:
            raise ValueError(f"variant (={variant!r}) must be one of {', '.join(map(repr, VARIANTS))}")
        if zero_init_residual and issubclass(block, PlainBlock):
            raise ValueError("zero_init_residual needs residual branches, and a plain network has none")
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.variant = variant
        self.groups = groups
        self.base_width = width_per_group
        self.inplanes = 64
        self.dilation = 1

        self.conv1 = nn.Conv2d(in_channels, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)

        for module in self.modules():  # a norm is built as the identity, with weight 1 and bias 0
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                nn.init.zeros_(getattr(module, module.last_norm).weight)

    def _make_layer(
        self, block: Block, planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        """One stage. Only the first block changes the width and, by ``stride``, the size, and so projects.

        Args:
            planes: of each block; the stage puts out planes * expansion channels.
            blocks: how many.
            stride: of the first block.
            dilate: keep the size: instead of by its stride, multiply ``self.dilation`` by ``stride``. The first block
                still has the dilation of the stage before.

        Every block gets ``self.groups`` and ``self.base_width``, ``self._norm_layer`` and ``self.variant``. The first
        reads ``self.inplanes`` channels and, unless nothing changes or the block is a ``PlainBlock``, has a
        ``projection`` for ``downsample``. Afterwards ``self.inplanes`` is what the stage puts out.
        """
        before = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        stage = nn.Sequential()
        for number in range(blocks):
            shortcut = None
            changes = self.inplanes != planes * block.expansion or (number == 0 and stride > 1)
            if changes and block is not PlainBlock:
                shortcut = projection(self.inplanes, planes * block.expansion, stride, self._norm_layer)
            stage.append(
                block(
                    self.inplanes,
                    planes,
                    stride if number == 0 else 1,
                    shortcut,
                    self.groups,
                    self.base_width,
                    before if number == 0 else self.dilation,
                    self._norm_layer,
                    self.variant,
                )
            )
            self.inplanes = planes * block.expansion
        return stage

    def _forward_impl(self, x: Tensor) -> Tensor:
        """The rows of Table 1 from top to bottom: (N, in_channels, H, W) -> (N, num_classes), the logits.

        Stem (conv1, bn1, relu, maxpool), layer1 to layer4, head (avgpool, flatten, fc).
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        pooled = self.avgpool(x)
        return self.fc(pooled.reshape(pooled.shape[0], pooled.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> ResNet:
    """The network called ``name``, with the block and the number of blocks a stage that ``CONFIGS`` gives it.

    ``options`` are further arguments of ``ResNet``, by name.
    """
    counts = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
    depth = int("".join(letter for letter in name if letter.isdigit()))
    block = PlainBlock if name.startswith("plain") else BasicBlock if depth < 50 else Bottleneck
    return ResNet(block, counts[depth], num_classes=num_classes, **options)


@register(PAPER, ERRORS, variants=VARIANTS)
def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18: blocks of two 3x3 convolutions."""
    return _build("resnet18", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34: blocks of two 3x3 convolutions."""
    return _build("resnet34", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-50: bottleneck blocks."""
    return _build("resnet50", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-101: bottleneck blocks."""
    return _build("resnet101", num_classes, options)


@register(PAPER, ERRORS, variants=VARIANTS)
def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-152: bottleneck blocks."""
    return _build("resnet152", num_classes, options)


@register(PAPER, ERRORS)
def plain18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18 without its shortcuts."""
    return _build("plain18", num_classes, options)


@register(PAPER, ERRORS)
def plain34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34 without its shortcuts: worse than plain-18, in training too."""
    return _build("plain34", num_classes, options)
