"""Homework 3, pointwise.py: the holes, filled in another way."""

from minicnn.errors import ShapeError
from minicnn.ops import cat


def pointwise_conv2d(input, weight, bias):
    n, channels, height, width = input.shape
    kernels = weight.shape[0]
    if tuple(weight.shape) != (kernels, channels, 1, 1):
        raise ShapeError(f"a 1x1 kernel for {channels} channels, please; got {weight.shape}")
    # One image at a time: (K, C) @ (C, H * W) = (K, H * W).
    matrix = weight.reshape(kernels, channels)
    images = []
    for i in range(n):
        maps = matrix @ input[i].reshape(channels, height * width)
        images.append(maps.reshape(1, kernels, height, width))
    out = images[0] if n == 1 else cat(images, 0)
    return out if bias is None else out + bias.reshape(1, kernels, 1, 1)
