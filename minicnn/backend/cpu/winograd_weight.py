"""The gradient of a 3x3 convolution at its weight, in Winograd's way: the adjoint of what ``winograd.py`` does.

There Y = A^T [(G g G^T) * (B^T d B)] A is linear in the kernel g. Its gradient is therefore, with dY the cotangent of
the 2x2 outputs of a patch, and summed over all patches::

    dg = G^T [ (A dY A^T) * (B^T d B) ] G

In each of the 16 places the sum over patches is a matrix product, channels x patches times patches x filters.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from . import memory
from .compiling import kernel
from .layout import pixel_bytes
from .microkernel import address_of, call_tile
from .records import one, record
from .sharing import share_out
from .sweep import Sweep
from .target import target
from .tiles import panels_table, product, rows_table
from .winograd import PLACES, Worth, patches_of
from .winograd_transforms import (
    IMAGES,
    Images,
    corner,
    find_pixels,
    transform_cotangent,
    transform_patch,
    transform_sums,
)

BLOCK_BYTES = 8 << 20  # of transformed pixels and cotangents together; all threads work on one block
# With fewer patches, the 16 sums of each weight cost more than is saved.
WORTH = Worth(gain=28, patches=256)
AT_ONCE = 8  # patches in a job


class Block(NamedTuple):
    """A block of patches, and where it is transformed to."""

    rows: int  # of patches in an image
    columns: int
    patches: int  # in a block
    first: int  # patch of this block
    filled: int  # patches in this block: fewer in the last
    pixels: int  # address of the transformed pixels
    cotangents: int  # of the transformed cotangents
    products: int  # of the products in all places
    nothing: int  # of zeros: pixels outside the images


BLOCK = record(Block)
SIDES = np.dtype([("x", IMAGES), ("dy", IMAGES)])


class WinogradWeightGradPlan(NamedTuple):
    """The gradient at the weight for images of one shape, but for where they lie."""

    product: np.ndarray
    tiles: np.ndarray  # down the channels: where they read among a patch's channels, and write among the sums
    panels: np.ndarray
    sides: np.ndarray
    total: int  # patches
    patches: int  # in a block
    nothing: np.ndarray  # zeros: pixels outside the image, and the offset of the one stretch of the reduction


@lru_cache(maxsize=64)
def winograd_weight_grad_plan(
    sweep: Sweep, x_shape: tuple[int, ...], dy_shape: tuple[int, ...], x_pixel: int, dy_pixel: int
) -> WinogradWeightGradPlan:
    """The plan for images x (N, H, W, C) and cotangents dy (N, oH, oW, K), whose pixels lie so many bytes apart."""
    n, height, width, channels = x_shape
    filters = dy_shape[3]
    total = n * prod(patches_of(sweep))
    most = max(WORTH.patches, BLOCK_BYTES // ((channels + filters) * PLACES * 4))
    nothing = np.zeros(max(channels, filters), np.float32)
    x = Images(0, height, width, x_pixel, channels * 4, *sweep.first)
    dy = Images(0, dy_shape[1], dy_shape[2], dy_pixel, filters * 4)
    return WinogradWeightGradPlan(
        product=product(
            np.dtype(np.float32),
            a_row=4,
            a_step=channels * 4,
            segments=nothing.ctypes.data,
            segment_count=1,
            length=0,  # patches of a block
            b_step=filters * 4,
            b_segment=0,
            y_row=filters * 4,
        ),
        tiles=rows_table(channels, 4, filters * 4),
        panels=panels_table(filters, 4, WIDTH),
        sides=one((x, dy), SIDES),
        total=total,
        patches=-(-total // -(-total // most)),
        nothing=nothing,
    )


WIDTH = 2 * target().vector_bytes


def sums(sweep: Sweep, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The sums over all images and positions, (9 * C, K), for ``packing.unpack``.

    Args:
        x: (N, H, W, C), the images that the sweep runs over, from ``even_pixels``.
        dy: (N, oH, oW, K), the cotangents of its positions, likewise.
    """
    channels, filters = x.shape[3], dy.shape[3]
    plan = winograd_weight_grad_plan(sweep, x.shape, dy.shape, pixel_bytes(x), pixel_bytes(dy))
    pixels = memory.empty((PLACES, plan.patches, channels), np.float32)
    cotangents = memory.empty((PLACES, plan.patches, filters), np.float32)
    products = memory.empty((PLACES, channels, filters), np.float32)
    result = memory.empty((9 * channels, filters), np.float32)
    plan.sides["x"]["address"], plan.sides["dy"]["address"] = x.ctypes.data, dy.ctypes.data
    for first in range(0, plan.total, plan.patches):
        count = min(plan.patches, plan.total - first)
        places = (array.ctypes.data for array in (pixels, cotangents, products, plan.nothing))
        block = one(Block(*patches_of(sweep), plan.patches, first, count, *places), BLOCK)
        plan.product["length"] = count
        _share_transforms(plan.sides, block)
        _share_products(plan.product, plan.tiles, plan.panels, block)
    _share_results(products.view(np.uint8), result.view(np.uint8), channels, filters * 4)
    return result


@kernel()
def _transform_some(job, sides, block):
    """Some patches of a block."""
    pixels, cotangents, x, dy = np.empty(16, np.int64), np.empty(4, np.int64), sides.x, sides.dy
    for number in range(job * AT_ONCE, min(block.filled, (job + 1) * AT_ONCE)):
        image, row, column = corner(block.first + number, block.rows, block.columns)
        table = find_pixels(pixels, 4, x, image, row, column, block.nothing)
        transform_patch(table, x.channels, block.pixels + number * x.channels, block.patches * x.channels)
        table = find_pixels(cotangents, 2, dy, image, row, column, block.nothing)
        transform_cotangent(table, dy.channels, block.cotangents + number * dy.channels, block.patches * dy.channels)


@kernel()
def _share_transforms(sides, block):
    share_out((block[0].filled + AT_ONCE - 1) // AT_ONCE, _transform_some, (sides[0], block[0]))


@kernel()
def _multiply(place, product, tiles, panels, block):
    """The product of one place over a block of patches, added to what is there if there were blocks before."""
    a = block.pixels + place * block.patches * product.a_step
    b = block.cotangents + place * block.patches * product.b_step
    y = block.products + place * (product.a_step // 4) * product.y_row
    for number in range(len(panels)):
        for index in range(len(tiles)):
            panel = panels[number]
            residual = y if block.first > 0 else 0
            call_tile(product, tiles[index], panel, a, b, y, residual, b + panel.weights)


@kernel()
def _share_products(products, tiles, panels, block):
    share_out(16, _multiply, (products[0], tiles, panels, block[0]))


@kernel()
def _result(c, products, result, channels, size):
    transform_sums(address_of(products[0, c]), channels * size, size, address_of(result[c]), channels * size)


@kernel()
def _share_results(products, result, channels, size):
    share_out(channels, _result, (products, result, channels, size))
