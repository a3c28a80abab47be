"""Homework 1, broadcast.py: the holes, filled in another way."""

import numpy as np


def unbroadcast(gradient, shape):
    new_axes = gradient.ndim - len(shape)
    total = np.zeros(shape, gradient.dtype)
    for place in np.ndindex(*gradient.shape):
        origin = tuple(0 if length == 1 else at for at, length in zip(place[new_axes:], shape, strict=True))
        total[origin] += gradient[place]
    return total
