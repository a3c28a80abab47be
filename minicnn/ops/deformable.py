"""Deformable convolution [Dai et al., 2017; Zhu et al., 2019]: sample on an irregular grid, then convolve.

The sampling is the backend's (``backend/reference/deformable.py`` is the version to read); what remains here is a
matrix product like that of any convolution.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..autograd import Function
from ..backend.base import Window
from ..errors import ShapeError
from ..tensors import Tensor
from .geometry import convolution_window, on_batch, pair
from .matrix import check_dtypes


class DeformIm2col(Function):
    """columns = samples of x where the offsets point, times the mask; all three get a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any, offset: Any, mask: Any, window: Window, offset_groups: int) -> Any:
        taps, places = offset_groups * prod(window.kernel_size), window.output_size(x.shape[2:])
        for what, array, channels in (("offset", offset, 2 * taps), ("mask", mask, taps)):
            wanted = (len(x), channels, *places)
            if array is not None and array.shape != wanted:
                raise ShapeError(f"expected {what} {wanted} for {offset_groups} groups, got shape {array.shape}")
        ctx.save_for_backward(x, offset, mask)
        ctx.window, ctx.offset_groups = window, offset_groups
        return ctx.backend.deform_im2col(x, offset, mask, window, offset_groups)

    @staticmethod
    def backward(ctx: Any, d_columns: Any) -> Any:
        gradients = ctx.backend.deform_im2col_grad(d_columns, *ctx.saved_tensors, ctx.window, ctx.offset_groups)
        return (*gradients, None, None)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution, as ``torchvision.ops.deform_conv2d`` (lecture line L2.3.4).

    Args:
        input: (N, C, H, W), or one image (C, H, W) with offset and mask alike.
        offset: (N, 2 * offset_groups * kH * kW, oH, oW): for each group of input channels and each tap of the kernel
            in reading order, channel 2i is dy (down) and channel 2i + 1 is dx (right), in pixels.
        weight: (K, C / groups, kH, kW).
        bias: (K,) or ``None``.
        stride, padding, dilation: as of ``conv2d``.
        mask: (N, offset_groups * kH * kW, oH, oW), a weight for each sample (version 2), or ``None``.

    The numbers of groups are read off the shapes. Samples between pixels are interpolated bilinearly; pixels
    outside the image are 0. On a grid line, where the slope in an offset jumps, the gradient is the slope towards
    larger coordinates.

    Returns:
        (N, K, oH, oW).

    Raises:
        ShapeError: if the shapes do not fit; for offsets the message spells out their order.
    """
    if weight.ndim != 4:
        raise ShapeError(f"expected a weight (out_channels, in_channels / groups, kH, kW), got shape {weight.shape}")
    window = convolution_window(pair("kernel_size", weight.shape[2:], 1), stride, padding, dilation)
    if input.ndim == 3:
        offset, mask = offset.unsqueeze(0), None if mask is None else mask.unsqueeze(0)
    return on_batch(input, lambda batch: _convolve(batch, offset, weight, bias, window, mask))


def _convolve(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, window: Window, mask: Tensor | None
) -> Tensor:
    n, channels = input.shape[:2]
    filters, per_group = weight.shape[:2]
    groups = channels // per_group if per_group else 0
    if groups < 1 or channels % per_group or filters % groups:
        raise ShapeError(
            f"expected input channels that are a multiple of {per_group}, in groups that divide the {filters} output "
            f"channels, got {channels}"
        )
    if bias is not None and bias.shape != (filters,):
        raise ShapeError(f"expected a bias of shape ({filters},), got {bias.shape}")
    out_size = window.output_size(input.shape[2:])
    if min(out_size) < 1:
        raise ShapeError(
            f"expected an input of at least {window.extent(0)}x{window.extent(1)} pixels, got {input.shape}"
        )
    offset_groups = _offset_groups(offset, mask, n, channels, window, out_size)
    check_dtypes(input, weight, bias)
    check_dtypes(input, offset, mask)

    return sample_and_convolve(input, offset, weight, bias, window, mask, groups, offset_groups)


def sample_and_convolve(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    mask: Tensor | None,
    groups: int,
    offset_groups: int,
) -> Tensor:
    """``deform_conv2d`` of a batch whose shapes have been checked: ``DeformIm2col``, then a product for each group.

    ``DeformIm2col.apply(input, offset, mask, window, offset_groups)`` is a tensor (C * kH * kW, N * oH * oW). Its rows
    are in the order of ``im2col``: by channel, then by tap; its columns by image, then by window. Group g of the
    filters, the g-th of ``groups`` equal runs, sees group g of the channels only.

    Args:
        input: (N, C, H, W).
        offset, mask: as of ``deform_conv2d``.
        weight: (K, C / groups, kH, kW).
        bias: (K,), added to each output channel, or ``None``.
        window: the geometry; ``window.output_size((H, W))`` is (oH, oW).
        groups: of the convolution: how the filters share out the channels.
        offset_groups: of the offsets: how many runs of channels have offsets of their own.

    Returns:
        (N, K, oH, oW), contiguous.
    """
    n, filters = input.shape[0], weight.shape[0]
    columns = DeformIm2col.apply(input, offset, mask, window, offset_groups)  # (C*kH*kW, N*oH*oW)
    columns = columns.reshape(groups, columns.shape[0] // groups, -1)
    y = weight.reshape(groups, filters // groups, -1) @ columns  # (G, K/G, N*oH*oW)
    y = y.reshape(filters, n, *window.output_size(input.shape[2:])).transpose(0, 1)  # (N, K, oH, oW)
    return (y if bias is None else y + bias.reshape(-1, 1, 1)).contiguous()


def _offset_groups(
    offset: Tensor, mask: Tensor | None, n: int, channels: int, window: Window, out_size: tuple[int, int]
) -> int:
    """How many groups of channels have offsets of their own; checks the shapes of offset and mask."""
    taps = window.kernel_size[0] * window.kernel_size[1]
    if offset.ndim != 4 or offset.shape[1] % (2 * taps) or not offset.shape[1]:
        raise ShapeError(
            f"expected offsets with 2 * offset_groups * {taps} channels, a pair (dy, dx) for each of the {taps} taps: "
            f"channel 2i is dy and 2i + 1 is dx of tap i, in reading order; got shape {offset.shape}"
        )
    groups = offset.shape[1] // (2 * taps)
    if channels % groups:
        raise ShapeError(f"expected offset_groups to divide the {channels} input channels, got {groups}")
    for name, x, rows in (("offset", offset, 2 * groups * taps), ("mask", mask, groups * taps)):
        if x is not None and x.shape != (n, rows, *out_size):
            raise ShapeError(f"expected {name} of shape {(n, rows, *out_size)}, got {x.shape}")
    return groups
