"""The gradient of a convolution at its weight: for each tap a matrix product, whose reduction runs over all pixels.

    dw[k, c, tap] = sum over images and positions p of  x[stride * p + offset(tap), c] * dy[p, k]

The sums of a tile are channels x filters. What limits it is that x and dy lie in memory pixel by pixel, so a tile that
walks over the pixels takes a few numbers out of each, a page apart in the worst case. Therefore a block of some hundred
pixels is first copied into panels, one for each tile's channels and one for its filters, which stay in the cache while
all taps use them.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from ..base import Window
from . import depthwise, memory, winograd_weight
from .compiling import LOCK, kernel, threads
from .layout import even_pixels, pixel_bytes
from .microkernel import VECTORS, address_of, call_tile, clear_bytes, tile_function
from .packing import FEW_CHANNELS, copy_strips, unpack
from .sharing import share_out
from .sweep import Sweep, forward_sweep, pointwise_sweep
from .target import target
from .tiles import cuts, floor, split, zeros

PIXELS = 128, 400  # positions in a block, at least and at most
BLOCK_BYTES = 1 << 20  # of the panels of a block, together
SERIAL = 1 << 18  # multiply-adds: one thread is done with so few before another has woken up
AT_ONCE = 32  # pixels of which all strips are copied in turn: then memory is read in the order in which it lies

# Columns of the table of strips: from which byte of a pixel, how many bytes, where the panel begins.
FROM, SIZE, PANEL = range(3)
# Columns of the table of tiles: where in the panels, bytes a pixel, which segments, rows, and where in the sums.
READ, STEP, SEGMENTS, ROWS, WRITE, STRIP = range(6)


def conv2d_weight_grad(
    dy: np.ndarray, x: np.ndarray, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> np.ndarray:
    """See ``reference.conv.conv2d_weight_grad``."""
    sweep = forward_sweep(window, x.shape[2:])
    gradient = memory.empty(weight_shape, x.dtype)
    if not gradient.size:
        return gradient
    if not dy.size:
        gradient[...] = 0
        return gradient
    filters, channels = weight_shape[:2]
    with LOCK:
        pixels, cotangents = even_pixels(x), even_pixels(dy)
        if channels == 1 and filters == groups > 1:
            return depthwise.weight_grad(cotangents, pixels, weight_shape, sweep)
        if winograd_weight.suits(sweep, pixels.shape, filters, groups, x.dtype):
            unpack(winograd_weight.sums(sweep, pixels, cotangents), channels, gradient.reshape(filters, -1))
            return gradient
        pixels, cotangents, sweep = _reshaped(pixels, cotangents, sweep)
        for group in range(groups):
            first_channel, first_filter = group * channels, group * filters // groups
            own = gradient[first_filter : first_filter + filters // groups]
            _group(sweep, pixels, cotangents, first_channel, first_filter, channels, own)
    return gradient


def _reshaped(x: np.ndarray, dy: np.ndarray, sweep: Sweep) -> tuple[np.ndarray, np.ndarray, Sweep]:
    """For a 1x1 convolution it does not matter which pixel lies where: rows of a length that suits the panels."""
    if sweep.taps != ((0, 0, 0),) or sweep.stride != (1, 1) or sweep.count != x.shape[1:3]:
        return x, dy, sweep
    pixels = dy.shape[0] * dy.shape[1] * dy.shape[2]
    length = _row_length(pixels)
    if length < dy.shape[2]:
        return x, dy, sweep
    rows = 1, pixels // length, length
    return x.reshape(*rows, -1), dy.reshape(*rows, -1), pointwise_sweep(rows[1:])


@cache
def _row_length(pixels: int) -> int:
    """The longest row that so many pixels can be cut into."""
    return max(n for n in range(1, PIXELS[1] + 1) if pixels % n == 0)


class Plan(NamedTuple):
    """How the work on x (N, H, W, C) and dy is cut; tables as above, sizes in bytes."""

    strips: np.ndarray
    tiles: np.ndarray
    segments: np.ndarray
    images: int  # in a block
    rows: int  # of positions in a block, of each image
    x_panels: int
    dy_panels: int
    tile_cuts: np.ndarray
    panel_cuts: np.ndarray


@lru_cache(maxsize=512)
def plan(sweep: Sweep, n: int, channels: int, panels: int, itemsize: int, workers: int) -> Plan:
    """The plan for ``channels`` of a group and so many panels of filters."""
    positions, along = sweep.count
    seen, top_left = sweep.seen, sweep.first
    # Each worker packs what it needs of both: cut the side that is dearer to pack twice.
    width = VECTORS * target().lanes(itemsize)
    by_panels = min(workers, panels) if panels * width >= channels else 1
    least, most = PIXELS
    pixels = BLOCK_BYTES // ((channels + -(-panels // by_panels) * width) * itemsize)
    pixels = min(max(pixels, least), most)
    rows = max(1, min(positions, pixels // along))
    rows = -(-positions // -(-positions // rows))
    images = max(1, min(n, pixels // (rows * along))) if rows == positions else 1
    lines = (rows - 1) * sweep.stride[0] + sweep.span[0]
    area = images * lines * seen[1]  # pixels of a block, with what is seen around it
    taps = sorted(sweep.taps)
    runs = sweep.runs
    together = channels < FEW_CHANNELS and len(runs[0]) > 1
    heights = (channels,) if together else split(channels)
    stretches: dict[int, int] = {}
    strips, tiles, sums_row = [], [], panels * width * itemsize

    def stretch(step: int) -> int:
        """Number of the segments for a panel with ``step`` bytes a pixel."""
        return stretches.setdefault(step, len(stretches))

    first, place = 0, 0
    for height in heights:
        step = height * itemsize
        strips.append((first * itemsize, step, place))
        for run in runs if together else [[tap] for tap in taps]:
            row, column, number = run[0]
            offset = ((row - top_left[0]) * seen[1] + column - top_left[1]) * step
            done = 0
            for tall in split(len(run) * channels) if together else (height,):
                write = (number * channels + first + done) * sums_row
                tiles.append((place + offset + done * itemsize, step, stretch(step), tall, write, len(strips) - 1))
                done += tall
        first, place = first + height, place + -(-(area * step) // 64) * 64
    image_and_row = np.arange(images)[:, None] * lines + np.arange(rows) * sweep.stride[0]
    segments = np.stack([image_and_row.reshape(-1) * seen[1] * step for step in stretches])
    by_tiles = min(len(tiles), -(-workers // by_panels))
    return Plan(
        np.array(strips, np.int64),
        np.array(tiles, np.int64),
        np.asarray(segments, np.int64),
        images,
        rows,
        x_panels=place,
        dy_panels=-(-panels // by_panels) * images * rows * along * width * itemsize,
        tile_cuts=cuts(len(tiles), by_tiles),
        panel_cuts=cuts(panels, by_panels),
    )


def _group(
    sweep: Sweep, x: np.ndarray, dy: np.ndarray, first_channel: int, first_filter: int, channels: int, own: np.ndarray
) -> None:
    """The gradient at one group's filters, into ``own`` (K / groups, C / groups, kH, kW)."""
    size, filters = x.itemsize, len(own)
    lanes = target().lanes(size)
    panels = -(-filters // (VECTORS * lanes))
    work = len(x) * sweep.count[0] * sweep.count[1] * len(sweep.taps) * channels * filters
    steps = plan(sweep, len(x), channels, panels, size, threads() if work > SERIAL else 1)
    sums = memory.empty((len(sweep.taps) * channels, panels * VECTORS * lanes), x.dtype)
    numbers = _numbers(sweep, x.shape, filters, x.dtype, pixel_bytes(x), pixel_bytes(dy), steps.images, steps.rows,
                       steps.x_panels)  # fmt: skip
    scratch = memory.empty((threads(), steps.x_panels + steps.dy_panels + 64), np.uint8)
    _share(
        numbers, steps.strips, steps.tiles, steps.segments, scratch, x.ctypes.data + first_channel * size,
        dy.ctypes.data + first_filter * size, sums.view(np.uint8), steps.tile_cuts, steps.panel_cuts,
    )  # fmt: skip
    unpack(sums, channels, own.reshape(filters, -1))


@lru_cache(maxsize=512)
def _numbers(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    filters: int,
    dtype: np.dtype,
    x_pixel: int,
    dy_pixel: int,
    images: int,
    rows: int,
    x_panels: int,
) -> np.ndarray:
    """For ``_work``."""
    n, height, width, _ = x_shape
    size = dtype.itemsize
    start, least = _ends(dtype)
    return np.array(
        [
            tile_function(dtype), start.ctypes.data, least.ctypes.data, size, target().lanes(size), filters * size,
            n, height, width, x_pixel, dy_pixel, sweep.seen[1],
            *sweep.margins(width), sweep.first[0], sweep.stride[0], sweep.stride[1], sweep.span[0],
            sweep.count[0], sweep.count[1], images, rows, x_panels,
        ],
        np.int64,
    )  # fmt: skip


@cache
def _ends(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Where all sums start, and their least result."""
    return zeros(dtype.itemsize), floor(dtype)


@kernel()
def _fill_pixels(numbers, strips, x, image, images, first, count, panels):
    """The pixels that a block sees, into the panels of these strips, with their padding."""
    _, height, width, pixel, _, columns, before, skipped, copied, top, stride, _, span = numbers[6:19]
    lines = (numbers[22] - 1) * stride + span  # of a whole block: the last one may be lower
    for i in range(images):
        for line in range((count - 1) * stride + span):
            row = first * stride + top + line
            there = 0 <= row < height and copied > 0
            source = x + (((image + i) * height + row) * width + skipped) * pixel
            begin = (i * lines + line) * columns
            for strip in strips:
                size, to = strip[SIZE], panels + strip[PANEL]
                full = before if there else columns
                clear_bytes(to + begin * size, full * size)
                if there:
                    clear_bytes(to + (begin + before + copied) * size, (columns - before - copied) * size)
            for done in range(0, copied if there else 0, AT_ONCE):
                some = min(AT_ONCE, copied - done)
                for strip in strips:
                    size = strip[SIZE]
                    to = panels + strip[PANEL] + (begin + before + done) * size
                    copy_strips(to, size, source + done * pixel + strip[FROM], pixel, some, size)


@kernel()
def _work(numbers, strips, tiles, segments, scratch, x, dy, sums, first_panel, last_panel):
    """These tiles with these panels of filters, over all blocks."""
    function, start, floor, size, lanes, filters_bytes, n = numbers[:7]
    dy_pixel = numbers[10]
    stride, across, _, positions, along, images, rows, x_panels = numbers[16:24]
    width = VECTORS * lanes * size
    used = strips[tiles[0, STRIP] : tiles[-1, STRIP] + 1]
    row_bytes, panel_bytes = sums.shape[1], images * rows * along * width
    result, cotangents = address_of(sums), scratch + x_panels
    for image in range(0, n, images):
        some = min(images, n - image)
        for first in range(0, positions, rows):
            count = min(rows, positions - first)
            _fill_pixels(numbers, used, x, image, some, first, count, scratch)
            for i in range(some):
                start_of = (image + i) * positions + first
                for done in range(0, count * along, AT_ONCE):
                    source = dy + (start_of * along + done) * dy_pixel
                    to = cotangents + (i * count * along + done) * width
                    for panel in range(first_panel, last_panel):
                        strip = min(width, filters_bytes - panel * width)
                        copy_strips(
                            to + (panel - first_panel) * panel_bytes, width, source + panel * width, dy_pixel,
                            min(AT_ONCE, count * along - done), strip,
                        )  # fmt: skip
            begun = image != 0 or first != 0
            # While the tiles work, the pixels of the next block are fetched, those of dy behind those of x.
            ahead = x + ((image + some - 1) * numbers[7] + (first + count) * stride) * numbers[8] * numbers[9]
            for panel in range(first_panel, last_panel):
                vectors = (min(width, filters_bytes - panel * width) + lanes * size - 1) // (lanes * size)
                filters = cotangents + (panel - first_panel) * panel_bytes
                for tile in tiles:
                    place, step = result + tile[WRITE] + panel * width, tile[STEP]
                    ahead += 64 * some * count * along
                    call_tile(
                        function, tile[ROWS], vectors, scratch + tile[READ], size, across * step,
                        address_of(segments[tile[SEGMENTS]]), some * count, along, filters, width, along * width,
                        start, place, row_bytes, vectors * lanes, place if begun else 0, floor, ahead,
                    )  # fmt: skip


@kernel()
def _job(job, numbers, strips, tiles, segments, scratch, x, dy, sums, tile_cuts, panel_cuts):
    parts = tile_cuts.size - 1
    part, block = job % parts, job // parts
    own = tiles[tile_cuts[part] : tile_cuts[part + 1]]
    if len(own):
        thread = get_thread_id() if len(scratch) > 1 else 0
        _work(
            numbers, strips, own, segments, address_of(scratch[thread]), x, dy, sums, panel_cuts[block],
            panel_cuts[block + 1],
        )  # fmt: skip


@kernel()
def _share(numbers, strips, tiles, segments, scratch, x, dy, sums, tile_cuts, panel_cuts):
    jobs = (tile_cuts.size - 1) * (panel_cuts.size - 1)
    share_out(jobs, _job, (numbers, strips, tiles, segments, scratch, x, dy, sums, tile_cuts, panel_cuts))
