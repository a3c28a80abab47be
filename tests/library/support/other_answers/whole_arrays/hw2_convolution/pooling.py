"""Homework 2, pooling.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend.reference.conv import taps

if TYPE_CHECKING:
    from minicnn.backend.reference.pooling import _pad_to_fit


def max_pool2d(x, window, out_size):
    lowest = -np.inf
    n, c, _, w = x.shape
    numbers = np.broadcast_to(np.arange(x.shape[2] * w, dtype=float).reshape(-1, w), x.shape)
    pixels = np.stack([_pad_to_fit(x, window, out_size, lowest)[:, :, *seen] for _, _, seen in taps(window, out_size)])
    origin = np.stack(
        [_pad_to_fit(numbers, window, out_size, lowest)[:, :, *seen] for _, _, seen in taps(window, out_size)]
    )
    # argmax takes the first of equals, and a NaN for the largest; where all is minus infinity so is the padding
    inside = (origin >= 0).argmax(axis=0)
    winner = np.where(pixels.max(axis=0) == lowest, inside, pixels.argmax(axis=0))[None]
    positions = np.take_along_axis(origin, winner, axis=0)[0].astype(np.int64)
    return np.take_along_axis(pixels, winner, axis=0)[0], positions


def max_pool2d_grad(dy, indices, x_shape):
    n, c, h, w = x_shape
    first = np.arange(n * c).reshape(n, c, 1, 1) * (h * w)
    sums = np.bincount((indices + first).ravel(), weights=dy.ravel(), minlength=n * c * h * w)
    return sums.reshape(x_shape).astype(dy.dtype)
