"""Homework 2, pooling.py: the holes, filled in another way."""

import numpy as np


def max_pool2d(x, window, out_size):
    n, c, h, w = x.shape
    maxima = np.empty((n, c, *out_size), x.dtype)
    positions = np.empty((n, c, *out_size), np.int64)
    for p in range(out_size[0]):
        for q in range(out_size[1]):
            top = p * window.stride[0] - window.padding[0][0]
            left = q * window.stride[1] - window.padding[1][0]
            rows = [r for r in range(top, top + window.extent(0), window.dilation[0]) if 0 <= r < h]
            cols = [s for s in range(left, left + window.extent(1), window.dilation[1]) if 0 <= s < w]
            seen = x[:, :, rows][..., cols].reshape(n, c, -1)
            winner = seen.argmax(axis=2)  # the first of equals, and NaN before all
            maxima[:, :, p, q] = np.take_along_axis(seen, winner[..., None], axis=2)[..., 0]
            positions[:, :, p, q] = np.array([r * w + s for r in rows for s in cols])[winner]
    return maxima, positions


def max_pool2d_grad(dy, indices, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    for n, c, p, q in np.ndindex(*dy.shape):
        row, column = divmod(indices[n, c, p, q], x_shape[3])
        dx[n, c, row, column] += dy[n, c, p, q]
    return dx
