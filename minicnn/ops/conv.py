"""Convolution. What computes is the backend: ``backend/reference/conv.py`` is the version to read."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..backend.base import Window
from ..errors import ShapeError
from ..tensors import Tensor
from .geometry import convolution_window, on_batch, pair
from .matrix import check_dtypes, linear
from .shape import permute, reshape


class Conv2d(Function):
    """y = x * w + b. Linear in x and in w, so each gradient is the adjoint of one of two linear maps.

    The bias is added to every pixel of a channel, so its gradient sums over them.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, window: Window, groups: int) -> Any:
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.x_shape, ctx.weight_shape, ctx.window, ctx.groups = x.shape, weight.shape, window, groups
        y = ctx.backend.conv2d(x, weight, window, groups)
        if bias is not None:
            y += bias[:, None, None]  # (N, K, oH, oW) + (K, 1, 1)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight = ctx.saved_tensors
        geometry = ctx.window, ctx.groups
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        return (
            ctx.backend.conv2d_input_grad(dy, weight, ctx.x_shape, *geometry) if wants_x else None,
            ctx.backend.conv2d_weight_grad(dy, x, ctx.weight_shape, *geometry) if wants_weight else None,
            dy.sum(axis=(0, 2, 3)) if wants_bias else None,
            None,
            None,
        )


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """2-D convolution (cross-correlation: the kernel is not flipped), as ``torch.nn.functional.conv2d``.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        weight: (K, C / groups, kH, kW).
        bias: (K,) or ``None``.
        stride, dilation: an int or a pair (along height, along width).
        padding: an int, a pair, ``"valid"`` or ``"same"``.
        groups: channels and filters are cut into this many parts that do not see each other.

    On the CPU, large 3x3 convolutions in float32 take Winograd's form, in which infinities mostly become NaN:
    ``minicnn.backend.cpu.allow_winograd = False`` keeps them (``backend/cpu/README.md`` has the accuracies).

    Returns:
        (N, K, oH, oW) with oH = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1, and so oW.

    Raises:
        ShapeError: if channels, groups and weight do not fit, or the kernel is larger than the padded image.
        TypeError: for a stride, padding or dilation that is no integer.
        ValueError: for an invalid stride, padding, dilation or groups.
    """
    if weight.ndim != 4:
        raise ShapeError(f"expected a weight (out_channels, in_channels / groups, kH, kW), got shape {weight.shape}")
    window = convolution_window(pair("kernel_size", weight.shape[2:], 1), stride, padding, dilation)
    return on_batch(input, lambda batch: _convolve(batch, weight, bias, window, groups))


def _convolve(input: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    channels, (filters, per_group) = input.shape[1], weight.shape[:2]
    if not filters:
        raise ShapeError(f"expected at least one output channel, got a weight of shape {weight.shape}")
    if groups < 1 or filters % groups:
        raise ShapeError(f"expected groups to divide the {filters} output channels, got groups={groups}")
    if channels != per_group * groups:
        raise ShapeError(f"expected {per_group * groups} input channels, got {channels}")
    if bias is not None and bias.shape != (filters,):
        raise ShapeError(f"expected a bias of shape ({filters},), got {bias.shape}")
    check_dtypes(input, weight, bias)
    if min(window.output_size(input.shape[2:])) < 1:
        raise ShapeError(
            f"expected an input of at least {window.extent(0)}x{window.extent(1)} pixels with its padding "
            f"{window.padding}, got {input.shape[2]}x{input.shape[3]}"
        )
    return Conv2d.apply(input, weight, bias, window, groups)


def pointwise_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv2d`` with a 1x1 kernel, by a single matrix product over all pixels of all images (lecture L2.1.3).

    At every pixel the vector of C channels becomes ``weight @ vector + bias``, a vector of K channels.

    Args:
        input: (N, C, H, W).
        weight: (K, C, 1, 1), as ``Conv2d`` keeps it.
        bias: (K,) or None.

    Returns:
        (N, K, H, W).

    Raises:
        ShapeError: if ``weight`` is not (K, C, 1, 1) with the C of ``input``.
    """
    if input.ndim != 4 or weight.ndim != 4 or weight.shape[1:] != (input.shape[1], 1, 1):
        raise ShapeError(f"expected (N, C, H, W) and (K, C, 1, 1), got shapes {input.shape} and {weight.shape}")
    pixels = permute(input, 0, 2, 3, 1)  # (N, H, W, C): the channels of a pixel side by side
    out = linear(pixels, reshape(weight, weight.shape[:2]), bias)  # (N, H, W, K)
    return permute(out, 0, 3, 1, 2)  # (N, K, H, W)
