"""The deformable convolution layer (lecture line L2.3.4)."""

from __future__ import annotations

from ..devices import Place
from ..dtypes import DType
from ..tensors import Tensor
from . import functional as F
from .arguments import Pair
from .conv import Conv2d


class DeformConv2d(Conv2d):
    """A convolution whose sampling points are an input: forward takes the image, the offsets and, in version 2, a mask.

    The offsets (N, 2 * offset_groups * kH * kW, H', W') hold, for tap i of the kernel in reading order, dy in channel
    2i and dx in channel 2i + 1, in pixels; the mask (N, offset_groups * kH * kW, H', W') holds a weight per sample.
    Both usually come from an ordinary convolution of the same image, as in ``models/deformable.py``. Names, parameters
    and results are those of ``torchvision.ops.DeformConv2d`` [Dai et al., ICCV 2017; Zhu et al., CVPR 2019].

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in ``Conv2d``.

    Raises:
        ShapeError: when called with offsets or a mask that do not fit; the message says how they are ordered.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        device: Place | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device=device, dtype=dtype
        )

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return F.deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)
