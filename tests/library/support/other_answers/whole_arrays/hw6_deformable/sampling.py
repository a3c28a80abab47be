"""Homework 6, sampling.py: the holes, filled in another way."""

import numpy as np
from numba import njit


def place(offset, group, tap, p, q, window):
    row, left_over = 0, tap
    while left_over >= window.kernel_size[1]:
        row, left_over = row + 1, left_over - window.kernel_size[1]
    before = group * window.kernel_size[0] * window.kernel_size[1] + tap  # taps whose offsets come before this one's
    moved_down, moved_right = offset[before + before, p, q], offset[before + before + 1, p, q]
    start = p * window.stride[0] - window.padding[0][0], q * window.stride[1] - window.padding[1][0]
    return start[0] + row * window.dilation[0] + moved_down, start[1] + left_over * window.dilation[1] + moved_right


@njit(cache=True)
def along(v, length):
    """One axis: the pixel at or before v, what it counts, and what the next one counts; 0 for one that is not there."""
    first = int(np.floor(v))
    past = v - first
    return first, (1 - past if first >= 0 else 0.0), (past if first + 1 < length else 0.0)


def corners(y, x, height, width):
    if np.isnan(y) or np.isnan(x) or y < -1 or x < -1 or y >= height or x >= width:
        return (0, 0, 0, 0), (0.0, 0.0, 0.0, 0.0)
    top, upper, lower = along(y, height)
    left, near, far = along(x, width)
    weights = (upper * near, upper * far, lower * near, lower * far)
    rows = (max(top, 0) * width, min(top + 1, height - 1) * width)
    columns = (max(left, 0), min(left + 1, width - 1))
    in_rows, in_columns = (int(top >= 0), int(top + 1 < height)), (int(left >= 0), int(left + 1 < width))
    addresses = (
        (rows[0] + columns[0]) * in_rows[0] * in_columns[0],
        (rows[0] + columns[1]) * in_rows[0] * in_columns[1],
        (rows[1] + columns[0]) * in_rows[1] * in_columns[0],
        (rows[1] + columns[1]) * in_rows[1] * in_columns[1],
    )
    return addresses, weights


def slopes(y, x, height, width):
    # The weights are linear in y within a square: the slope is what they change by from its upper edge to its lower.
    if not (np.isfinite(y) and np.isfinite(x)) or y < -1 or x < -1 or y >= height or x >= width:
        return (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    top, upper, lower = along(y, height)
    left, near, far = along(x, width)
    up, down = (1.0 if top >= 0 else 0.0), (1.0 if top + 1 < height else 0.0)
    west, east = (1.0 if left >= 0 else 0.0), (1.0 if left + 1 < width else 0.0)
    in_y = (-up * near, -up * far, down * near, down * far)
    in_x = (-west * upper, east * upper, -west * lower, east * lower)
    return in_y, in_x


def gather(plane, addresses, weights, samples):
    for w in range(len(samples)):
        samples[w] = (weights[:, w] * plane[addresses[:, w]]).sum()


def scatter(cotangent, addresses, weights, d_plane):
    for corner in range(3, -1, -1):
        for w in range(len(cotangent) - 1, -1, -1):
            pixel = addresses[corner, w]
            d_plane[pixel] = d_plane[pixel] + cotangent[w] * weights[corner, w]


def weight_grad(cotangent, plane, addresses, d_weights):
    for w, arrives in enumerate(cotangent):
        for corner, address in enumerate(addresses[:, w]):
            d_weights[corner, w] = d_weights[corner, w] + plane[address] * arrives


def offset_grad(d_weights, weights, slopes_y, slopes_x, modulation, d_y, d_x, d_modulation):
    d_y[:] = 0
    d_x[:] = 0
    d_modulation[:] = 0
    for corner in range(3, -1, -1):
        d_y += modulation * d_weights[corner] * slopes_y[corner]
        d_x += modulation * d_weights[corner] * slopes_x[corner]
        d_modulation += d_weights[corner] * weights[corner]
