"""A block of rows at a time: which pixels of an image it sees, with the zeros around it.

Every convolution whose windows reach outside the image copies blocks of rows to where a thread works on them, with
zeros for what is outside: the direct one all channels, the depthwise one some channels, the gradient at the weight some
channels side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .compiling import kernel
from .microkernel import clear_bytes, copy_bytes
from .records import one, record
from .sweep import Sweep


class Blocks(NamedTuple):
    """How the images of a sweep are cut into blocks, and what a block sees of them; all that is not in bytes is in
    images, rows or pixels.
    """

    images: int
    height: int
    row_bytes: int  # from a row of the images to the next
    pixel_bytes: int  # from a pixel to the next: more than its channels take where they are part of larger images
    channels_bytes: int  # of a pixel
    stride: int  # along the height
    span: int  # rows that one position sees
    top: int  # row of the image that the first position sees first: negative in the padding
    columns: int  # of pixels in a row of a block
    before: int  # of them zeros at the beginning
    skipped: int  # pixels of a row of the image, if the first window begins inside
    copied: int
    positions: int  # along the height of an image
    along: int  # positions along the width
    rows: int  # of positions in a block
    blocks: int  # in an image
    y_down: int = 0  # bytes from a row of results to the next
    y_image: int = 0  # and from an image to the next
    tiles: int = 0  # in a row of positions


BLOCKS = record(Blocks)


def blocks_of(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    x_pixel: int,
    itemsize: int,
    rows: int,
    y_shape: tuple[int, ...] = (0, 0, 0, 0),
    tiles: int = 0,
) -> np.ndarray:
    """An array of one record of ``Blocks``, of ``rows`` rows each, for images x (N, H, W, C), whose pixels lie
    ``x_pixel`` bytes apart, and results (N, oH, oW, K).
    """
    n, height, width, channels = x_shape
    before, skipped, copied = sweep.margins(width)
    y_line = y_shape[2] * y_shape[3] * itemsize
    blocks = Blocks(
        images=n,
        height=height,
        row_bytes=width * x_pixel,
        pixel_bytes=x_pixel,
        channels_bytes=channels * itemsize,
        stride=sweep.stride[0],
        span=sweep.span[0],
        top=sweep.first[0],
        columns=sweep.seen[1],
        before=before,
        skipped=skipped,
        copied=copied,
        positions=sweep.count[0],
        along=sweep.count[1],
        rows=rows,
        blocks=-(-sweep.count[0] // rows),
        y_down=sweep.write_step[0] * y_line,
        y_image=y_shape[1] * y_line,
        tiles=tiles,
    )
    return one(blocks, BLOCKS)


def rows_in_block(sweep: Sweep, line: int, most: int, pieces: int, workers: int) -> int:
    """Rows of positions in a block whose rows of pixels of ``line`` bytes are to fit into ``most`` bytes.

    The blocks of all ``pieces`` are, where that can be had, as many for each of the workers.
    """
    rows = max(1, (most // max(line, 1) - sweep.span[0]) // sweep.stride[0] + 1)
    blocks = -(-sweep.count[0] // rows)
    while pieces * blocks % workers and blocks < sweep.count[0]:
        blocks += 1
    return -(-sweep.count[0] // blocks)


def lines_of(sweep: Sweep, rows: int) -> int:
    """Rows of pixels that ``rows`` rows of positions see."""
    return (rows - 1) * sweep.stride[0] + sweep.span[0]


@kernel()
def source_row(blocks, x, image, row):
    """The address of the first pixel of this row that is seen; 0 if none of the row is."""
    if row < 0 or row >= blocks.height or blocks.copied == 0:
        return 0
    return x + (image * blocks.height + row) * blocks.row_bytes + blocks.skipped * blocks.pixel_bytes


@kernel()
def copy_padded_row(blocks, source, to):
    """A row of whole pixels side by side, with zeros around; ``source`` is from ``source_row``."""
    pixel, pixels = blocks.channels_bytes, blocks.copied
    if source == 0:
        clear_bytes(to, blocks.columns * pixel)
        return
    clear_bytes(to, blocks.before * pixel)
    first = to + blocks.before * pixel
    if blocks.pixel_bytes == pixel:
        copy_bytes(first, source, pixels * pixel)
    else:
        for number in range(pixels):
            copy_bytes(first + number * pixel, source + number * blocks.pixel_bytes, pixel)
    clear_bytes(first + pixels * pixel, (blocks.columns - blocks.before - pixels) * pixel)
