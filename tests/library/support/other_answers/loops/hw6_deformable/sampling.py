"""Homework 6, sampling.py: the holes, filled in another way."""

import math

import numpy as np
from numba import njit


def place(offset, group, tap, p, q, window):
    kernel_h, kernel_w = window.kernel_size
    by_tap = offset.reshape(-1, kernel_h * kernel_w, 2, offset.shape[1], offset.shape[2])
    (above, _), (left, _) = window.padding
    row, column = divmod(tap, kernel_w)
    y = window.stride[0] * p + window.dilation[0] * row - above
    x = window.stride[1] * q + window.dilation[1] * column - left
    return y + by_tap[group, tap, 0, p, q], x + by_tap[group, tap, 1, p, q]


@njit(cache=True)
def hat(distance):
    """1 on the pixel, 0 from the next one on."""
    return max(0.0, 1 - abs(distance))


@njit(cache=True)
def sum_of_products(a, b):
    """Of four pairs."""
    return a[0] * b[0] + a[1] * b[1] + (a[2] * b[2] + a[3] * b[3])


@njit(cache=True)
def exists(row, column, height, width):
    """Whether the image has this pixel."""
    return 0 <= row < height and 0 <= column < width


def corners(y, x, height, width):
    addresses, weights = np.zeros(4, np.int64), np.zeros(4)
    if abs(y) < height + 2 and abs(x) < width + 2:
        for corner in range(4):
            row, column = math.floor(y) + corner // 2, math.floor(x) + corner % 2
            if exists(row, column, height, width):
                addresses[corner] = row * width + column
                weights[corner] = hat(row - y) * hat(column - x)
    return (
        (addresses[0], addresses[1], addresses[2], addresses[3]),
        (weights[0], weights[1], weights[2], weights[3]),
    )


def slopes(y, x, height, width):
    in_y, in_x = np.zeros(4), np.zeros(4)
    if abs(y) < height + 2 and abs(x) < width + 2:
        for corner in range(4):
            row, column = math.floor(y) + corner // 2, math.floor(x) + corner % 2
            if exists(row, column, height, width):
                in_y[corner] = (2 * (corner // 2) - 1) * hat(column - x)
                in_x[corner] = (2 * (corner % 2) - 1) * hat(row - y)
    return (in_y[0], in_y[1], in_y[2], in_y[3]), (in_x[0], in_x[1], in_x[2], in_x[3])


def gather(plane, addresses, weights, samples):
    samples[:] = 0
    for corner in range(4):
        for w in range(samples.size):
            samples[w] += weights[corner, w] * plane[addresses[corner, w]]


def scatter(cotangent, addresses, weights, d_plane):
    for corner in range(4):
        d_plane += np.bincount(addresses[corner], weights[corner] * cotangent, d_plane.size)


def weight_grad(cotangent, plane, addresses, d_weights):
    for w in range(cotangent.size):
        for corner in range(4):
            brought = plane[addresses[corner, w]]
            d_weights[corner, w] += brought * cotangent[w]


def offset_grad(d_weights, weights, slopes_y, slopes_x, modulation, d_y, d_x, d_modulation):
    for w, m in enumerate(modulation):
        bars = d_weights[0, w], d_weights[1, w], d_weights[2, w], d_weights[3, w]
        d_y[w] = sum_of_products(bars, slopes_y[:, w]) * m
        d_x[w] = sum_of_products(bars, slopes_x[:, w]) * m
        d_modulation[w] = sum_of_products(bars, weights[:, w])
