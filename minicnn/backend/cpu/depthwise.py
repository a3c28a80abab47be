"""Depthwise convolution: one filter per channel, so there is nothing to reduce over but the taps.

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
from .blocks import blocks_of, lines_of, rows_in_block, source_row
from .compiling import kernel, threads
from .layout import pixel_bytes
from .microkernel import PANEL, TILE, VECTORS, Panel, Tile, address_of, call_tile, clear_bytes
from .packing import copy_strips
from .records import Located, one, record
from .sharing import MOST_JOBS, share_out
from .sweep import Sweep
from .target import target
from .tiles import ARRAYS, panels_table, product, repeated, rows_table, run_tiles, split, width

SCRATCH_BYTES = 128 * 1024
SERIAL = 1 << 15  # multiply-adds: one thread is done with so few before another has woken up
PIXEL = VECTORS * target().vector_bytes  # bytes of a pixel of a chunk


def pack_taps(weight: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """(chunks, T, width) from the weight (C, 1, kH, kW): these taps, with zeros for missing channels."""
    channels, wide = weight.shape[0], width(weight.itemsize)
    chunks = -(-channels // wide)
    packed = np.zeros((len(numbers), chunks * wide), weight.dtype)
    packed[:, :channels] = weight.reshape(channels, -1).T[list(numbers)]
    return np.ascontiguousarray(packed.reshape(len(numbers), chunks, wide).transpose(1, 0, 2))


# ---- the convolution and its gradient at the input -------------------------------------------------------------------


class DepthwisePlan(NamedTuple):
    """A sweep over images of one shape, with everything worked out that does not depend on where they lie."""

    product: np.ndarray
    tiles: np.ndarray
    panels: np.ndarray  # one per chunk
    arrays: np.ndarray  # for the addresses of a call
    blocks: np.ndarray
    scratch: tuple[int, int]
    first: int  # bytes of y before the first result
    segments: np.ndarray


@lru_cache(maxsize=512)
def depthwise_plan(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    dtype: np.dtype,
    activation: str | None,
    bias: bool,
    workers: int,
    x_pixel: int,
) -> DepthwisePlan:
    """The plan; the arguments are those of ``ConvPlan``."""
    size, taps = dtype.itemsize, len(sweep.taps)
    y_pixel = y_shape[3] * size
    panels = panels_table(y_shape[3], size, taps * PIXEL, bias)
    if x_shape[0] * sweep.count[0] * sweep.count[1] * y_shape[3] * taps <= SERIAL:
        workers = 1
    line = sweep.seen[1] * PIXEL
    rows = rows_in_block(sweep, line, SCRATCH_BYTES, x_shape[0] * len(panels), workers)
    (top, left), runs = sweep.first, sweep.runs
    segments = np.array([(run[0][0] - top) * line + (run[0][1] - left) * PIXEL for run in runs], np.int64)
    a_row, y_row, y_line = sweep.stride[1] * PIXEL, sweep.write_step[1] * y_pixel, y_shape[2] * y_pixel
    along = rows_table(sweep.count[1], a_row, y_row)
    return DepthwisePlan(
        product=product(
            dtype,
            activation,
            spread=False,
            a_row=a_row,
            a_step=PIXEL,
            segments=segments.ctypes.data,
            segment_count=len(segments),
            length=len(runs[0]),
            b_step=PIXEL,
            b_segment=len(runs[0]) * PIXEL,
            y_row=y_row,
        ),
        tiles=repeated(along, rows, sweep.stride[0] * line, sweep.write_step[0] * y_line),
        panels=panels,
        arrays=np.zeros(1, ARRAYS),
        blocks=blocks_of(sweep, x_shape, x_pixel, size, rows, y_shape, len(along)),
        scratch=(workers, lines_of(sweep, rows) * line + 64),
        first=sweep.write_start[0] * y_line + sweep.write_start[1] * y_pixel,
        segments=segments,
    )


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    packed: Located,
    y: np.ndarray,
    bias: Located | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """As ``conv.run_sweep``, with weights from ``pack_taps``; a bias is padded to whole chunks."""
    plan = depthwise_plan(sweep, x.shape, y.shape, x.dtype, activation, bias is not None, threads(), pixel_bytes(x))
    # One primitive at a time: the addresses of this call can be written into the plan.
    other = 0 if residual is None else residual.ctypes.data + plan.first
    if bias is not None:
        plan.product["start"] = bias.address
    plan.arrays[0] = (x.ctypes.data, packed.address, y.ctypes.data + plan.first, other)
    scratch = memory.empty(plan.scratch, np.uint8)
    _share_sweep(plan.product, plan.tiles, plan.panels, plan.arrays, plan.blocks, scratch)


@kernel()
def _fill(blocks, x, image, first, count, chunk, scratch):
    """A chunk of the pixels that ``count`` rows of positions see, from row ``first`` on, with their padding."""
    strip = min(PIXEL, blocks.channels_bytes - chunk * PIXEL)
    line, begin, done = blocks.columns * PIXEL, blocks.before * PIXEL, (blocks.before + blocks.copied) * PIXEL
    for i in range((count - 1) * blocks.stride + blocks.span):
        source, to = source_row(blocks, x, image, first * blocks.stride + blocks.top + i), scratch + i * line
        if source == 0:
            clear_bytes(to, line)
            continue
        clear_bytes(to, begin)
        copy_strips(to + begin, PIXEL, source + chunk * PIXEL, blocks.pixel_bytes, blocks.copied, strip)
        clear_bytes(to + done, line - done)


@kernel()
def _sweep_job(job, product, tiles, panels, arrays, blocks, scratch):
    """One block of rows of one image, and one chunk of its channels."""
    chunk, block = job % len(panels), job // len(panels)
    image, first = block // blocks.blocks, block % blocks.blocks * blocks.rows
    count = min(blocks.rows, blocks.positions - first)
    own = address_of(scratch[get_thread_id() if len(scratch) > 1 else 0])
    _fill(blocks, arrays.x, image, first, count, chunk, own)
    moved = image * blocks.y_image + first * blocks.y_down
    residual = arrays.residual + moved if arrays.residual != 0 else 0
    some = tiles[: count * blocks.tiles]
    run_tiles(product, some, panels[chunk : chunk + 1], own, arrays.weights, arrays.y + moved, residual)


@kernel()
def _share_sweep(products, tiles, panels, arrays, blocks, scratch):
    jobs = blocks[0].images * blocks[0].blocks * len(panels)
    if scratch.shape[0] == 1:
        for job in range(jobs):
            _sweep_job(job, products[0], tiles, panels, arrays[0], blocks[0], scratch)
    else:
        share_out(jobs, _sweep_job, (products[0], tiles, panels, arrays[0], blocks[0], scratch))


# ---- the gradient at the weight --------------------------------------------------------------------------------------


class WeightGradArrays(NamedTuple):
    """Addresses of the arrays of one call."""

    x: int
    dy: int
    dy_pixel: int  # bytes from a pixel of dy to the next


class DepthwiseWeightGradPlan(NamedTuple):
    """The gradient at the weight for images of one shape, but for where they lie."""

    products: np.ndarray  # one per thread, which counts the rows of its block there
    tiles: np.ndarray  # the taps of one row of the kernel are a tile's rows
    panels: np.ndarray  # one: all chunks are alike
    blocks: np.ndarray
    scratch: tuple[int, int]  # for each thread the pixels that a block sees, and then those of dy
    parts: int  # of the images
    segments: np.ndarray


@lru_cache(maxsize=512)
def depthwise_weight_grad_plan(
    sweep: Sweep, x_shape: tuple[int, ...], kernel_size: tuple[int, int], dtype: np.dtype, workers: int, x_pixel: int
) -> DepthwiseWeightGradPlan:
    """The plan for images x (N, H, W, C)."""
    line = sweep.seen[1] * PIXEL
    rows = rows_in_block(sweep, line, SCRATCH_BYTES, 1, 1)
    (top, left), (kernel_h, kernel_w) = sweep.first, kernel_size
    tiles = []
    for i in range(kernel_h):
        j = 0
        for height in split(kernel_w):
            row, column, number = sweep.taps[i * kernel_w + j]
            tiles.append(Tile((row - top) * line + (column - left) * PIXEL, number * PIXEL, height))
            j += height
    across = sweep.taps[1][1] - sweep.taps[0][1] if kernel_w > 1 else 0
    segments = np.arange(rows, dtype=np.int64) * sweep.stride[0] * line
    chunks = -(-x_shape[3] * dtype.itemsize // PIXEL)
    common = product(
        dtype,
        spread=False,
        a_row=across * PIXEL,
        a_step=sweep.stride[1] * PIXEL,
        segments=segments.ctypes.data,
        segment_count=rows,
        length=sweep.count[1],
        b_step=PIXEL,
        b_segment=sweep.count[1] * PIXEL,
        y_row=PIXEL,
    )
    return DepthwiseWeightGradPlan(
        products=np.repeat(common, workers),
        tiles=np.array(tiles, TILE),
        panels=one(Panel(0, 0, 0, VECTORS, width(dtype.itemsize)), PANEL),
        blocks=blocks_of(sweep, x_shape, x_pixel, dtype.itemsize, rows),
        scratch=(workers, lines_of(sweep, rows) * line + rows * sweep.count[1] * PIXEL + 64),
        # Images are shared out too. A sum has the same parts for any number of threads, so that its bits are the same.
        parts=min(x_shape[0], -(-MOST_JOBS // chunks)),
        segments=segments,
    )


def weight_grad(dy: np.ndarray, x: np.ndarray, weight_shape: tuple[int, ...], sweep: Sweep) -> np.ndarray:
    """The gradient at the weight (C, 1, kH, kW) of the sweep over x (N, H, W, C); dy is (N, oH, oW, C). Both are from
    ``even_pixels``.

    A tile's rows are the taps of one row of the kernel; its reduction runs along the pixels of dy.
    """
    channels, _, kernel_h, kernel_w = weight_shape
    plan = depthwise_weight_grad_plan(sweep, x.shape, (kernel_h, kernel_w), x.dtype, threads(), pixel_bytes(x))
    wide = width(x.itemsize)
    sums = memory.empty((plan.parts, -(-channels // wide), kernel_h * kernel_w, wide), x.dtype)
    sums[...] = 0
    arrays = one(WeightGradArrays(x.ctypes.data, dy.ctypes.data, pixel_bytes(dy)), record(WeightGradArrays))
    scratch = memory.empty(plan.scratch, np.uint8)
    _share_weight_grad(plan.products, plan.tiles, plan.panels, arrays, plan.blocks, scratch, sums.view(np.uint8))
    total = sums.sum(axis=0).transpose(1, 0, 2).reshape(kernel_h * kernel_w, -1)[:, :channels]
    return np.ascontiguousarray(total.T).reshape(weight_shape)


@kernel()
def _weight_job(job, products, tiles, panels, arrays, blocks, scratch, sums):
    """One chunk of channels, and one part of the images."""
    part, chunk = job % sums.shape[0], job // sums.shape[0]
    thread, result, along = get_thread_id(), address_of(sums[part, chunk]), blocks.along
    product, own = products[thread], address_of(scratch[thread])
    cotangents = own + ((blocks.rows - 1) * blocks.stride + blocks.span) * blocks.columns * PIXEL
    strip = min(PIXEL, blocks.channels_bytes - chunk * PIXEL)
    for image in range(part * blocks.images // sums.shape[0], (part + 1) * blocks.images // sums.shape[0]):
        for first in range(0, blocks.positions, blocks.rows):
            product.segment_count = min(blocks.rows, blocks.positions - first)
            _fill(blocks, arrays.x, image, first, product.segment_count, chunk, own)
            source = arrays.dy + (image * blocks.positions + first) * along * arrays.dy_pixel + chunk * PIXEL
            copy_strips(cotangents, PIXEL, source, arrays.dy_pixel, product.segment_count * along, strip)
            for number in range(len(tiles)):
                call_tile(product, tiles[number], panels[0], own, cotangents, result, result, own)


@kernel()
def _share_weight_grad(products, tiles, panels, arrays, blocks, scratch, sums):
    arguments = (products, tiles, panels, arrays[0], blocks[0], scratch, sums)
    share_out(sums.shape[0] * sums.shape[1], _weight_job, arguments)
