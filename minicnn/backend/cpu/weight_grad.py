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
from .blocks import blocks_of, lines_of, source_row
from .compiling import LOCK, kernel, threads
from .conv import form_of
from .layout import even_pixels, pixel_bytes
from .microkernel import TILE, VECTORS, Tile, address_of, call_tile, clear_bytes
from .packing import FEW_CHANNELS, copy_strips, unpack
from .records import one, record
from .sharing import share_out
from .sweep import Sweep, forward_sweep, pointwise_sweep
from .target import target
from .tiles import panel_widths, panels_table, part_of, product, split, width

PIXELS = 128, 400  # positions in a block, at least and at most
BLOCK_BYTES = 1 << 20  # of the panels of a block, together
PANEL_ROW = VECTORS * target().vector_bytes  # bytes of a pixel of a panel of dy
SERIAL = 1 << 18  # multiply-adds: one thread is done with so few before another has woken up
AT_ONCE = 32  # pixels of which all strips are copied in turn: then memory is read in the order in which it lies


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
        form = form_of(sweep, pixels.shape, filters, groups, x.dtype, winograd_weight.WORTH)
        if form == "depthwise":
            return depthwise.weight_grad(cotangents, pixels, weight_shape, sweep)
        if form == "winograd":
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


class Strip(NamedTuple):
    """The channels that lie side by side in one panel of x; all in bytes."""

    first: int  # of a pixel's channels
    size: int  # of a pixel of the panel
    panel: int  # where the panel begins


class Work(NamedTuple):
    """One call: which arrays, and how the pixels of dy are cut."""

    x: int  # addresses of the first channel and filter of the group
    dy: int
    sums: int
    dy_pixel: int  # bytes from a pixel of dy to the next
    filters_bytes: int  # of a pixel of dy
    images: int  # in a block
    x_panels: int  # bytes of the panels of x; those of dy follow in the scratch
    dy_panel: int  # bytes of a panel of dy
    tile_parts: int
    panel_parts: int


STRIP, WORK = record(Strip), record(Work)


class WeightGradPlan(NamedTuple):
    """The gradient at the weight for images of one shape, but for where they lie."""

    products: np.ndarray  # (threads, strips): a thread counts the rows of its block in its own
    strips: np.ndarray
    tiles: np.ndarray
    panels: np.ndarray
    blocks: np.ndarray
    work: np.ndarray
    scratch: tuple[int, int]
    segments: np.ndarray


@lru_cache(maxsize=512)
def weight_grad_plan(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    channels: int,
    filters: int,
    dtype: np.dtype,
    workers: int,
    x_pixel: int,
    dy_pixel: int,
) -> WeightGradPlan:
    """The plan for the ``channels`` and ``filters`` of a group of images x (N, H, W, C), whose pixels, and those of dy,
    lie so many bytes apart.
    """
    n, size = x_shape[0], dtype.itemsize
    positions, along = sweep.count
    seen, (top, left) = sweep.seen, sweep.first
    wide, panels = width(size), len(panel_widths(filters, size))
    # Each worker packs what it needs of both: cut the side that is dearer to pack twice.
    by_panels = min(workers, panels) if panels * wide >= channels else 1
    most_panels = -(-panels // by_panels)
    least, most = PIXELS
    pixels = min(max(BLOCK_BYTES // ((channels + most_panels * wide) * size), least), most)
    rows = max(1, min(positions, pixels // along))
    rows = -(-positions // -(-positions // rows))
    images = max(1, min(n, pixels // (rows * along))) if rows == positions else 1
    lines = lines_of(sweep, rows)
    area = images * lines * seen[1]  # pixels of a block, with what is seen around it

    runs = sweep.runs
    together = channels < FEW_CHANNELS and len(runs[0]) > 1
    strips: list[Strip] = []
    tiles: list[Tile] = []
    first, place = 0, 0
    for height in (channels,) if together else split(channels):
        step = height * size
        for run in runs if together else [[tap] for tap in sorted(sweep.taps)]:
            row, column, number = run[0]
            offset, done = ((row - top) * seen[1] + column - left) * step, 0
            for tall in split(len(run) * channels) if together else (height,):
                write = (number * channels + first + done) * panels * wide * size
                tiles.append(Tile(place + offset + done * size, write, tall, len(strips)))
                done += tall
        strips.append(Strip(first * size, step, place))
        first, place = first + height, place + -(-(area * step) // 64) * 64

    image_and_row = np.arange(images)[:, None] * lines + np.arange(rows) * sweep.stride[0]
    segments = np.array([image_and_row.reshape(-1) * seen[1] * strip.size for strip in strips], np.int64)
    products = [
        product(
            dtype,
            a_row=size,
            a_step=sweep.stride[1] * strip.size,
            segments=own.ctypes.data,
            segment_count=images * rows,
            length=along,
            b_step=wide * size,
            b_segment=along * wide * size,
            y_row=panels * wide * size,
        )
        for strip, own in zip(strips, segments, strict=True)
    ]
    work = Work(
        x=0,
        dy=0,
        sums=0,
        dy_pixel=dy_pixel,
        filters_bytes=filters * size,
        images=images,
        x_panels=place,
        dy_panel=images * rows * along * wide * size,
        tile_parts=min(len(tiles), -(-workers // by_panels)),
        panel_parts=by_panels,
    )
    table = panels_table(filters, size, 0)
    table["lanes"] = table["vectors"] * (wide // VECTORS)  # the sums have whole vectors
    return WeightGradPlan(
        products=np.tile(np.concatenate(products), (workers, 1)),
        strips=np.array(strips, STRIP),
        tiles=np.array(tiles, TILE),
        panels=table,
        blocks=blocks_of(sweep, x_shape, x_pixel, size, rows),
        work=one(work, WORK),
        scratch=(workers, place + most_panels * work.dy_panel + 64),
        segments=segments,
    )


def _group(
    sweep: Sweep, x: np.ndarray, dy: np.ndarray, first_channel: int, first_filter: int, channels: int, own: np.ndarray
) -> None:
    """The gradient at one group's filters, into ``own`` (K / groups, C / groups, kH, kW)."""
    size, filters = x.itemsize, len(own)
    multiply_adds = len(x) * sweep.count[0] * sweep.count[1] * len(sweep.taps) * channels * filters
    workers = threads() if multiply_adds > SERIAL else 1
    plan = weight_grad_plan(sweep, x.shape, channels, filters, x.dtype, workers, pixel_bytes(x), pixel_bytes(dy))
    sums = memory.empty((len(sweep.taps) * channels, len(plan.panels) * width(size)), x.dtype)
    scratch = memory.empty(plan.scratch, np.uint8)
    # One primitive at a time: the addresses of this call can be written into the plan.
    plan.work["x"], plan.work["dy"] = x.ctypes.data + first_channel * size, dy.ctypes.data + first_filter * size
    plan.work["sums"] = sums.ctypes.data
    _share(plan.products, plan.strips, plan.tiles, plan.panels, plan.blocks, plan.work, scratch)
    unpack(sums, channels, own.reshape(filters, -1))


@kernel()
def _fill_pixels(strips, blocks, x, image, images, first, count, panels):
    """The pixels that a block sees, into the panels of these strips, with their padding."""
    lines = (blocks.rows - 1) * blocks.stride + blocks.span  # of a whole block: the last one may be lower
    columns, before, copied, pixel = blocks.columns, blocks.before, blocks.copied, blocks.pixel_bytes
    for i in range(images):
        for line in range((count - 1) * blocks.stride + blocks.span):
            source = source_row(blocks, x, image + i, first * blocks.stride + blocks.top + line)
            begin = (i * lines + line) * columns
            for number in range(len(strips)):
                size, to = strips[number].size, panels + strips[number].panel
                clear_bytes(to + begin * size, (before if source != 0 else columns) * size)
                if source != 0:
                    clear_bytes(to + (begin + before + copied) * size, (columns - before - copied) * size)
            for done in range(0, copied if source != 0 else 0, AT_ONCE):
                some = min(AT_ONCE, copied - done)
                for number in range(len(strips)):
                    strip = strips[number]
                    to = panels + strip.panel + (begin + before + done) * strip.size
                    copy_strips(to, strip.size, source + done * pixel + strip.first, pixel, some, strip.size)


@kernel()
def _fill_cotangents(work, panels, pixel, count, row, to):
    """``count`` neighbouring pixels of dy, from number ``pixel`` on, side by side into each of these panels, from their
    pixel ``row`` on.
    """
    for done in range(0, count, AT_ONCE):
        source = work.dy + (pixel + done) * work.dy_pixel
        for number in range(len(panels)):
            panel = panels[number]
            strip = min(PANEL_ROW, work.filters_bytes - panel.write)
            place = to + number * work.dy_panel + (row + done) * PANEL_ROW
            copy_strips(place, PANEL_ROW, source + panel.write, work.dy_pixel, min(AT_ONCE, count - done), strip)


@kernel()
def _accumulate(products, strips, tiles, panels, blocks, work, scratch):
    """These tiles with these panels of filters, over all blocks."""
    used = strips[tiles[0].strip : tiles[len(tiles) - 1].strip + 1]
    cotangents, residual, along = scratch + work.x_panels, 0, blocks.along
    for image in range(0, blocks.images, work.images):
        some = min(work.images, blocks.images - image)
        for first in range(0, blocks.positions, blocks.rows):
            count = min(blocks.rows, blocks.positions - first)
            _fill_pixels(used, blocks, work.x, image, some, first, count, scratch)
            for i in range(some):
                pixel = ((image + i) * blocks.positions + first) * along
                _fill_cotangents(work, panels, pixel, count * along, i * count * along, cotangents)
            for strip in range(len(strips)):
                products[strip].segment_count = some * count
            # While the tiles work, the pixels of the next block are fetched.
            row = (image + some - 1) * blocks.height + (first + count) * blocks.stride
            ahead = work.x + row * blocks.row_bytes
            end = ahead + some * count * blocks.stride * blocks.row_bytes
            for number in range(len(panels)):
                filters = cotangents + number * work.dy_panel
                for index in range(len(tiles)):
                    tile = tiles[index]
                    call_tile(products[tile.strip], tile, panels[number], scratch, filters, work.sums, residual, ahead)
                    ahead = min(ahead + 64 * some * count * along, end)
            residual = work.sums  # the sums of the blocks so far


@kernel()
def _job(job, products, strips, tiles, panels, blocks, work, scratch):
    some = part_of(tiles, job % work.tile_parts, work.tile_parts)
    block = part_of(panels, job // work.tile_parts, work.panel_parts)
    thread = get_thread_id() if len(scratch) > 1 else 0
    if len(some):
        _accumulate(products[thread], strips, some, block, blocks, work, address_of(scratch[thread]))


@kernel()
def _share(products, strips, tiles, panels, blocks, work, scratch):
    jobs = work[0].tile_parts * work[0].panel_parts
    share_out(jobs, _job, (products, strips, tiles, panels, blocks[0], work[0], scratch))
