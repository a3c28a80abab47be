"""Homework 7, receptive_field.py: the holes, filled in another way."""

import numpy as np

from minicnn.autograd import grad
from minicnn.tensors import Tensor


def receptive_field(layers):
    fields = []
    for depth in range(1, len(layers) + 1):
        side, distance = 1, 1
        for kernel, stride, dilation in reversed(layers[:depth]):  # from the one unit back to the image
            side = (side - 1) * stride + (kernel - 1) * dilation + 1
            distance *= stride
        fields.append((side, distance))
    return fields


def centre_gradient(network, images):
    x = images.detach().requires_grad_()
    output = network(x)
    mask = np.zeros(output.shape)
    for row in range(mask.shape[2]):
        for column in range(mask.shape[3]):
            if row == mask.shape[2] // 2 and column == mask.shape[3] // 2:
                mask[:, :, row, column] = 1
    unit = (output * Tensor(mask).to(output.device, dtype=output.dtype)).sum()
    (gradient,) = grad(unit, x, allow_unused=True)
    total = np.zeros(images.shape) if gradient is None else gradient.cpu().numpy().astype(np.float64)
    strength = np.zeros(images.shape[2:])
    for image in np.abs(total):
        for plane in image:
            strength += plane
    if strength.max() == 0:
        return strength
    return strength / strength.max()


def effective_size(sensitivity, threshold):
    pixels = 0
    for row in sensitivity:
        for value in row:
            if value > threshold:
                pixels += 1
    return pixels**0.5
