"""Homework 6, deform_conv.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

from minicnn.ops.joining import cat

if TYPE_CHECKING:
    from minicnn.ops.deformable import DeformIm2col


def sample_and_convolve(input, offset, weight, bias, window, mask, groups, offset_groups):
    samples = DeformIm2col.apply(input, offset, mask, window, offset_groups)
    rows, filters = samples.shape[0] // groups, weight.shape[0] // groups
    parts = []
    for group in range(groups):
        kernels = weight[group * filters : (group + 1) * filters].reshape(filters, rows)
        parts.append(kernels @ samples[group * rows : (group + 1) * rows])
    y = cat(parts, 0)
    if bias is not None:
        y = y + bias.unsqueeze(1)
    return y.reshape(-1, input.shape[0], *window.output_size(input.shape[2:])).permute(1, 0, 2, 3).contiguous()
