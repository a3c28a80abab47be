"""Images in memory: channels last, under shapes that say channels first.

All of minicnn speaks of (N, C, H, W). The numbers of the CPU backend lie in the order (N, H, W, C): all channels of a
pixel side by side, so that a vector holds 16 channels of one pixel, whatever the image's size. A transposed view gives
one the shape of the other, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import memory
from .compiling import LOCK, kernel
from .microkernel import copy_bytes
from .records import record
from .sharing import share_out

LARGE = 1 << 16  # numbers, to copy with all threads
JOBS = 16
BLOCKS = 8  # of an image


def empty_images(n: int, channels: int, height: int, width: int, dtype: Any) -> np.ndarray:
    """New images (N, C, H, W), channels last in memory, of any content."""
    return memory.empty((n, height, width, channels), dtype).transpose(0, 3, 1, 2)


def channels_last(x: np.ndarray) -> np.ndarray:
    """The images (N, C, H, W) as a C-contiguous array (N, H, W, C): a view where they lie like that, else a copy."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous and view.flags.aligned:
        return view
    copy = memory.empty(view.shape, view.dtype)
    if x.size > LARGE and pixel_step(x):
        copy_pixels([x], copy)
    elif x.flags.c_contiguous and x.flags.aligned and x.flags.writeable and x.size > LARGE:
        n, channels, height, width = x.shape
        with LOCK:
            _interleave(x.reshape(n, channels, height * width), copy.reshape(n, height * width, channels))
    else:
        copy[...] = view
    return copy


def even_pixels(x: np.ndarray) -> np.ndarray:
    """The images (N, C, H, W) as an array (N, H, W, C) whose pixels lie at even distances: a view where they do, as
    channels ``big[:, a:b]`` of larger images, else a copy. ``pixel_bytes`` has the distance.
    """
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous and view.flags.aligned:
        return view
    return view if pixel_step(x) else channels_last(x)


def pixel_bytes(images: np.ndarray) -> int:
    """Bytes from a pixel of ``even_pixels`` (N, H, W, C) to the next."""
    if images.flags.c_contiguous:
        return images.shape[3] * images.itemsize
    step = pixel_step(images.transpose(0, 3, 1, 2))
    assert step is not None
    return step


def pixel_step(x: np.ndarray) -> int | None:
    """Bytes from a pixel of images x to the next, if each pixel's channels lie side by side and the pixels at even
    distances, as those of images and of parts of their channels do; else ``None``.
    """
    if x.ndim != 4 or not x.size or not x.flags.aligned or (x.shape[1] > 1 and x.strides[1] != x.itemsize):
        return None
    n, channels, height, width = x.shape
    steps = ((width, x.strides[3], 1), (height, x.strides[2], width), (n, x.strides[0], width * height))
    found = {stride / pixels for length, stride, pixels in steps if length > 1}  # an axis of length 1 has no step
    step = int(found.pop()) if found else channels * x.itemsize
    return step if not found and step >= channels * x.itemsize and step % x.itemsize == 0 else None


class Part(NamedTuple):
    """Images whose pixels are copied into larger ones."""

    source: int  # address
    step: int  # bytes from a pixel to the next
    to: int  # address in the first pixel of the larger ones
    size: int  # bytes of a pixel


PART = record(Part)


def copy_pixels(parts: Sequence[np.ndarray], joined: np.ndarray) -> None:
    """Write images with pixels, one after the other along the channels, into joined (N, H, W, C)."""
    table, done = [], joined.ctypes.data
    for part in parts:
        step = pixel_step(part)
        assert step is not None
        table.append(Part(part.ctypes.data, step, done, part.shape[1] * part.itemsize))
        done += table[-1].size
    step = joined.shape[3] * joined.itemsize
    with LOCK:
        _copy_pixels(np.array(table, PART), step, joined.size // joined.shape[3])


def pixels(x: np.ndarray) -> np.ndarray:
    """(N, C) or (N, C, ...) as a C-contiguous (P, C), one row a pixel: a view where x is channels last, else a copy."""
    if x.ndim == 4:
        return channels_last(x).reshape(-1, x.shape[1])
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, x.shape[1])


def empty_like_pixels(x: np.ndarray) -> np.ndarray:
    """New memory with the shape of x (N, C, ...), its channels last, of any content."""
    if x.ndim == 4:
        n, channels, height, width = x.shape
        return empty_images(n, channels, height, width, x.dtype)
    return np.moveaxis(memory.empty((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype), -1, 1)


@kernel()
def _interleave_block(planes, first, last, out):
    """out[p, c] = planes[c, p] for the pixels from first to last, a few at a time: both sides stay in the cache."""
    for start in range(first, last, 16):
        end = min(last, start + 16)
        for c in range(planes.shape[0]):
            row = planes[c, start:end]
            for p in range(row.size):
                out[start + p, c] = row[p]


@kernel()
def _copy_some_pixels(table, step, first, last):
    for p in range(first, last):
        for number in range(len(table)):
            part = table[number]
            copy_bytes(part.to + p * step, part.source + p * part.step, part.size)


@kernel()
def _copy_part(job, table, step, count):
    _copy_some_pixels(table, step, job * count // JOBS, (job + 1) * count // JOBS)


@kernel()
def _copy_pixels(table, step, count):
    share_out(JOBS, _copy_part, (table, step, count))


@kernel()
def _interleave_part(job, planes, out):
    n, block, size = job // BLOCKS, job % BLOCKS, planes.shape[2]
    _interleave_block(planes[n], block * size // BLOCKS, (block + 1) * size // BLOCKS, out[n])


@kernel()
def _interleave(planes, out):
    share_out(planes.shape[0] * BLOCKS, _interleave_part, (planes, out))
