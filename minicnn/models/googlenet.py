"""GoogLeNet: look at every scale at once, made affordable by 1x1 convolutions.

Paper    Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, "Going Deeper with Convolutions",
         arXiv:1409.4842 (CVPR 2015).
Lecture  L2.1.1 the module, L2.1.2 naive against reduced, L2.1.3 the 1x1 convolution, L2.1.4 the whole network and its
         table, L2.1.5 auxiliary classifiers, L2.2.1 (22 layers, 6.7 % top-5 error), L3.1 (the most efficient).

Idea. Objects in an image have any size: an inception module runs 1x1, 3x3 and 5x5 convolutions and a max pooling on
the same input and concatenates their outputs. Naively, the channels grow with every module, because pooling passes all
its channels on, and 5x5 convolutions on hundreds of channels are expensive. So a 1x1 convolution, one linear map over
the channels at every pixel, first reduces them. Nine modules and a global average pool instead of wide linear layers
have twelve times fewer weights than AlexNet. In training, two auxiliary classifiers on inner modules add gradient
half-way.

Choices, and where they deviate from the paper
  * ``variant="torchvision"`` is the network of public weights: batch norm (eps 0.001) after every convolution instead
    of biases and of the stem's local response norms, 3x3 kernels in the branch called 5x5 (a mistake, kept for the
    weights' sake), 2x2 instead of 3x3 windows in the last max pooling, 20 % dropout instead of 40 %, and adaptive
    pooling in the auxiliary classifiers.
  * The paper gives no constants for the local response norm: here it has PyTorch's defaults, as in the public
    replication for Caffe (n = 5, alpha = 1e-4, beta = 0.75, k = 1).
  * The paper gives no initialisation: He's, with the fan of the input, because one input feeds many branches; zero
    biases. torchvision's variant has the same.
  * Max pooling rounds its output size up, which the 112, 56, 28, 14, 7 of Table 1 need.
  * The last pooling is the mean over the whole map, at any image size (7x7 at 224). The linear layer of an auxiliary
    classifier needs 4 x 4 pixels: the paper's pooling, 5x5 with stride 3, gives these from maps of 14 to 16 pixels
    (images of 223 to 270); maps of other sizes are pooled to 4 x 4 by an adaptive grid, so that small images train.
  * The first row of Table 1 and the parameters of some modules do not agree with the layers that it describes; below,
    the counts of the layers are given next to the table's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .. import nn
from ..nn import functional as F
from ..ops import cat
from ..tensors import Tensor
from .input_size import require_size
from .registry import Paper, Score, register

PAPER = Paper(
    title="Going Deeper with Convolutions",
    authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
    year=2014,
    url="https://arxiv.org/abs/1409.4842",
    lecture="L2.1",
)
VARIANTS = ("paper", "torchvision")

Filters = tuple[int, int, int, int, int, int]


class Row(NamedTuple):
    """A row of Table 1: its modules here, their output, a module's filters; costs as in the paper, and as counted."""

    here: tuple[str, ...]
    output: tuple[int, int]
    filters: Filters | None = None
    paper_params: float | None = None
    paper_ops: float | None = None
    weights: int = 0
    multiply_adds: int = 0


# fmt: off
# Table 1, for a 224 x 224 image. The paper's K is 1024 parameters, its M a million operations; counted here, for the
# paper's variant, are weights without biases, and one multiply-add per weight and output pixel.
TABLE_1 = (
    #   here                channels,  1x1  3x3  3x3  5x5  5x5 pool      paper's      weights    multiply-adds
    #                       side           red.      red.     proj.      K     M
    Row(("conv1",),         (64, 112), None,                           2.7,   34,       9_408,     118_013_952),
    Row(("maxpool1",),      (64, 56)),
    Row(("conv2", "conv3"), (192, 56), None,                           112,  360,     114_688,     359_661_568),
    Row(("maxpool2",),      (192, 28)),
    Row(("inception3a",),   (256, 28), (64,   96, 128, 16,  32,  32),  159,  128,     163_328,     128_049_152),
    Row(("inception3b",),   (480, 28), (128, 128, 192, 32,  96,  64),  380,  304,     388_096,     304_267_264),
    Row(("maxpool3",),      (480, 14)),
    Row(("inception4a",),   (512, 14), (192,  96, 208, 16,  48,  64),  364,   73,     375_552,      73_608_192),
    Row(("inception4b",),   (512, 14), (160, 112, 224, 24,  64,  64),  437,   88,     448_512,      87_908_352),
    Row(("inception4c",),   (512, 14), (128, 128, 256, 24,  64,  64),  463,  100,     509_440,      99_850_240),
    Row(("inception4d",),   (528, 14), (112, 144, 288, 32,  64,  64),  580,  119,     604_672,     118_515_712),
    Row(("inception4e",),   (832, 14), (256, 160, 320, 32, 128, 128),  840,  170,     867_328,     169_996_288),
    Row(("maxpool4",),      (832, 7)),
    Row(("inception5a",),   (832, 7),  (256, 160, 320, 32, 128, 128), 1072,   54,   1_042_432,      51_079_168),
    Row(("inception5b",),   (1024, 7), (384, 192, 384, 48, 128, 128), 1388,   71,   1_442_816,      70_697_984),
    Row(("avgpool",),       (1024, 1)),
    Row(("fc",),            (1000, 1), None,                          1000,    1,   1_024_000,       1_024_000),
)

# Parameters, biases and norms included, without and with the auxiliary classifiers; multiply-adds in evaluation.
PARAMETERS     = {"paper": (6_998_552, 13_378_280), "torchvision": (6_624_904, 13_004_888)}
MULTIPLY_ADDS  = {"paper": 1_582_671_872,           "torchvision": 1_498_376_192}
SMALLEST_INPUT = {"paper": 31,                      "torchvision": 15}
DROPOUT        = {"paper": 0.4,                     "torchvision": 0.2}
# fmt: on

FILTERS = {row.here[0]: row.filters for row in TABLE_1 if row.filters is not None}

AUXILIARY_WEIGHT = 0.3  # of each auxiliary classifier's loss (section 5)

ERRORS: dict[str, Score] = {"googlenet": (None, 10.07, "Table 3: validation, 1 model, 1 crop")}

# Mean and deviation of ImageNet's pictures, RGB.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BasicConv2d(nn.Module):
    """Convolution and ReLU: with a bias (paper), or with a batch norm between them (torchvision)."""

    def __init__(self, in_channels: int, out_channels: int, variant: str = "paper", **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=variant == "paper", **options)
        self.bn = None if variant == "paper" else nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # (N, C, H, W) -> (N, K, H', W')
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x)


class NaiveInception(nn.Module):
    """The module without reductions (Figure 2a, L2.1.1): (N, C, H, W) -> (N, ch1x1 + ch3x3 + ch5x5 + C, H, W).

    Four branches read the input and are concatenated along the channels, in this order: ``branch1``, ``branch2`` and
    ``branch3``, a ``BasicConv2d`` each with 1x1, 3x3 and 5x5 kernels (in either variant), and ``branch4``, 3x3 max
    pooling with stride 1. All maps stay H x W. No network here uses it: each module would be wider than the previous
    one.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3: int, ch5x5: int, variant: str = "paper") -> None:
        super().__init__()
        conv = partial(BasicConv2d, variant=variant)
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = conv(in_channels, ch3x3, kernel_size=3, padding=1)
        self.branch3 = conv(in_channels, ch5x5, kernel_size=5, padding=2)
        self.branch4 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branch1 = self.branch1(x)  # (N, C, H, W) -> (N, ch1x1, H, W)
        branch2 = self.branch2(x)  # (N, C, H, W) -> (N, ch3x3, H, W)
        branch3 = self.branch3(x)  # (N, C, H, W) -> (N, ch5x5, H, W)
        branch4 = self.branch4(x)  # (N, C, H, W)
        return cat([branch1, branch2, branch3, branch4], 1)  # (N, ch1x1 + ch3x3 + ch5x5 + C, H, W)


class Inception(nn.Module):
    """The module with dimension reductions (Figure 2b, L2.1.2): (N, in_channels, H, W) -> (N, K, H, W).

    K = ``ch1x1 + ch3x3 + ch5x5 + pool_proj``. Module 3a takes 128e6 multiply-adds; ``NaiveInception`` with the same
    filters takes 303e6 and has 416 output channels instead of 256.

    Four branches read the input and are concatenated along the channels, in this order; every convolution is a
    ``BasicConv2d`` of the module's ``variant``, and all maps stay H x W:

    * ``branch1``: 1x1 to ``ch1x1`` channels;
    * ``branch2``: a Sequential of 1x1 to ``ch3x3red`` and 3x3 to ``ch3x3``;
    * ``branch3``: a Sequential of 1x1 to ``ch5x5red`` and 5x5 to ``ch5x5`` (3x3 in the torchvision variant);
    * ``branch4``: a Sequential of 3x3 max pooling with stride 1 and 1x1 to ``pool_proj``.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        variant: str = "paper",
    ) -> None:
        super().__init__()
        conv = partial(BasicConv2d, variant=variant)
        kernel = 5 if variant == "paper" else 3
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1),
            conv(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1),
            conv(ch5x5red, ch5x5, kernel_size=kernel, padding=kernel // 2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            conv(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branch1 = self.branch1(x)  # (N, C, H, W) -> (N, ch1x1, H, W)
        branch2 = self.branch2(x)  # (N, C, H, W) -> (N, ch3x3red, H, W) -> (N, ch3x3, H, W)
        branch3 = self.branch3(x)  # (N, C, H, W) -> (N, ch5x5red, H, W) -> (N, ch5x5, H, W)
        branch4 = self.branch4(x)  # (N, C, H, W) -> (N, pool_proj, H, W)
        return cat([branch1, branch2, branch3, branch4], 1)  # (N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W)


class InceptionAux(nn.Module):
    """An auxiliary classifier (section 5, L2.1.5): (N, in_channels, H, W) -> (N, num_classes).

    Average pooling to 4 x 4, ``conv`` (1x1 to 128 channels, with its ReLU), ``fc1`` to 1024 values, ReLU, ``dropout``,
    ``fc2``: logits, without softmax. Dropout is active in training only. The paper's pooling is 5x5 with stride 3, on
    maps of 14 to 16 pixels each way; other maps, and all of them in the torchvision variant, are pooled adaptively.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7, variant: str = "paper") -> None:
        super().__init__()
        self.variant = variant
        self.conv = BasicConv2d(in_channels, 128, variant, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = _pool(x, self.variant)  # aux1: (N, 512, 14, 14) -> (N, 512, 4, 4), aux2: (N, 528, 14, 14) -> (N, 528, 4, 4)
        x = self.conv(x)  # (N, 128, 4, 4)
        x = x.flatten(1)  # (N, 2048)
        x = F.relu(self.fc1(x))  # (N, 1024)
        x = self.dropout(x)
        return self.fc2(x)  # (N, num_classes)


def _pool(x: Tensor, variant: str) -> Tensor:
    if variant == "paper" and all(14 <= side <= 16 for side in x.shape[2:]):
        return F.avg_pool2d(x, kernel_size=5, stride=3)
    return F.adaptive_avg_pool2d(x, 4)


class GoogLeNetOutputs(NamedTuple):
    """What a training step returns: logits, each (N, num_classes); the auxiliary ones are those of 4d and of 4a."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


def auxiliary_loss(
    outputs: Tensor | tuple[Tensor, ...],
    target: Tensor,
    criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    weight: float = AUXILIARY_WEIGHT,
) -> Tensor:
    """The loss of the main classifier plus ``weight`` times that of each auxiliary one (section 5, L2.1.5).

    Args:
        outputs: a tuple of logits, the main ones first, of any length; or a single tensor, as every network returns in
            evaluation.
        target: (N,) class indices.
        criterion: the loss, a function of logits and target.

    Returns:
        The loss, in the shape that ``criterion`` returns: one number for ``cross_entropy``. No argument is changed.
    """
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = criterion(logits, target)
    for other in auxiliary:
        loss = loss + weight * criterion(other, target)
    return loss


def renormalise(x: Tensor) -> Tensor:
    """Images (N, 3, H, W) normalised with ImageNet's mean and deviation, as those normalised with 0.5 and 0.5."""
    channels = [x[:, c : c + 1] * (STD[c] / 0.5) + (MEAN[c] - 0.5) / 0.5 for c in range(3)]  # each (N, 1, H, W)
    return cat(channels, 1)


class GoogLeNet(nn.Module):
    """Stem, nine inception modules, a single linear layer: (N, in_channels, H, W) -> (N, num_classes).

    With auxiliary classifiers, forward returns ``GoogLeNetOutputs`` in training; ``auxiliary_loss`` makes one loss of
    it.

    Args:
        aux_logits: build the auxiliary classifiers, ``aux1`` on module 4a and ``aux2`` on 4d.
        transform_input: take images normalised with ImageNet's mean and deviation, and normalise them with 0.5 and 0.5,
            as in the training of torchvision's published weights: those weights need it.
        dropout: the probability that a value before the linear layer is dropped. None: the variant's.
        dropout_aux: the same in the auxiliary classifiers.
        variant: ``"paper"`` or ``"torchvision"``, see the top of this file.

    Raises ValueError for an unknown variant and for ``transform_input`` with other than 3 channels, ShapeError for
    images below ``SMALLEST_INPUT``.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float | None = None,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
        variant: str = "paper",
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant (={variant!r}) must be one of {', '.join(map(repr, VARIANTS))}")
        if transform_input and in_channels != 3:
            raise ValueError(f"transform_input needs the 3 channels of RGB, got in_channels={in_channels}")
        self.variant = variant
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        conv = partial(BasicConv2d, variant=variant)
        max_pool = partial(nn.MaxPool2d, stride=2, ceil_mode=True)

        self.conv1 = conv(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = max_pool(3)
        self.norm1 = nn.LocalResponseNorm(5) if variant == "paper" else None
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.norm2 = nn.LocalResponseNorm(5) if variant == "paper" else None
        self.maxpool2 = max_pool(3)
        self.inception3a = self._inception("inception3a", 192)
        self.inception3b = self._inception("inception3b", 256)
        self.maxpool3 = max_pool(3)
        self.inception4a = self._inception("inception4a", 480)
        self.inception4b = self._inception("inception4b", 512)
        self.inception4c = self._inception("inception4c", 512)
        self.inception4d = self._inception("inception4d", 512)
        self.inception4e = self._inception("inception4e", 528)
        self.maxpool4 = max_pool(3 if variant == "paper" else 2)
        self.inception5a = self._inception("inception5a", 832)
        self.inception5b = self._inception("inception5b", 832)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux, variant) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux, variant) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(DROPOUT[variant] if dropout is None else dropout)
        self.fc = nn.Linear(1024, num_classes)

        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _inception(self, name: str, in_channels: int) -> Inception:
        """The module of that row of Table 1."""
        return Inception(in_channels, *FILTERS[name], variant=self.variant)

    def forward(self, x: Tensor) -> Any:  # Tensor | GoogLeNetOutputs, and only the mode says which
        """Table 1 from top to bottom: the modules of the constructor in their order, ``norm1`` and ``norm2`` if any.

        Args:
            x: (N, in_channels, H, W). ``require_size`` checks it; with ``transform_input``, ``renormalise`` comes next.

        Returns:
            Logits (N, num_classes). In training, if there are auxiliary classifiers, ``GoogLeNetOutputs``: ``aux1``
            reads the output of module 4a and ``aux2`` that of 4d. They do not run in evaluation.

        Raises:
            ShapeError: for images below the variant's ``SMALLEST_INPUT``.
        """
        require_size(x, SMALLEST_INPUT[self.variant])
        if self.transform_input:
            x = renormalise(x)
        x = self.conv1(x)  # (N, 3, 224, 224) -> (N, 64, 112, 112)
        x = self.maxpool1(x)  # (N, 64, 56, 56)
        if self.norm1 is not None:
            x = self.norm1(x)
        x = self.conv2(x)  # (N, 64, 56, 56)
        x = self.conv3(x)  # (N, 192, 56, 56)
        if self.norm2 is not None:
            x = self.norm2(x)
        x = self.maxpool2(x)  # (N, 192, 28, 28)

        x = self.inception3a(x)  # (N, 256, 28, 28)
        x = self.inception3b(x)  # (N, 480, 28, 28)
        x = self.maxpool3(x)  # (N, 480, 14, 14)

        x = after_4a = self.inception4a(x)  # (N, 512, 14, 14)
        x = self.inception4b(x)  # (N, 512, 14, 14)
        x = self.inception4c(x)  # (N, 512, 14, 14)
        x = after_4d = self.inception4d(x)  # (N, 528, 14, 14)
        x = self.inception4e(x)  # (N, 832, 14, 14)
        x = self.maxpool4(x)  # (N, 832, 7, 7)

        x = self.inception5a(x)  # (N, 832, 7, 7)
        x = self.inception5b(x)  # (N, 1024, 7, 7)

        x = self.avgpool(x)  # (N, 1024, 1, 1)
        x = x.flatten(1)  # (N, 1024)
        x = self.fc(self.dropout(x))  # (N, num_classes)
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(x, self.aux2(after_4d), self.aux1(after_4a))
        return x


@register(PAPER, ERRORS, variants=VARIANTS)
def googlenet(num_classes: int = 1000, **options: Any) -> GoogLeNet:
    """GoogLeNet: nine inception modules, with two auxiliary classifiers in training."""
    return GoogLeNet(num_classes, **options)
