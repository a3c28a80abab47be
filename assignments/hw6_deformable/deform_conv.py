"""Deformable convolution [Dai et al., 2017; Zhu et al., 2019]: sample on an irregular grid, then convolve.

The sampling is the backend's (``backend/reference/deformable.py`` is the version to read); what remains here is a
matrix product like that of any convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicnn.backend.base import Window
from minicnn.tensors import Tensor

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.ops.deformable import DeformIm2col


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
    # columns  (C * kH * kW, N * oH * oW), cut into the groups:  (G, C/G * kH * kW, N * oH * oW)
    # filters                                                    (G, K/G, C/G * kH * kW)
    # output   (G, K/G, N * oH * oW) = filters @ columns, then reordered to (N, K, oH, oW)
    raise NotImplementedError("hw6.7 sample_and_convolve: not written yet, see assignments/hw6_deformable/README.md")
