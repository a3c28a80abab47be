"""Homework 1, broadcast.py: the holes, filled in another way."""

import numpy as np


def unbroadcast(gradient, shape):
    stretched = (1,) * (gradient.ndim - len(shape)) + tuple(shape)
    for axis, length in enumerate(stretched):
        if length != gradient.shape[axis]:
            gradient = np.add.reduce(gradient, axis=axis, keepdims=True)
    return gradient.reshape(shape)
