"""Homework 6, deform_conv.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.ops.deformable import DeformIm2col


def sample_and_convolve(input, offset, weight, bias, window, mask, groups, offset_groups):
    # every product at once, (G, K/G, C/G * kH * kW, N * oH * oW), then the sum: memory for a matrix product
    samples = DeformIm2col.apply(input, offset, mask, window, offset_groups)
    per_group = samples.shape[0] // groups
    samples = samples.reshape(groups, 1, per_group, samples.shape[1])
    kernels = weight.reshape(groups, weight.shape[0] // groups, per_group, 1)
    y = (kernels * samples).sum(2)
    out_h, out_w = window.output_size(input.shape[2:])
    y = y.reshape(weight.shape[0], input.shape[0], out_h * out_w).permute(1, 0, 2)
    if bias is not None:
        y = y + bias.reshape(1, -1, 1)
    return y.reshape(input.shape[0], weight.shape[0], out_h, out_w).contiguous()
