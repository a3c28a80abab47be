"""Putting channels side by side, and taking them apart: copies of parts of each pixel, shared among the threads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from .inputs import floats
from .layout import channels_last, copy_pixels, empty_images, pixel_step


def cat_channels(xs: Sequence[np.ndarray]) -> np.ndarray:
    """Images (N, C_i, H, W) joined along the channels: (N, sum of C_i, H, W), channels last in memory."""
    there = [x for x in xs if x.size]
    alike = all(x.ndim == 4 and (x.shape[0], *x.shape[2:]) == (xs[0].shape[0], *xs[0].shape[2:]) for x in xs)
    if not there or not alike or not floats(*there) or any(x.dtype != there[0].dtype for x in xs):
        return np.concatenate(xs, axis=1)
    n, _, height, width = there[0].shape
    joined = empty_images(n, sum(x.shape[1] for x in there), height, width, there[0].dtype)
    parts = [x if pixel_step(x) else channels_last(x).transpose(0, 3, 1, 2) for x in there]
    copy_pixels(parts, channels_last(joined))
    return joined


def split_channels(dy: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """The gradient of ``cat_channels``: (N, C, H, W) in pieces of so many channels; views."""
    starts = accumulate(lengths, initial=0)
    return [dy[:, start : start + length] for start, length in zip(starts, lengths, strict=False)]
