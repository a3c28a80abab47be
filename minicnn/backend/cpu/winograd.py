"""3x3 convolution with 16 multiplications where 36 are written: Winograd's F(2x2, 3x3) [Lavin and Gray, CVPR 2016].

Two neighbouring outputs of a kernel of three share most of what they see. Winograd's identity computes both from four
products instead of six, and in two dimensions 2x2 outputs from 16 products instead of 36::

    Y = A^T [ (G g G^T) * (B^T d B) ] A      d: 4x4 pixels, g: the 3x3 kernel, Y: 2x2 outputs, *: number by number

          1  0 -1  0             1    0    0
    B^T = 0  1  1  0        G = 1/2  1/2  1/2        A^T = 1  1  1  0
          0 -1  1  0            1/2 -1/2  1/2              0  1 -1 -1
          0  1  0 -1             0    0    1

Summed over channels, each of the 16 places is a matrix product, patches x channels times channels x filters, made of
the same tiles as every other product here. The transforms are additions on vectors of channels. A block of patches is
transformed, multiplied and transformed back by one thread, while it lies in the cache.

The sums are taken in another order than in the direct form, with errors of the same size. Against float64, on normal
numbers: 3.6e-7 for the outputs (the direct form 9.7e-7, PyTorch 3.2e-7), no worse where the mean is 1e4 or the numbers
go over 8 decades; 1.6e-6 for the gradient at the weight (7.5e-7, 2.4e-6).

An infinity or NaN reaches those outputs whose window holds it, as in the direct form, and no others. But an infinity
mostly arrives as NaN: it is added to a patch with both signs, and infinity - infinity is NaN. Where infinities have to
stay what they are, ``minicnn.backend.cpu.allow_winograd = False`` has every convolution computed in the direct form.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from .. import cpu
from . import memory
from .compiling import kernel, threads
from .layout import pixel_bytes
from .microkernel import address_of, call_tile, tile_function
from .sharing import share_out
from .silu import call_rows
from .sweep import Sweep
from .target import target
from .tiles import floor, rows_table, silu_function, zeros
from .winograd_transforms import corner, find_pixels, transform_patch, transform_products, transform_taps

PLACES = 16  # of a 4x4 patch
BLOCK_BYTES = 1 << 20  # of a block's patches and products together
PATCHES = 56  # in a block at least, so that the filters are not fetched too often
LEAST_WORK = 1 << 23  # multiply-adds, below which the transforms are not worth it


def suits(sweep: Sweep, x_shape: tuple[int, ...], filters: int, groups: int, dtype: np.dtype) -> bool:
    """Whether a sweep over x (N, H, W, C) is such a convolution, and large enough.

    Channels and filters have to fill vectors; the type is float32, where speed is asked for.
    """
    n, _, _, channels = x_shape
    lanes = target().lanes(4)
    work = n * sweep.count[0] * sweep.count[1] * channels * filters * len(sweep.taps)
    return (
        cpu.allow_winograd
        and dtype == np.float32
        and groups == 1
        and target().fma
        and sweep.square
        and channels % lanes == 0
        and filters % lanes == 0
        and min(channels, filters) >= 2 * lanes
        and min(sweep.count) >= 4
        and work >= LEAST_WORK
    )


# ---- the filters -----------------------------------------------------------------------------------------------------


def transform_filters(panels: np.ndarray) -> np.ndarray:
    """G g G^T of packed panels (P, 9 * C, F), taps in reading order: (16, P, C, F)."""
    count, steps, width = panels.shape
    transformed = memory.empty((PLACES, count, steps // 9, width), panels.dtype)
    _share_filters(panels.view(np.uint8), transformed.view(np.uint8))
    return transformed


@kernel()
def _transform_panel(taps, places, size, step):
    """One panel of 9 times ``size`` bytes into 16 of that size, ``step`` bytes apart."""
    transform_taps(taps, size, size, places, step)


@kernel()
def _transform_one(panel, panels, transformed):
    size = panels.shape[1] // 9 * panels.shape[2]
    _transform_panel(address_of(panels[panel]), address_of(transformed[0, panel]), size, size * transformed.shape[1])


@kernel()
def _share_filters(panels, transformed):
    share_out(panels.shape[0], _transform_one, (panels, transformed))


# ---- the convolution -------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """How the patches are cut into blocks."""

    rows: int  # of patches in an image
    columns: int
    patches: int  # in a block
    blocks: int
    tiles: np.ndarray


@lru_cache(maxsize=512)
def plan(sweep: Sweep, n: int, channels: int, filters: int, workers: int) -> Plan:
    """The plan for n images."""
    rows, columns = -(-sweep.count[0] // 2), -(-sweep.count[1] // 2)
    total = n * rows * columns
    patches = max(PATCHES, BLOCK_BYTES // ((channels + filters) * PLACES * 4))
    blocks = ceil(ceil(total / patches) / workers) * workers
    tall = target().tile_rows
    patches = ceil(total / blocks / tall) * tall
    tiles = rows_table(patches, channels * 4, filters * 4)
    return Plan(rows, columns, patches, -(-total // patches), tiles)


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    transformed: np.ndarray,
    groups: int,
    y: np.ndarray,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """As ``conv.run_sweep``, with filters from ``transform_filters``."""
    run = _prepared(sweep, x.shape, y.shape, activation, threads(), pixel_bytes(x), pixel_bytes(y))
    numbers = run.numbers  # one primitive at a time: what belongs to this call can be written into them
    if bias is not None:
        numbers[BIAS] = bias.ctypes.data
    numbers[X], numbers[Y] = x.ctypes.data, y.ctypes.data
    numbers[OTHER] = 0 if residual is None else residual.ctypes.data
    scratch = memory.empty(run.scratch, np.uint8)
    _share(numbers, run.steps.tiles, transformed, scratch, run.steps.blocks)
    numbers[BIAS] = run.nothing.ctypes.data


BIAS, X, Y, OTHER = 4, 5, 12, 16  # places of addresses among the numbers of ``_block``


class _Prepared(NamedTuple):
    """What ``_share`` takes, as far as it does not depend on where the arrays lie."""

    numbers: np.ndarray
    steps: Plan
    scratch: tuple[int, int]
    nothing: np.ndarray
    kept: tuple[np.ndarray, ...]  # whose addresses are among the numbers


@lru_cache(maxsize=512)
def _prepared(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    activation: str | None,
    workers: int,
    x_pixel: int,
    y_pixel: int,
) -> _Prepared:
    n, height, width, channels = x_shape
    _, out_height, out_width, filters = y_shape
    dtype = np.dtype(np.float32)
    steps = plan(sweep, n, channels, filters, workers)
    start, least, no_least = zeros(4), floor(dtype, activation), floor(dtype)
    nothing = np.zeros(max(channels, filters), np.float32)
    numbers = np.array(
        [
            tile_function(dtype), start.ctypes.data, least.ctypes.data, nothing.ctypes.data, nothing.ctypes.data,
            0, n, height, width, channels * 4, sweep.first[0], sweep.first[1],
            0, out_height, out_width, filters * 4, 0,
            steps.rows, steps.columns, steps.patches, no_least.ctypes.data,
            x_pixel, y_pixel, silu_function(dtype, activation),
        ],
        np.int64,
    )  # fmt: skip
    scratch = workers, steps.patches * PLACES * (channels + filters) * 4 + filters * 4
    return _Prepared(numbers, steps, scratch, nothing, (start, least, no_least))


@kernel()
def _block(numbers, tiles, filters, scratch, block, pixels, outputs, residuals):
    """The patches of one block: transform, multiply, transform back."""
    # ``nothing`` is zeros: pixels outside the image, and the offset of the one segment of the reduction.
    function, start, floor, nothing, bias = numbers[:5]
    no_floor, x_step, y_step, silu = numbers[20:24]
    x, images, height, width, pixel, top, left = numbers[5:12]
    y, out_height, out_width, out_pixel, residual, rows, columns, patches = numbers[12:20]
    first = block * patches
    count = min(patches, images * rows * columns - first)
    step, out_step = patches * pixel, patches * out_pixel
    products = scratch + 16 * step
    beside = products + 16 * out_step  # outputs that are not there are written here
    for number in range(count):
        patch = first + number
        image, row, column = corner(patch, rows, columns)
        table = find_pixels(pixels, 4, x, image, row + top, column + left, height, width, x_step, nothing)
        transform_patch(table, pixel, scratch + number * pixel, step)
    lanes = filters.shape[3] // 2
    length = filters.shape[2]
    row_bytes = filters.shape[3] * 4
    for place in range(16):
        for panel in range(filters.shape[1]):
            used = min(2 * lanes, out_pixel // 4 - panel * 2 * lanes)
            weights = address_of(filters[place, panel])
            ahead = weights + length * row_bytes  # while the tiles work, the next panel is fetched
            for index in range(len(tiles)):
                tile = tiles[index]
                if tile[1] >= count * out_pixel:
                    break
                to = products + place * out_step + tile[1] + panel * row_bytes
                call_tile(
                    function, tile[2], (used + lanes - 1) // lanes, scratch + place * step + tile[0], pixel, 4,
                    nothing, 1, length, weights, row_bytes, 0, start, to, out_pixel, used, 0, no_floor, ahead,
                )  # fmt: skip
                ahead += 64 * length
    for number in range(count):
        patch = first + number
        image, row, column = corner(patch, rows, columns)
        to = find_pixels(outputs, 2, y, image, row, column, out_height, out_width, y_step, beside)
        more = 0
        if residual != 0:
            more = find_pixels(residuals, 2, residual, image, row, column, out_height, out_width, y_step, nothing)
        transform_products(products + number * out_pixel, out_step, out_pixel, to, bias, more, floor)
        if silu != 0:
            for output in outputs:
                call_rows(silu, output, 0, 1, out_pixel // 4)


@kernel()
def _one_block(block, numbers, tiles, filters, scratch):
    pixels, outputs, residuals = np.empty(16, np.int64), np.empty(4, np.int64), np.empty(4, np.int64)
    _block(numbers, tiles, filters, address_of(scratch[get_thread_id()]), block, pixels, outputs, residuals)


@kernel()
def _share(numbers, tiles, filters, scratch, blocks):
    share_out(blocks, _one_block, (numbers, tiles, filters, scratch))
