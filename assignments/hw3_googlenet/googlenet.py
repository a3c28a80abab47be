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
from typing import TYPE_CHECKING, Any

from minicnn import nn
from minicnn.nn import functional as F
from minicnn.ops import cat
from minicnn.tensors import Tensor
from minicnn.models.input_size import require_size

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.googlenet import (
        AUXILIARY_WEIGHT, DROPOUT, FILTERS, SMALLEST_INPUT, VARIANTS, BasicConv2d, GoogLeNetOutputs, renormalise,
    )


class NaiveInception(nn.Module):
    """The module without reductions (Figure 2a, L2.1.1): (N, C, H, W) -> (N, ch1x1 + ch3x3 + ch5x5 + C, H, W).

    Four branches read the input and are concatenated along the channels, in this order: ``branch1``, ``branch2`` and
    ``branch3``, a ``BasicConv2d`` each with 1x1, 3x3 and 5x5 kernels (in either variant), and ``branch4``, 3x3 max
    pooling with stride 1. All maps stay H x W. No network here uses it: each module would be wider than the previous
    one.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3: int, ch5x5: int, variant: str = "paper") -> None:
        # super().__init__() first, then the four branches, each under its name.
        raise NotImplementedError("hw3.3 NaiveInception.__init__: not written yet, see assignments/hw3_googlenet/README.md")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("hw3.3 NaiveInception.forward: not written yet, see assignments/hw3_googlenet/README.md")


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
        # super().__init__() first, then the four branches, each under its name.
        # The variant decides one kernel size.
        raise NotImplementedError("hw3.4 Inception.__init__: not written yet, see assignments/hw3_googlenet/README.md")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("hw3.4 Inception.forward: not written yet, see assignments/hw3_googlenet/README.md")


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
        # (N, in_channels, H, W) -> (N, in_channels, 4, 4): which pooling? Ask self.variant and x.shape.
        # -> (N, 128, 4, 4) -> (N, 2048) -> (N, 1024) -> (N, num_classes)
        raise NotImplementedError("hw3.6 InceptionAux.forward: not written yet, see assignments/hw3_googlenet/README.md")


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
    raise NotImplementedError("hw3.7 auxiliary_loss: not written yet, see assignments/hw3_googlenet/README.md")


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
        # require_size(x, SMALLEST_INPUT[self.variant]), then renormalise if self.transform_input.
        # Then Table 1, from top to bottom; keep what the auxiliary classifiers read.
        raise NotImplementedError("hw3.8 GoogLeNet.forward: not written yet, see assignments/hw3_googlenet/README.md")
