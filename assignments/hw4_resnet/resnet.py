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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.ops import add
from minicnn.tensors import Tensor

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.resnet import CONFIGS, VARIANTS, Block, Norm, PlainBlock, conv1x1, conv3x3


def projection(in_planes: int, out_planes: int, stride: int = 1, norm_layer: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """Option B, the shortcut with weights (equation 2): a 1x1 convolution W_s without a bias, and its norm.

    (N, in_planes, H, W) -> (N, out_planes, H/stride, W/stride)
    """
    raise NotImplementedError("hw4.5 projection: not written yet, see assignments/hw4_resnet/README.md")


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
    # Refuse shapes that differ first: + would broadcast them.
    raise NotImplementedError("hw4.1 residual_add: not written yet, see assignments/hw4_resnet/README.md")


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
        # super().__init__() first; then refuse what the block cannot do.
        # The parts, in the order in which forward uses them. conv3x3 makes a convolution.
        raise NotImplementedError("hw4.2 BasicBlock.__init__: not written yet, see assignments/hw4_resnet/README.md")

    def forward(self, x: Tensor) -> Tensor:
        # The shortcut: x itself, or what downsample makes of it.
        # The branch F(x): two convolutions, two norms, how many ReLUs?
        raise NotImplementedError("hw4.2 BasicBlock.forward: not written yet, see assignments/hw4_resnet/README.md")


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
        # Which of the three convolutions has the stride? The variant decides.
        # Only the last one has planes * self.expansion filters.
        raise NotImplementedError("hw4.3 Bottleneck.__init__: not written yet, see assignments/hw4_resnet/README.md")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("hw4.3 Bottleneck.forward: not written yet, see assignments/hw4_resnet/README.md")


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
        # Dilation or stride? Remember the dilation of the stage before.
        # Does the first block need a projection?
        # The first block, then self.inplanes, then the others.
        raise NotImplementedError("hw4.6 ResNet._make_layer: not written yet, see assignments/hw4_resnet/README.md")

    def _forward_impl(self, x: Tensor) -> Tensor:
        """The rows of Table 1 from top to bottom: (N, in_channels, H, W) -> (N, num_classes), the logits."""
        # Shapes for 224 x 224; e = 1 with basic blocks, 4 with bottlenecks.
        # Stem: (N, 3, 224, 224) -> (N, 64, 112, 112) -> (N, 64, 56, 56)
        # Stages: -> (N, 64e, 56, 56) -> (N, 128e, 28, 28) -> (N, 256e, 14, 14) -> (N, 512e, 7, 7)
        # Head: -> (N, 512e, 1, 1) -> (N, 512e) -> (N, num_classes)
        raise NotImplementedError("hw4.7 ResNet._forward_impl: not written yet, see assignments/hw4_resnet/README.md")

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)


def _build(name: str, num_classes: int, options: dict[str, Any]) -> ResNet:
    """The network that ``CONFIGS`` has under ``name``; ``options`` are further arguments of ``ResNet``, by name."""
    raise NotImplementedError("hw4.7 _build: not written yet, see assignments/hw4_resnet/README.md")
