"""Pooling layers: (N, C, H, W) -> (N, C, H', W'), each channel separately."""

from __future__ import annotations

from typing import Any

from ..tensors import Tensor
from . import functional as F
from .arguments import Pair, pair, pooling_window
from .module import Module

OutputSize = int | None | tuple[int | None, int | None]


class MaxPool2d(Module):
    """The largest value under a sliding window.

    H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, rounded up with ``ceil_mode``
    as long as the last window starts inside the image or its left padding. Padding is never the maximum.

    Args:
        kernel_size, stride, padding, dilation: an integer or a pair; the stride is ``kernel_size`` if None.
        return_indices: return also where, in each channel's flattened image, the maximum was.
        ceil_mode: round the output size up.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = _window(kernel_size, stride, padding, dilation)
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean under a sliding window.

    Args:
        kernel_size, stride, padding: an integer or a pair; the stride is ``kernel_size`` by default.
        ceil_mode: round the output size up.
        count_include_pad: whether zeros of the padding count in the divisor.
        divisor_override: divide by this instead.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, _ = _window(kernel_size, stride, padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean over windows chosen so that the output has ``output_size``, whatever the input's size.

    Args:
        output_size: one integer or a pair (height, width); None keeps the input's.
    """

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        lengths = output_size if isinstance(output_size, (tuple, list)) else (output_size,)
        pair("output_size", [1 if length is None else length for length in lengths], 1)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


def _window(kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair = 1) -> tuple[Pair, ...]:
    """The arguments in the form in which they were given, checked, with the stride filled in."""
    window = pooling_window(kernel_size, stride, padding, dilation)
    above_left = window.padding[0][0], window.padding[1][0]
    given = (kernel_size, kernel_size if stride is None else stride, padding, dilation)
    return tuple(map(_as_given, given, (window.kernel_size, window.stride, above_left, window.dilation)))


def _as_given(value: Pair, numbers: tuple[int, int]) -> Pair:
    return numbers if isinstance(value, (tuple, list)) else numbers[0] if numbers[0] == numbers[1] else numbers
