"""Depthwise convolution: one filter a channel, so there is nothing to reduce over but the taps.

The same tiles as elsewhere, lane by lane: a vector holds 16 channels of a pixel, and meets the 16 channels' own
weights. Work is cut into chunks of channels, two vectors wide. A block of rows of a chunk is first copied, padded,
into a thread's own scratch, where a pixel is as wide as the chunk; from there everything is in reach.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from . import memory
from .compiling import kernel, threads
from .layout import pixel_bytes
from .microkernel import VECTORS, address_of, call_tile, clear_bytes, tile_function
from .packing import copy_strips
from .sharing import MOST_JOBS, share_out
from .sweep import Sweep
from .target import target
from .tiles import Product, floor, repeated, rows_table, run_tiles, silu_function, split, zeros

SCRATCH_BYTES = 128 * 1024
SERIAL = 1 << 15  # multiply-adds: one thread is done with so few before another has woken up


def chunk_width(itemsize: int) -> int:
    """Channels in a chunk."""
    return VECTORS * target().lanes(itemsize)


def pack_taps(weight: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """(chunks, T, width) from the weight (C, 1, kH, kW): these taps, with zeros for missing channels."""
    channels = weight.shape[0]
    width = chunk_width(weight.itemsize)
    chunks = -(-channels // width)
    packed = np.zeros((len(numbers), chunks * width), weight.dtype)
    packed[:, :channels] = weight.reshape(channels, -1).T[list(numbers)]
    return np.ascontiguousarray(packed.reshape(len(numbers), chunks, width).transpose(1, 0, 2))


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    packed: np.ndarray,
    groups: int,
    y: np.ndarray,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """As ``conv.run_sweep``, with weights from ``pack_taps``; a bias is padded to whole chunks."""
    if not y.size or not min(sweep.count):
        return
    run = _prepared(
        sweep, x.shape, y.shape, x.dtype, activation, bias is not None, threads(), pixel_bytes(x), pixel_bytes(y)
    )
    # One primitive at a time: the numbers that belong to this call can be written into the tables.
    run.images[0] = x.ctypes.data
    run.places[0] = y.ctypes.data + run.first
    other = 0 if residual is None else residual.ctypes.data + run.first
    start = run.zeros if bias is None else bias
    panels = run.panels + np.array((packed.ctypes.data, 0, 0, 0, 0, start.ctypes.data), np.int64)
    scratch = memory.empty(run.scratch, np.uint8)
    _share_sweep(run.numbers, run.tiles, panels, run.images, scratch, run.places, other)


class _Prepared(NamedTuple):
    """What ``_share_sweep`` takes, as far as it does not depend on where the arrays lie."""

    numbers: np.ndarray
    tiles: np.ndarray
    panels: np.ndarray
    images: np.ndarray
    places: np.ndarray
    scratch: tuple[int, int]
    first: int  # bytes of y before the first result
    zeros: np.ndarray
    product: Product  # keeps the arrays whose addresses are among the numbers


@lru_cache(maxsize=512)
def _prepared(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    dtype: np.dtype,
    activation: str | None,
    bias: bool,
    workers: int,
    x_pixel: int,
    y_pixel: int,
) -> _Prepared:
    size = dtype.itemsize
    pixel = chunk_width(size) * size
    chunks = -(-y_shape[3] // chunk_width(size))
    if x_shape[0] * sweep.count[0] * sweep.count[1] * y_shape[3] * len(sweep.taps) <= SERIAL:
        workers = 1
    rows, blocks, line = _blocks(sweep, pixel, x_shape[0] * chunks, workers)
    top, left = sweep.first
    runs = sweep.runs
    offsets = [(run[0][0] - top) * line + (run[0][1] - left) * pixel for run in runs]
    y_down = sweep.write_step[0] * y_shape[2] * y_pixel
    along = rows_table(sweep.count[1], sweep.stride[1] * pixel, sweep.write_step[1] * y_pixel)
    product = Product(
        function=tile_function(dtype, spread=False),
        a_row=sweep.stride[1] * pixel,
        a_step=pixel,
        segments=np.array(offsets, np.int64),
        length=len(runs[0]),
        b_step=pixel,
        b_segment=len(runs[0]) * pixel,
        y_row=sweep.write_step[1] * y_pixel,
        start=None,
        floor=floor(dtype, activation),
        silu=silu_function(dtype, activation),
    )
    return _Prepared(
        product.numbers(),
        repeated(along, rows, sweep.stride[0] * line, y_down),
        _chunk_panels(chunks, len(sweep.taps), y_shape[3], size, bias),
        _image_numbers(x_shape, size, x_pixel, sweep, rows, blocks, line, pixel),
        np.array([0, y_down, y_shape[1] * y_shape[2] * y_pixel, len(along)], np.int64),
        (workers, ((rows - 1) * sweep.stride[0] + sweep.span[0]) * line + 64),
        (sweep.write_start[0] * y_shape[2] + sweep.write_start[1]) * y_pixel,
        zeros(size),
        product,
    )


def weight_grad(dy: np.ndarray, x: np.ndarray, weight_shape: tuple[int, ...], sweep: Sweep) -> np.ndarray:
    """The gradient at the weight (C, 1, kH, kW) of the sweep over x (N, H, W, C); dy is (N, oH, oW, C). Both are from
    ``even_pixels``.

    A tile's rows are the taps of one row of the kernel; its reduction runs along the pixels of dy.
    """
    channels, _, kernel_h, kernel_w = weight_shape
    size, width = x.itemsize, chunk_width(x.itemsize)
    pixel = width * size
    chunks = -(-channels // width)
    # Images are shared out too. A sum has the same parts for any number of threads, so that its bits are the same.
    parts = min(len(x), -(-MOST_JOBS // chunks))
    rows, blocks, line = _blocks(sweep, pixel)
    top, left = sweep.first
    sums = memory.empty((parts, chunks, kernel_h * kernel_w, width), x.dtype)
    sums[...] = 0
    tap_table = []
    for i in range(kernel_h):
        j = 0
        for height in split(kernel_w):
            row, column, number = sweep.taps[i * kernel_w + j]
            tap_table.append(((row - top) * line + (column - left) * pixel, number * pixel, height))
            j += height
    across = sweep.taps[1][1] - sweep.taps[0][1] if kernel_w > 1 else 0
    product = Product(
        function=tile_function(x.dtype, spread=False),
        a_row=across * pixel,
        a_step=sweep.stride[1] * pixel,
        segments=np.arange(rows, dtype=np.int64) * sweep.stride[0] * line,
        length=sweep.count[1],
        b_step=pixel,
        b_segment=sweep.count[1] * pixel,
        y_row=pixel,
        start=zeros(size),
        floor=floor(x.dtype),
    )
    images = _image_numbers(x.shape, size, pixel_bytes(x), sweep, rows, blocks, line, pixel)
    images[0] = x.ctypes.data
    seen = ((rows - 1) * sweep.stride[0] + sweep.span[0]) * line
    scratch = memory.empty((threads(), seen + rows * sweep.count[1] * pixel + 64), np.uint8)
    _share_weight_grad(
        product.numbers(), np.array(tap_table, np.int64), images, scratch, seen, dy.ctypes.data, pixel_bytes(dy),
        sums.view(np.uint8),
    )  # fmt: skip
    total = sums.sum(axis=0).transpose(1, 0, 2).reshape(kernel_h * kernel_w, -1)[:, :channels]
    return np.ascontiguousarray(total.T).reshape(weight_shape)


def _blocks(sweep: Sweep, pixel: int, pieces: int = 1, workers: int = 1) -> tuple[int, int, int]:
    """Rows of positions in a block, blocks an image, and bytes of a row of the scratch.

    The blocks of all ``pieces`` are, where that can be had, as many for each of the workers.
    """
    line = sweep.seen[1] * pixel
    rows = max(1, (SCRATCH_BYTES // line - sweep.span[0]) // sweep.stride[0] + 1)
    blocks = -(-sweep.count[0] // rows)
    while pieces * blocks % workers and blocks < sweep.count[0]:
        blocks += 1
    rows = -(-sweep.count[0] // blocks)
    return rows, -(-sweep.count[0] // rows), line


def _chunk_panels(chunks: int, taps: int, channels: int, size: int, bias: bool) -> np.ndarray:
    """A row for each chunk, with the columns of a table of panels (``tiles.py``), if weights and bias lie at 0."""
    width = chunk_width(size)
    lanes = target().lanes(size)
    rows = []
    for chunk in range(chunks):
        used = min(width, channels - chunk * width)
        start = chunk * width * size if bias else 0
        rows.append((chunk * taps * width * size, 0, chunk * width * size, -(-used // lanes), used, start))
    return np.array(rows, np.int64)


def _image_numbers(
    x_shape: tuple[int, ...], size: int, x_pixel: int, sweep: Sweep, rows: int, blocks: int, line: int, pixel: int
) -> np.ndarray:
    """For ``_fill``: where x lies (at 0, for now), and which part of it a block sees."""
    n, height, width, channels = x_shape
    return np.array(
        [
            0, n, height, width, channels, size, line, pixel, *sweep.margins(width), sweep.first[0],
            sweep.stride[0], sweep.span[0], rows, blocks, sweep.count[0], sweep.count[1], x_pixel,
        ],
        np.int64,
    )  # fmt: skip


@kernel()
def _fill(images, image, first, count, chunk, scratch):
    """A chunk of the pixels that ``count`` rows of positions see, from row ``first`` on, with their padding."""
    x, _, height, width, channels, size, line, pixel, before, skipped, copied, top = images[:12]
    stride, span, x_pixel = images[12], images[13], images[18]
    strip = min(pixel, channels * size - chunk * pixel)
    for i in range((count - 1) * stride + span):
        row = first * stride + top + i
        to = scratch + i * line
        if row < 0 or row >= height or copied == 0:
            clear_bytes(to, line)
            continue
        clear_bytes(to, before * pixel)
        source = x + ((image * height + row) * width + skipped) * x_pixel + chunk * pixel
        copy_strips(to + before * pixel, pixel, source, x_pixel, copied, strip)
        done = (before + copied) * pixel
        clear_bytes(to + done, line - done)


@kernel()
def _sweep_job(numbers, tiles, panels, images, scratch, places, residual, job):
    rows, blocks, positions = images[14:17]
    chunk, block = job % len(panels), job // len(panels)
    image, first = block // blocks, block % blocks * rows
    count = min(rows, positions - first)
    _fill(images, image, first, count, chunk, scratch)
    y, y_down, y_image, tiles_per_row = places
    moved = image * y_image + first * y_down
    other = residual + moved if residual != 0 else 0
    run_tiles(numbers, tiles[: count * tiles_per_row], panels[chunk : chunk + 1], scratch, y + moved, other)


@kernel()
def _one_sweep_job(job, numbers, tiles, panels, images, scratch, places, residual):
    _sweep_job(numbers, tiles, panels, images, address_of(scratch[get_thread_id()]), places, residual, job)


@kernel()
def _share_sweep(numbers, tiles, panels, images, scratch, places, residual):
    jobs = images[1] * images[15] * len(panels)
    if scratch.shape[0] == 1:
        for job in range(jobs):
            _sweep_job(numbers, tiles, panels, images, address_of(scratch[0]), places, residual, job)
    else:
        share_out(jobs, _one_sweep_job, (numbers, tiles, panels, images, scratch, places, residual))


@kernel()
def _weight_job(product, taps, images, scratch, seen, dy, dy_pixel, sums, job):
    """One chunk of channels, and one part of the images."""
    parts = sums.shape[0]
    rows, blocks, positions, along = images[14:18]
    channels, size, pixel = images[4], images[5], images[7]
    function, a_row, a_step, segments, _, length, b_step, b_segment, y_row, start, floor = product[:11]
    part, chunk = job % parts, job // parts
    strip = min(pixel, channels * size - chunk * pixel)
    lanes = pixel // size
    result = address_of(sums[part, chunk])
    for image in range(part * images[1] // parts, (part + 1) * images[1] // parts):
        for block in range(blocks):
            first = block * rows
            count = min(rows, positions - first)
            _fill(images, image, first, count, chunk, scratch)
            source = dy + (image * positions + first) * along * dy_pixel + chunk * pixel
            copy_strips(scratch + seen, pixel, source, dy_pixel, count * along, strip)
            for tap in taps:
                place = result + tap[1]
                call_tile(
                    function, tap[2], 2, scratch + tap[0], a_row, a_step, segments, count, length, scratch + seen,
                    b_step, b_segment, start, place, y_row, lanes, place, floor, scratch,
                )  # fmt: skip


@kernel()
def _one_weight_job(job, product, taps, images, scratch, seen, dy, dy_pixel, sums):
    _weight_job(product, taps, images, address_of(scratch[get_thread_id()]), seen, dy, dy_pixel, sums, job)


@kernel()
def _share_weight_grad(product, taps, images, scratch, seen, dy, dy_pixel, sums):
    arguments = (product, taps, images, scratch, seen, dy, dy_pixel, sums)
    share_out(sums.shape[0] * sums.shape[1], _one_weight_job, arguments)
