"""Putting channels side by side, and taking them apart: copies of parts of each pixel, shared among the threads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from .inputs import floats, pixels
from .layout import empty_images
from .sharing import jobs, task


def cat_channels(xs: Sequence[np.ndarray]) -> np.ndarray:
    """Images (N, C_i, H, W) joined along the channels: (N, sum of C_i, H, W), channels last in memory."""
    there = [x for x in xs if x.size]
    alike = all(x.ndim == 4 and (x.shape[0], *x.shape[2:]) == (xs[0].shape[0], *xs[0].shape[2:]) for x in xs)
    if not there or not alike or not floats(*there) or any(x.dtype != there[0].dtype for x in xs):
        return np.concatenate(xs, axis=1)
    n, _, height, width = there[0].shape
    joined = empty_images(n, sum(x.shape[1] for x in there), height, width, there[0].dtype)
    for x, start in zip(there, accumulate((x.shape[1] for x in there), initial=0), strict=False):
        _copy_channels(x.dtype, jobs(x.size), pixels(x), 0, pixels(joined), start, x.shape[1])
    return joined


def split_channels(dy: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """The gradient of ``cat_channels``: (N, C, H, W) in pieces of so many channels, each channels last, and compact."""
    starts = list(accumulate(lengths, initial=0))
    if dy.ndim != 4 or not floats(dy) or starts[-1] != dy.shape[1]:
        return [dy[:, start : start + length].copy() for start, length in zip(starts, lengths, strict=False)]
    n, _, height, width = dy.shape
    rows = pixels(dy)
    pieces = []
    for start, length in zip(starts, lengths, strict=False):
        piece = empty_images(n, length, height, width, dy.dtype)
        if length:
            _copy_channels(dy.dtype, jobs(piece.size), rows, start, pixels(piece), 0, length)
        pieces.append(piece)
    return pieces


@task("T[:,::1], int64, T[:,::1], int64, int64")
def _copy_channels(job, jobs, source, source_start, target, target_start, count):
    """target[p, target_start + c] = source[p, source_start + c] for c < count."""
    for p in range(job * source.shape[0] // jobs, (job + 1) * source.shape[0] // jobs):
        some = source[p, source_start : source_start + count]
        out = target[p, target_start : target_start + count]
        for c in range(out.size):
            out[c] = some[c]
