"""The gradient of a 3x3 convolution at its weight, in Winograd's way: the adjoint of what ``winograd.py`` does.

There Y = A^T [(G g G^T) * (B^T d B)] A is linear in the kernel g. Its gradient is therefore, with dY the cotangent of
the 2x2 outputs of a patch, and summed over all patches::

    dg = G^T [ (A dY A^T) * (B^T d B) ] G

In each of the 16 places the sum over patches is a matrix product, channels x patches times patches x filters.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from . import memory, winograd
from .compiling import kernel
from .layout import pixel_bytes
from .microkernel import address_of, call_tile, tile_function
from .sharing import share_out
from .sweep import Sweep
from .target import target
from .tiles import floor, rows_table, zeros
from .winograd import PLACES
from .winograd_transforms import corner, find_pixels, transform_cotangent, transform_patch, transform_sums

BLOCK_BYTES = 8 << 20  # of transformed pixels and cotangents together; all threads work on one block
LEAST_PATCHES = 256  # with fewer, the 16 sums of each weight cost more than is saved


def suits(sweep: Sweep, x_shape: tuple[int, ...], filters: int, groups: int, dtype: np.dtype) -> bool:
    """Whether there is enough to do, and in the right shape."""
    patches = x_shape[0] * -(-sweep.count[0] // 2) * -(-sweep.count[1] // 2)
    return patches >= LEAST_PATCHES and winograd.suits(sweep, x_shape, filters, groups, dtype)


def sums(sweep: Sweep, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The sums over all images and positions, (9 * C, K), for ``packing.unpack``.

    Args:
        x: (N, H, W, C), the images that the sweep runs over, from ``even_pixels``.
        dy: (N, oH, oW, K), the cotangents of its positions, likewise.
    """
    n, height, width, channels = x.shape
    filters = dy.shape[3]
    rows, columns = -(-sweep.count[0] // 2), -(-sweep.count[1] // 2)
    total = n * rows * columns
    most = max(LEAST_PATCHES, BLOCK_BYTES // ((channels + filters) * PLACES * 4))
    patches = -(-total // -(-total // most))
    tiles = _tiles(channels, filters)
    start, least = zeros(4), floor(x.dtype)
    nothing = np.zeros(max(channels, filters), np.float32)
    scratch = memory.empty((patches * PLACES * (channels + filters) * 4,), np.uint8)
    products = memory.empty((PLACES, channels, filters), np.float32)
    result = memory.empty((9 * channels, filters), np.float32)
    numbers = np.array(
        [
            tile_function(x.dtype), start.ctypes.data, least.ctypes.data, nothing.ctypes.data,
            x.ctypes.data, height, width, channels * 4, sweep.first[0], sweep.first[1],
            dy.ctypes.data, dy.shape[1], dy.shape[2], filters * 4, rows, columns, patches,
            scratch.ctypes.data, scratch.ctypes.data + patches * PLACES * channels * 4, products.ctypes.data,
            pixel_bytes(x), pixel_bytes(dy),
        ],
        np.int64,
    )  # fmt: skip
    for first in range(0, total, patches):
        count = min(patches, total - first)
        _share_transforms(numbers, first, count)
        _share_products(numbers, tiles, count, first > 0)
    _share_results(products.view(np.uint8), result.view(np.uint8), channels, filters * 4)
    return result


@lru_cache(maxsize=64)
def _tiles(channels: int, filters: int) -> np.ndarray:
    """Tiles down the channels: where they read among a patch's channels, and write among the sums."""
    return rows_table(channels, 4, filters * 4)


AT_ONCE = 8  # patches in a job


@kernel()
def _transform(numbers, first, count, pixels, cotangents):
    """Some patches of a block, from number ``first`` of the block's own ``count[1]`` on."""
    nothing, x, height, width, pixel, top, left, dy, out_height, out_width, out_pixel = numbers[3:14]
    rows, columns, patches, patch_sums, cotangent_sums = numbers[14:19]
    x_step, dy_step = numbers[20:22]
    for number in range(first, first + count[0]):
        patch = count[1] + number
        image, row, column = corner(patch, rows, columns)
        table = find_pixels(pixels, 4, x, image, row + top, column + left, height, width, x_step, nothing)
        transform_patch(table, pixel, patch_sums + number * pixel, patches * pixel)
        table = find_pixels(cotangents, 2, dy, image, row, column, out_height, out_width, dy_step, nothing)
        transform_cotangent(table, out_pixel, cotangent_sums + number * out_pixel, patches * out_pixel)


@kernel()
def _transform_some(job, numbers, first, count):
    pixels, cotangents = np.empty(16, np.int64), np.empty(4, np.int64)
    some = min(AT_ONCE, count - job * AT_ONCE)
    _transform(numbers, job * AT_ONCE, (some, first), pixels, cotangents)


@kernel()
def _share_transforms(numbers, first, count):
    """Transform ``count`` patches from number ``first`` of all on."""
    share_out((count + AT_ONCE - 1) // AT_ONCE, _transform_some, (numbers, first, count))


@kernel()
def _multiply(place, numbers, tiles, count, further):
    """The product of one place over a block of patches, added to what is there if there were blocks before."""
    function, start, floor, nothing = numbers[:4]
    pixel, out_pixel, patches = numbers[7], numbers[13], numbers[16]
    a = numbers[17] + place * patches * pixel
    b = numbers[18] + place * patches * out_pixel
    y = numbers[19] + place * (pixel // 4) * out_pixel
    width = WIDTH
    for column in range(0, out_pixel, width):
        used = min(width, out_pixel - column) // 4
        vectors = (used * 4 + width // 2 - 1) // (width // 2)
        for tile in tiles:
            to = y + tile[1] + column
            call_tile(
                function, tile[2], vectors, a + tile[0], 4, pixel, nothing, 1, count, b + column, out_pixel, 0, start,
                to, out_pixel, used, to if further else 0, floor, b + column,
            )  # fmt: skip


WIDTH = 2 * target().vector_bytes


@kernel()
def _share_products(numbers, tiles, count, further):
    share_out(16, _multiply, (numbers, tiles, count, further))


@kernel()
def _result(c, products, result, channels, size):
    transform_sums(address_of(products[0, c]), channels * size, size, address_of(result[c]), channels * size)


@kernel()
def _share_results(products, result, channels, size):
    share_out(channels, _result, (products, result, channels, size))
