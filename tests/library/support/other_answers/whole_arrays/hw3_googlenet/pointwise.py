"""Homework 3, pointwise.py: the holes, filled in another way."""

from minicnn.errors import ShapeError
from minicnn.ops import cat


def pointwise_conv2d(input, weight, bias):
    if weight.ndim != 4 or input.ndim != 4 or weight.shape[2:] != (1, 1) or weight.shape[1] != input.shape[1]:
        raise ShapeError(f"weight {weight.shape} is no 1x1 kernel for {input.shape}")
    # Channel k of the output is a weighted sum of the input's maps: (N, C, H, W) * (C, 1, 1), summed over C.
    maps = []
    for k in range(weight.shape[0]):
        one = (input * weight[k]).sum(1, keepdim=True)
        maps.append(one if bias is None else one + bias[k])
    return cat(maps, 1)
