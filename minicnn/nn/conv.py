"""The convolution layer."""

from __future__ import annotations

from .. import creation
from ..devices import Place
from ..dtypes import DType
from ..tensors import Tensor
from . import functional as F
from . import init
from .arguments import Pair, convolution_padding, divisible, integer, pair
from .module import Module
from .parameter import Parameter


class Conv2d(Module):
    """A filter bank slid over an image: (N, in_channels, H, W) -> (N, out_channels, H', W').

    H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, and W' likewise. ``weight`` is
    (out_channels, in_channels / groups, kH, kW), ``bias`` (out_channels,) or None.

    Args:
        kernel_size, stride, padding, dilation: an integer, or a pair (height, width).
        padding: also ``"same"`` (output as large as the input, stride 1 only) or ``"valid"`` (none).
        groups: split the channels into this many independent convolutions.
        padding_mode: only ``"zeros"``.

    Raises:
        TypeError: for a kernel_size, stride, padding or dilation that is not an integer.
        ValueError: for arguments that are too small or do not fit together; the message quotes them.
        ShapeError: when called on an input that is not (N, in_channels, H, W) or too small for the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: str | Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Place | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
        self.groups = integer("groups", groups, 1)
        divisible(in_channels=self.in_channels, groups=self.groups)
        divisible(out_channels=self.out_channels, groups=self.groups)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.dilation = pair("dilation", dilation, 1)
        self.padding = convolution_padding(padding, self.stride)
        if padding_mode != "zeros":
            raise ValueError(f"expected padding_mode 'zeros', the only one here, got {padding_mode!r}")
        self.padding_mode = padding_mode

        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(creation.zeros(shape, dtype=dtype, device=device))
        self.bias: Parameter | None
        if bias:
            self.bias = Parameter(creation.zeros(shape[:1], dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform in +-1 / sqrt(fan_in), fan_in = kH kW in_channels / groups."""
        init.default_affine_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        usual = {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"
