"""ResNet for ImageNet: let the layers learn what to add to their input, not the whole map.

Paper    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385 (CVPR 2016).
         Why the shortcut should stay an identity: the same, "Identity Mappings in Deep Residual Networks",
         arXiv:1603.05027 (ECCV 2016).
Lecture  L2.2.2 plain networks, L2.2.3 residual, L2.2.4 shortcut, L2.2.6 the whole network, L2.2.7 its code.

Idea. A deeper network could copy a shallower one and make its further layers the identity; yet it trains to
a *higher* training error, so the identity must be hard to learn for a stack of layers. Let the stack learn the
residual F(x) = H(x) - x and return H(x) = F(x) + x: now the identity is F = 0, which is easy, and in the
backward pass dH/dx = I + dF/dx passes the gradient on undiminished.

Choices, and where they deviate from the paper
  * ``variant="paper"`` strides in a bottleneck's first 1x1 convolution, ``"torchvision"`` in its 3x3, as
    public weights do: 4.1e9 multiply-adds instead of 3.8e9 for 50 layers. Both have the same keys and shapes,
    but give different results.
  * Shortcuts where the shape changes are projections (option B), as in public weights. Table 2 of the paper
    has option A for 18 and 34 layers; ``cifar_resnet.py`` builds that one.
  * The max pool pads one pixel on every side; the paper gives only 3x3, stride 2, and the output, 56 x 56.
  * He initialisation takes the fan of the output, which keeps the gradient's size from layer to layer.
  * No convolution has a bias, because a batch norm follows. The softmax is in the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn
from ..errors import ShapeError
from ..ops import add
from ..tensors import Tensor
from .registry import Paper, Score, register

TITLE = "Deep Residual Learning for Image Recognition"
PAPER = Paper(TITLE, "He, Zhang, Ren, Sun", 2015, "https://arxiv.org/abs/1512.03385", lecture="L2.2")
VARIANTS = ("paper", "torchvision")
Norm = Callable[[int], nn.Module]  # from the number of channels, makes the layer after a convolution

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


def projection(in_planes: int, out_planes: int, stride: int = 1, norm_layer: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """Option B, the shortcut with weights (equation 2): a 1x1 convolution W_s without a bias, and its norm.

    (N, in_planes, H, W) -> (N, out_planes, H/stride, W/stride)
    """
    return nn.Sequential(conv1x1(in_planes, out_planes, stride), norm_layer(out_planes))


def residual_add(branch: Tensor, shortcut: Tensor) -> Tensor:
    """``F(x) + x``, the sum that makes a residual block (lecture line L2.2.3; He et al. 2015, equation 1).

    Unlike ``+`` it refuses to broadcast: a branch and a shortcut of different shapes are a mistake in the block.

    Args:
        branch: F(x), what the layers of the block have learned to add.
        shortcut: x, or its projection; of the same shape.

    Returns:
        A new tensor of that shape. In the backward pass both get the whole cotangent.

    Raises:
        ShapeError: if the shapes differ.
    """
    if branch.shape != shortcut.shape:
        raise ShapeError(f"residual_add: the branch has shape {branch.shape}, the shortcut {shortcut.shape}")
    return add(branch, shortcut)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions of K = ``planes`` filters, the first with ``stride`` s; a shortcut (Figure 5, left).

    (N, C, H, W) -> (N, K, H/s, W/s): ReLU(F(x) + x), where F is conv1, bn1, ReLU, conv2, bn2.

    ``downsample`` is the module in the shortcut, None for the identity; ``norm_layer`` is batch norm by default. The
    other arguments are there for ``Bottleneck``: groups, base_width or dilation other than 1, 64, 1 is a ValueError.
    """

    expansion = 1
    last_norm = "bn2"

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, groups: int = 1,
        base_width: int = 64, dilation: int = 1, norm_layer: Norm | None = None, variant: str = "paper",
    ) -> None:  # fmt: skip
        super().__init__()
        if (groups, base_width, dilation) != (1, 64, 1):
            raise ValueError(f"BasicBlock has no groups={groups}, base_width={base_width}, dilation={dilation}")
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)  # (N, C, H, W) -> (N, K, H/s, W/s)

        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, K, H/s, W/s)
        out = self.bn2(self.conv2(out))  # (N, K, H/s, W/s)

        out = residual_add(out, identity)  # H(x) = F(x) + x
        return self.relu(out)


class PlainBlock(BasicBlock):
    """``BasicBlock`` without its shortcut, for the plain networks that show the degradation (L2.2.2)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, K, H/s, W/s)
        return self.relu(self.bn2(self.conv2(out)))  # (N, K, H/s, W/s)


class Bottleneck(nn.Module):
    """1x1 narrows to w channels, 3x3 works on them, 1x1 widens to 4K; and a shortcut (Figure 5, right).

    (N, C, H, W) -> (N, 4K, H/s, W/s): ReLU(F(x) + x), where F is conv1, bn1, ReLU, conv2, bn2, ReLU, conv3, bn3.

    w = floor(K * base_width / 64) * groups, which is K = ``planes`` in a ResNet. Groups and dilation are the 3x3's. The
    paper's variant has the stride s in the first 1x1, which then reads one of s x s pixels; torchvision's in the 3x3.
    """

    expansion = 4
    last_norm = "bn3"

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, groups: int = 1,
        base_width: int = 64, dilation: int = 1, norm_layer: Norm | None = None, variant: str = "paper",
    ) -> None:  # fmt: skip
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64)) * groups
        stride_1x1, stride_3x3 = (stride, 1) if variant == "paper" else (1, stride)
        self.conv1 = conv1x1(inplanes, width, stride_1x1)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride_3x3, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)  # (N, C, H, W) -> (N, 4K, H/s, W/s)

        out = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, w, H/s, W/s); torchvision (N, w, H, W)
        out = self.relu(self.bn2(self.conv2(out)))  # (N, w, H/s, W/s)
        out = self.bn3(self.conv3(out))  # (N, w, H/s, W/s) -> (N, 4K, H/s, W/s)

        out = residual_add(out, identity)  # H(x) = F(x) + x
        return self.relu(out)


Block = type[BasicBlock] | type[Bottleneck]

# fmt: off
# Multiply-adds are those of Table 1: one per weight and output pixel, in all convolutions and the linear layer.
# Errors are of the validation set, 10 crops, in per cent.
CONFIGS: dict[str, tuple[Block, tuple[int, int, int, int], int, float, Score]] = {
    #                         blocks                    multiply-  top-1  top-5
    #             block       per stage     parameters  adds       error  error
    "resnet18":  (BasicBlock, (2, 2, 2, 2),  11_689_512,  1.8e9,  (27.88, None, "Table 2, option A")),
    "resnet34":  (BasicBlock, (3, 4, 6, 3),  21_797_672,  3.6e9,  (24.52, 7.46, "Table 3, option B")),
    "resnet50":  (Bottleneck, (3, 4, 6, 3),  25_557_032,  3.8e9,  (22.85, 6.71, "Table 3")),
    "resnet101": (Bottleneck, (3, 4, 23, 3), 44_549_160,  7.6e9,  (21.75, 6.05, "Table 3")),
    "resnet152": (Bottleneck, (3, 8, 36, 3), 60_192_808, 11.3e9,  (21.43, 5.71, "Table 3")),
    "plain18":   (PlainBlock, (2, 2, 2, 2),  11_515_688,  1.8e9,  (27.94, None, "Table 2")),
    "plain34":   (PlainBlock, (3, 4, 6, 3),  21_623_848,  3.6e9,  (28.54, 10.02, "Table 3")),
}
# fmt: on
ERRORS: dict[str, Score] = {
    name: (top1, top5, f"{table}: validation, 10 crops") for name, (*_, (top1, top5, table)) in CONFIGS.items()
}


class ResNet(nn.Module):
    """Stem, four stages of blocks, average pool, linear layer: (N, in_channels, H, W) -> (N, num_classes).

    Args:
        block, layers: the kind of block, and how many of them in each of the four stages.
        zero_init_residual: start each branch at zero, by its last norm's weight (arXiv:1706.02677, section 5.1).
        groups, width_per_group: of a bottleneck's 3x3; 32 and 4 make ResNeXt-50 32x4d.
        replace_stride_with_dilation: for layer2, layer3, layer4: whether to keep the size and dilate instead.
        norm_layer: makes, from the number of channels, the layer that replaces batch norm.

    Raises ValueError for an unknown variant, for other than three flags, and for arguments that the block refuses.
    """

    def __init__(
        self, block: Block, layers: Sequence[int], num_classes: int = 1000, zero_init_residual: bool = False,
        groups: int = 1, width_per_group: int = 64, replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None, in_channels: int = 3, variant: str = "paper",
    ) -> None:  # fmt: skip
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
        """A stage of ``blocks`` blocks. Only the first changes width and, by ``stride``, size, and needs a projection.

        With ``dilate`` the size stays: ``self.dilation`` is multiplied by ``stride``, which becomes 1; the first block
        still has the previous dilation. At the end ``self.inplanes`` is the number of the stage's output channels.
        """
        out_planes = planes * block.expansion
        previous_dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        if (stride != 1 or self.inplanes != out_planes) and block is not PlainBlock:
            downsample = projection(self.inplanes, out_planes, stride, self._norm_layer)

        options: dict[str, Any] = {
            "groups": self.groups,
            "base_width": self.base_width,
            "norm_layer": self._norm_layer,
            "variant": self.variant,
        }
        layers = [block(self.inplanes, planes, stride, downsample, dilation=previous_dilation, **options)]
        self.inplanes = out_planes
        layers += [block(out_planes, planes, dilation=self.dilation, **options) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def _forward_impl(self, x: Tensor) -> Tensor:
        """The rows of Table 1 from top to bottom: (N, in_channels, H, W) -> (N, num_classes), the logits."""
        # Shapes for 224 x 224; e = 1 with basic blocks, 4 with bottlenecks.
        x = self.conv1(x)  # (N, 3, 224, 224) -> (N, 64, 112, 112)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)  # (N, 64, 56, 56)

        x = self.layer1(x)  # (N, 64e, 56, 56)
        x = self.layer2(x)  # (N, 128e, 28, 28)
        x = self.layer3(x)  # (N, 256e, 14, 14)
        x = self.layer4(x)  # (N, 512e, 7, 7)

        x = self.avgpool(x)  # (N, 512e, 1, 1)
        x = x.flatten(1)  # (N, 512e)
        x = self.fc(x)  # (N, num_classes)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> ResNet:
    """The network that ``CONFIGS`` has under ``name``; ``options`` are further arguments of ``ResNet``, by name."""
    block, layers, *_ = CONFIGS[name]
    return ResNet(block, layers, num_classes, **options)


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
