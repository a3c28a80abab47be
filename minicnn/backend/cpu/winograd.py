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
from math import ceil, prod
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from .. import cpu
from . import memory
from .compiling import kernel, threads
from .layout import pixel_bytes
from .microkernel import address_of, call_tile
from .records import Located, one, record
from .sharing import share_out
from .silu import call_rows
from .sweep import Sweep
from .target import target
from .tiles import floor, panels_table, product, rows_table, width
from .winograd_transforms import (
    IMAGES,
    Images,
    corner,
    find_pixels,
    transform_patch,
    transform_products,
    transform_taps,
)

PLACES = 16  # of a 4x4 patch
BLOCK_BYTES = 1 << 20  # of a block's patches and products together
PATCHES = 56  # in a block at least, so that the filters are not fetched too often
LEAST_WORK = 1 << 23  # multiply-adds, below which the transforms are not worth it


class Worth(NamedTuple):
    """What a convolution must have to be faster in this form: measured."""

    gain: float  # channels * filters / (channels + filters): products save the one, transforms cost the other
    patches: int


WORTH = Worth(gain=12, patches=0)


def suits(
    sweep: Sweep, x_shape: tuple[int, ...], filters: int, groups: int, dtype: np.dtype, worth: Worth | None = None
) -> bool:
    """Whether a sweep over x (N, H, W, C) is such a convolution, and large enough.

    Channels and filters have to fill vectors; the type is float32, where speed is asked for.
    """
    if groups > 1 or not sweep.square or not cpu.allow_winograd:
        return False
    n, channels, lanes, worth = x_shape[0], x_shape[3], target().lanes(4), worth or WORTH
    return (
        n * sweep.count[0] * sweep.count[1] * channels * filters * len(sweep.taps) >= LEAST_WORK
        and dtype == np.float32
        and target().fma
        and channels % lanes == 0
        and filters % lanes == 0
        and min(channels, filters) >= 2 * lanes
        and min(sweep.count) >= 4
        and channels * filters >= worth.gain * (channels + filters)
        and n * prod(patches_of(sweep)) >= worth.patches
    )


def patches_of(sweep: Sweep) -> tuple[int, int]:
    """Rows and columns of patches of 2x2 outputs in an image."""
    return -(-sweep.count[0] // 2), -(-sweep.count[1] // 2)


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


class Patches(NamedTuple):
    """How the patches are cut into blocks, and what is done with their products."""

    images: int
    rows: int  # of patches in an image
    columns: int
    patches: int  # in a block
    blocks: int
    floor: int  # address of the least result, which the products themselves do not have
    nothing: int  # address of zeros: pixels outside the images
    weights: int = 0  # address of the filters
    bias: int = 0
    residual: int = 0  # whether there is one


PATCHES_RECORD = record(Patches)
SIDES = np.dtype([("x", IMAGES), ("y", IMAGES), ("residual", IMAGES)])


class WinogradPlan(NamedTuple):
    """A convolution of images of one shape, with everything worked out that does not depend on where they lie."""

    product: np.ndarray
    tiles: np.ndarray
    panels: np.ndarray
    sides: np.ndarray
    patches: np.ndarray
    scratch: tuple[int, int]
    nothing: np.ndarray  # zeros: pixels outside the image, no bias, and the offset of the one stretch of the reduction


@lru_cache(maxsize=512)
def winograd_plan(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    activation: str | None,
    workers: int,
    x_pixel: int,
) -> WinogradPlan:
    """The plan; the arguments are those of ``ConvPlan``."""
    n, height, columns, channels = x_shape
    filters, dtype = y_shape[3], np.dtype(np.float32)
    total = n * prod(patches_of(sweep))
    patches = max(PATCHES, BLOCK_BYTES // ((channels + filters) * PLACES * 4))
    blocks = ceil(ceil(total / patches) / workers) * workers
    tall = target().tile_rows
    patches = ceil(total / blocks / tall) * tall
    nothing = np.zeros(max(channels, filters), np.float32)
    panel_row = width(4) * 4
    x = Images(0, height, columns, x_pixel, channels * 4, *sweep.first)
    y = Images(0, y_shape[1], y_shape[2], filters * 4, filters * 4)
    numbers = Patches(
        n, *patches_of(sweep), patches, -(-total // patches), floor(dtype, activation).ctypes.data, nothing.ctypes.data
    )
    return WinogradPlan(
        product=product(
            dtype,
            "silu" if activation == "silu" else None,
            a_row=channels * 4,
            a_step=4,
            segments=nothing.ctypes.data,
            segment_count=1,
            length=channels,
            b_step=panel_row,
            b_segment=0,
            y_row=filters * 4,
        ),
        tiles=rows_table(patches, channels * 4, filters * 4),
        panels=panels_table(filters, 4, channels * panel_row),
        sides=one((x, y, y), SIDES),
        patches=one(numbers, PATCHES_RECORD),
        scratch=(workers, patches * PLACES * (channels + filters) * 4 + filters * 4),
        nothing=nothing,
    )


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    transformed: Located,
    y: np.ndarray,
    bias: Located | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """As ``conv.run_sweep``, with filters from ``transform_filters``."""
    plan = winograd_plan(sweep, x.shape, y.shape, activation, threads(), pixel_bytes(x))
    # One primitive at a time: the addresses of this call can be written into the plan.
    for side, images in (("x", x), ("y", y), ("residual", residual)):
        plan.sides[side]["address"] = 0 if images is None else images.ctypes.data
    plan.patches["weights"] = transformed.address
    plan.patches["bias"] = plan.nothing.ctypes.data if bias is None else bias.address
    plan.patches["residual"] = residual is not None
    scratch = memory.empty(plan.scratch, np.uint8)
    _share(plan.product, plan.tiles, plan.panels, plan.sides, plan.patches, scratch)


@kernel()
def _transform_block(first, count, images, patches, scratch):
    """The patches of one block, transformed, into the scratch."""
    pixels = np.empty(16, np.int64)
    for number in range(count):
        image, row, column = corner(first + number, patches.rows, patches.columns)
        table = find_pixels(pixels, 4, images, image, row, column, patches.nothing)
        transform_patch(table, images.channels, scratch + number * images.channels, patches.patches * images.channels)


@kernel()
def _multiply_block(count, product, tiles, panels, weights, scratch, step, products):
    """In each place, the product of the patches, which are ``step`` bytes apart, and the filters."""
    place_bytes = len(panels) * product.length * product.b_step
    out_step = step // product.a_row * product.y_row
    for place in range(16):
        for number in range(len(panels)):
            panel = panels[number]
            here = weights + place * place_bytes
            # While the tiles work, the next panel is fetched.
            ahead = here + panel.weights + product.length * product.b_step
            for index in range(len(tiles)):
                tile = tiles[index]
                if tile.write >= count * product.y_row:
                    break
                call_tile(product, tile, panel, scratch + place * step, here, products + place * out_step, 0, ahead)
                ahead += 64 * product.length


@kernel()
def _finish_block(first, count, product, sides, patches, products, beside):
    """The products of one block, transformed back, into the images. ``beside`` is written for those not there."""
    outputs, residuals, size = np.empty(4, np.int64), np.empty(4, np.int64), sides.y.channels
    for number in range(count):
        image, row, column = corner(first + number, patches.rows, patches.columns)
        to = find_pixels(outputs, 2, sides.y, image, row, column, beside)
        more = 0
        if patches.residual != 0:
            more = find_pixels(residuals, 2, sides.residual, image, row, column, patches.nothing)
        step = patches.patches * size
        transform_products(products + number * size, step, size, to, patches.bias, more, patches.floor)
        if product.silu != 0:
            for output in outputs:
                call_rows(product.silu, output, 0, 1, size // 4)


@kernel()
def _one_block(job, product, tiles, panels, sides, patches, scratch):
    """The patches of one block: transform, multiply, transform back."""
    own, first = address_of(scratch[get_thread_id()]), job * patches.patches
    count = min(patches.patches, patches.images * patches.rows * patches.columns - first)
    step = patches.patches * sides.x.channels
    products = own + 16 * step
    beside = products + 16 * patches.patches * sides.y.channels
    _transform_block(first, count, sides.x, patches, own)
    _multiply_block(count, product, tiles, panels, patches.weights, own, step, products)
    _finish_block(first, count, product, sides, patches, products, beside)


@kernel()
def _share(products, tiles, panels, sides, patches, scratch):
    share_out(patches[0].blocks, _one_block, (products[0], tiles, panels, sides[0], patches[0], scratch))
