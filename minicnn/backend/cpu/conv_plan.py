"""How a direct convolution is cut into work, and the loops that do it: see "The block of rows" in ``README.md``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import get_thread_id

from . import memory
from .blocks import blocks_of, copy_padded_row, lines_of, rows_in_block, source_row
from .compiling import kernel, threads
from .microkernel import address_of
from .records import Located
from .sharing import share_out
from .sweep import Sweep
from .tiles import (
    ARRAYS,
    panels_table,
    product,
    repeated,
    rows_table,
    run_tiles,
    share_tiles,
    width,
)

# What a thread works on at a time is to stay in its own cache (1 to 2 MB on today's processors) with some weights.
BLOCK_BYTES = 256 * 1024
FEW_POSITIONS = 1024  # of which whole images are padded, as a block would be too little work
SERIAL = 1 << 18  # multiply-adds: one thread is done with so few before another has woken up


class ConvPlan:
    """A sweep over images of one shape, with everything worked out that does not depend on where they lie.

    Args:
        sweep: with at least one position.
        x_shape, y_shape: of images (N, H, W, C) and results (N, oH, oW, K).
        groups: of the filters.
        dtype: of all arrays.
        activation: "relu", "silu" or ``None``.
        bias: whether there will be one.
        workers: among how many threads the work is shared out.
        x_pixel: bytes from a pixel of the images to the next.
    """

    way: str  # "direct": read x as it is; "padded": pad all of it first; "blocks": pad a block of rows at a time

    def __init__(
        self,
        sweep: Sweep,
        x_shape: tuple[int, ...],
        y_shape: tuple[int, ...],
        groups: int,
        dtype: np.dtype,
        activation: str | None,
        bias: bool,
        workers: int,
        x_pixel: int,
    ) -> None:
        n, height, columns, channels = x_shape
        size, filters = dtype.itemsize, y_shape[3]
        x_bytes = n * height * columns * channels * size
        weight_bytes = len(sweep.taps) * channels * filters // groups * size
        positions = n * sweep.count[0] * sweep.count[1]
        if sweep.inside(height, columns):
            self.way, rows, pixel, seen = "direct", sweep.count[0], x_pixel, (height, columns)
            top, left = 0, 0
        else:
            few = weight_bytes > x_bytes or positions < FEW_POSITIONS
            self.way, rows, pixel, seen = "padded" if few else "blocks", sweep.count[0], channels * size, sweep.seen
            top, left = sweep.first
        line = seen[1] * pixel  # bytes from a row of the pixels that tiles read to the next
        if self.way == "blocks":
            rows = rows_in_block(sweep, line, BLOCK_BYTES, n, workers)

        # A run of taps reads neighbouring pixels as one stretch: all of each pixel, with nothing between them.
        whole = groups == 1 and pixel == channels * size
        runs = sweep.runs if whole else [[tap] for run in sweep.runs for tap in run]
        offsets = [(run[0][0] - top) * line + (run[0][1] - left) * pixel for run in runs]
        self.segments = np.array(offsets, np.int64)
        length, panel_row = len(runs[0]) * channels // groups, width(size) * size
        y_pixel = filters * size
        y_row, y_line = sweep.write_step[1] * y_pixel, y_shape[2] * y_pixel
        self.product = product(
            dtype,
            activation,
            a_row=sweep.stride[1] * pixel,
            a_step=size,
            segments=self.segments.ctypes.data,
            segment_count=len(runs),
            length=length,
            b_step=panel_row,
            b_segment=length * panel_row,
            y_row=y_row,
        )
        self.start = self.product["start"]  # address of the bias, if there is one
        self.arrays = np.zeros(1, ARRAYS)
        self.first = sweep.write_start[0] * y_line + sweep.write_start[1] * y_pixel
        self.panels = _panels(len(runs) * length * panel_row, size, groups, channels, filters, bias)

        row_steps = sweep.stride[1] * pixel, y_row
        line_steps = sweep.stride[0] * line, sweep.write_step[0] * y_line
        image_steps = seen[0] * line, y_shape[1] * y_line
        along = rows_table(sweep.count[1], *row_steps)
        if (
            self.way == "direct"
            and line_steps == tuple(sweep.count[1] * step for step in row_steps)
            and image_steps == tuple(sweep.count[0] * step for step in line_steps)
        ):
            self.tiles = rows_table(positions, *row_steps)  # a 1x1 convolution: one long row
        else:
            self.tiles = repeated(along, rows, *line_steps)
            if self.way != "blocks":
                self.tiles = repeated(self.tiles, n, *image_steps)
        self.blocks = blocks_of(sweep, x_shape, x_pixel, size, rows, y_shape, len(along))
        lines = lines_of(sweep, rows) * line
        self.scratch = (n, *seen, pixel) if self.way == "padded" else (max(workers, threads()), lines + 64)

        self.tile_parts, self.panel_parts = 1, 1
        if self.way == "blocks" or positions * len(sweep.taps) * (channels // groups) * filters > SERIAL:
            self.panel_parts = min(workers, len(self.panels)) if weight_bytes > x_bytes else 1
            part_bytes = BLOCK_BYTES if self.panel_parts == 1 else 4 * BLOCK_BYTES
            parts = max(-(-workers // self.panel_parts), -(-x_bytes // part_bytes))
            self.tile_parts = min(len(self.tiles), -(-parts // workers) * workers if self.panel_parts == 1 else parts)

    def __call__(
        self,
        x: np.ndarray,
        panels: Located,
        y: np.ndarray,
        bias: Located | None = None,
        residual: np.ndarray | None = None,
    ) -> None:
        """Write the results into y. One call at a time: its addresses are written into the plan.

        Args:
            x: (N, H, W, C), from ``even_pixels``.
            y: (N, oH, oW, K).
            panels, bias: from ``filters.py``.
            residual: (N, oH, oW, K), channels last.
        """
        source, other = x.ctypes.data, 0 if residual is None else residual.ctypes.data + self.first
        scratch = None if self.way == "direct" else memory.empty(self.scratch, np.uint8)
        if scratch is not None and self.way == "padded":
            _share_padding(self.blocks, source, scratch)
            source = scratch.ctypes.data
        if bias is not None:
            self.start[0] = bias.address
        self.arrays[0] = (source, panels.address, y.ctypes.data + self.first, other)
        if scratch is not None and self.way == "blocks":
            _share_blocks(self.product, self.tiles, self.panels, self.arrays, self.blocks, scratch)
        else:
            parts = self.tile_parts, self.panel_parts
            share_tiles(self.product, self.tiles, self.panels, self.arrays, *parts)


#: The same plan for the same arguments.
conv_plan = lru_cache(maxsize=512)(ConvPlan)


@lru_cache(maxsize=512)
def _panels(step: int, size: int, groups: int, channels: int, filters: int, bias: bool) -> np.ndarray:
    """The table of the panels of each group, whose weights lie ``step`` bytes apart."""
    own = panels_table(filters // groups, size, step, bias)
    table = np.tile(own, (groups, 1))
    group = np.arange(groups)[:, None]
    table["weights"] += group * len(own) * step
    table["read"] += group * (channels // groups * size)
    table["write"] += group * (filters // groups * size)
    if bias:
        table["start"] += group * len(own) * width(size) * size
    return table.reshape(-1)


# ---- a block of rows at a time, padded in a thread's own scratch -----------------------------------------------------


@kernel()
def _one_block(job, product, tiles, panels, arrays, blocks, scratch):
    """One block of rows of one image: pad what it sees, then run its tiles."""
    image, first = job // blocks.blocks, job % blocks.blocks * blocks.rows
    count = min(blocks.rows, blocks.positions - first)
    own = scratch[get_thread_id()]
    for i in range((count - 1) * blocks.stride + blocks.span):
        source = source_row(blocks, arrays.x, image, first * blocks.stride + blocks.top + i)
        copy_padded_row(blocks, source, address_of(own) + i * blocks.columns * blocks.channels_bytes)
    moved = image * blocks.y_image + first * blocks.y_down
    residual = arrays.residual + moved if arrays.residual != 0 else 0
    some = tiles[: count * blocks.tiles]
    run_tiles(product, some, panels, address_of(own), arrays.weights, arrays.y + moved, residual)


@kernel()
def _share_blocks(products, tiles, panels, arrays, blocks, scratch):
    arguments = (products[0], tiles, panels, arrays[0], blocks[0], scratch)
    share_out(blocks[0].images * blocks[0].blocks, _one_block, arguments)


# ---- whole images, padded first --------------------------------------------------------------------------------------

PADDED_BY_ONE = 1 << 16  # bytes


@kernel()
def _pad_row(job, blocks, x, padded):
    image, row = job // padded.shape[1], job % padded.shape[1]
    copy_padded_row(blocks, source_row(blocks, x, image, row + blocks.top), address_of(padded[image, row]))


@kernel()
def _share_padding(blocks, x, padded):
    rows = padded.shape[0] * padded.shape[1]
    if padded.size <= PADDED_BY_ONE:
        for row in range(rows):
            _pad_row(row, blocks[0], x, padded)
    else:
        share_out(rows, _pad_row, (blocks[0], x, padded))
