"""Dropout layers."""

from __future__ import annotations

from ..tensors import Tensor
from . import functional as F
from .arguments import probability
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = probability("p", p)
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zero each value with probability ``p`` and scale the others by 1 / (1 - p).

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014. The
    numbers come from ``minicnn.manual_seed``'s stream. In evaluation the input is returned unchanged. ``inplace``
    is accepted and computed out of place, which gives the same values.

    Raises:
        ValueError: if ``p`` is not between 0 and 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """``Dropout`` of whole channels: (N, C, H, W) loses each of its N C maps with probability ``p``.

    Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015: neighbouring pixels are
    similar, so dropping single ones has little effect.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)
