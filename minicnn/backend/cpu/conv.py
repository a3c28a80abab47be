"""Direct convolution: no im2col matrix, no BLAS. ``README.md`` follows one from the tensor to the multiply-add.

    conv2d             y  = x * w             one sweep over x, the filters packed side by side
    conv2d_input_grad  dx = dy * w, turned    a sweep over dy for each phase of the stride, the channels side by side
    conv2d_weight_grad                        in ``weight_grad.py``

A convolution whose groups have one channel each goes to ``depthwise.py``.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from ..base import Window
from . import depthwise, memory, winograd
from .compiling import LOCK, kernel, threads
from .layout import even_pixels, images_for, pixel_bytes
from .microkernel import VECTORS, address_of, clear_bytes, copy_bytes, tile_function
from .moments import finish
from .packing import pack
from .sharing import share_out
from .sweep import Sweep, forward_sweep, input_grad_sweeps
from .target import target
from .tiles import (
    NO_SUMS,
    Product,
    cuts,
    floor,
    panel_widths,
    repeated,
    rows_table,
    run_tiles,
    share_tiles,
    silu_function,
    zeros,
)

# What a thread works on at a time is to stay in its own cache (1 to 2 MB on today's processors) with some weights.
BLOCK_BYTES = 256 * 1024
PARTS = 16  # of work whose sums are gathered
SERIAL = 1 << 18  # multiply-adds: one thread is done with so few before another has woken up
ACTIVATIONS = None, "relu", "silu"


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    window: Window,
    groups: int = 1,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """See ``reference.conv.conv2d``; and on the way out ``+ bias``, ``+ residual`` and a ReLU where they are wanted.

    Args:
        bias: (K,).
        residual: like the result.
    """
    return Packed(weight, window, groups, bias)(x, residual, relu)


class Packed:
    """The filters of a convolution, packed once for inputs of any size. Later writes into ``weight`` are not seen."""

    def __init__(self, weight: np.ndarray, window: Window, groups: int = 1, bias: np.ndarray | None = None) -> None:
        self.window, self.groups = window, groups
        self.filters = weight.shape[0]
        self.depthwise = weight.shape[1] == 1 and self.filters == groups > 1
        numbers = tap_numbers(window)
        with LOCK:
            if self.depthwise:
                self.panels = depthwise.pack_taps(weight, numbers)
            else:
                self.panels = pack_filters(weight, groups, numbers)
        self.tables: dict[Prepared, np.ndarray] = {}  # those of ``panels``, for images of each shape
        self.bias = None if bias is None else padded_bias(bias, 1 if self.depthwise else groups)

    def __call__(
        self,
        x: np.ndarray,
        residual: np.ndarray | None = None,
        relu: bool = False,
        *,
        activation: str | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """The convolution of images (N, C, H, W).

        Args:
            residual: like the result.
            relu: the same as the activation "relu".
            activation: "relu" or "silu", applied on the way out, to the sum with the residual.
            out: where the result is to be written, instead of new images: some with pixels, such as a slice
                ``big[:, a:b]`` of the channels of larger ones.

        Raises:
            ValueError: if the result cannot be written into ``out``, or there is no such activation.
        """
        activation = "relu" if relu else activation
        if activation not in ACTIVATIONS:
            raise ValueError(f"expected one of the activations {ACTIVATIONS}, got {activation!r}")
        sweep = forward_sweep(self.window, x.shape[2:])
        y = images_for((x.shape[0], self.filters, *sweep.count), x.dtype, out)
        with LOCK:
            pixels, result = even_pixels(x), even_pixels(y)
            other = None if residual is None else in_step(residual, result)
            if self.depthwise:
                depthwise.run_sweep(sweep, pixels, self.panels, self.groups, result, self.bias, other, activation)
            elif winograd.suits(sweep, pixels.shape, self.filters, self.groups, x.dtype):
                winograd.run_sweep(sweep, pixels, self.transformed, self.groups, result, self.bias, other, activation)
            elif result.size:
                run = prepared(
                    sweep, pixels.shape, result.shape, self.groups, x.dtype, activation, self.bias is not None,
                    threads(), pixel_bytes(pixels), pixel_bytes(result),
                )  # fmt: skip
                table = self.tables.get(run)
                if table is None:
                    table = self.tables[run] = run.table(self.panels, self.bias)
                run(pixels, result, table, other)
        return y

    @cached_property
    def transformed(self) -> np.ndarray:
        """The filters as ``winograd.py`` wants them."""
        return winograd.transform_filters(self.panels[0])


def conv2d_moments(
    x: np.ndarray,
    weight: np.ndarray,
    window: Window,
    groups: int = 1,
    bias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``conv2d``, and the mean and the variance of each of its channels (K,), float64, gathered on the way out.

    Raises:
        ValueError: if ``gathers_moments`` says that this is not possible, or the result cannot be written into ``out``.
    """
    if not gathers_moments(x, weight, window, groups):
        raise ValueError("expected a convolution that gathers_moments")
    packed = Packed(weight, window, groups, bias)
    sweep = forward_sweep(window, x.shape[2:])
    y = images_for((x.shape[0], packed.filters, *sweep.count), x.dtype, out)
    with LOCK:
        pixels, result = even_pixels(x), even_pixels(y)
        # The parts must not depend on how many threads there are, for the sums' bits not to.
        run = prepared(
            sweep, pixels.shape, result.shape, groups, x.dtype, None, bias is not None, PARTS, pixel_bytes(pixels),
            pixel_bytes(result),
        )  # fmt: skip
        sums = run.empty_sums()
        run(pixels, result, run.table(packed.panels, packed.bias), None, sums)
    return y, *finish(sums, packed.filters, result.size // packed.filters)


def gathers_moments(x: np.ndarray, weight: np.ndarray, window: Window, groups: int = 1) -> bool:
    """Whether ``conv2d_moments`` computes this: in float32, in the direct form, and not depthwise."""
    sweep = forward_sweep(window, x.shape[2:])
    n, channels, height, width = x.shape
    direct = not winograd.suits(sweep, (n, height, width, channels), len(weight), groups, x.dtype)
    depth = weight.shape[1] == 1 and len(weight) == groups > 1
    return x.dtype == weight.dtype == np.float32 and bool(x.size) and min(sweep.count) > 0 and direct and not depth


def conv2d_input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    x_shape: tuple[int, ...],
    window: Window,
    groups: int = 1,
    *,
    residual: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """See ``reference.conv.conv2d_input_grad``.

    Args:
        residual: another gradient at the input, which is added; it may be ``out``.
        out: as of ``Packed``.
    """
    n, channels, height, width = x_shape
    dx = images_for((n, channels, height, width), dy.dtype, out)
    sweeps = input_grad_sweeps(window, x_shape[2:])
    source, result = even_pixels(dy), even_pixels(dx)
    other = None if residual is None else in_step(residual, result)
    if len(sweeps) < window.stride[0] * window.stride[1] and (out is None or out is not residual):
        result[...] = 0 if other is None else other  # for the pixels that no window saw
    with LOCK:
        for sweep in sweeps:
            if weight.shape[1] == 1 and weight.shape[0] == groups > 1:
                packed = depthwise.pack_taps(weight, sweep.numbers)
                depthwise.run_sweep(sweep, source, packed, groups, result, residual=other)
                continue
            panels = pack_filters(weight, groups, sweep.numbers, turned=True)
            if winograd.suits(sweep, source.shape, x_shape[1], groups, dy.dtype):
                filters = winograd.transform_filters(panels[0])
                winograd.run_sweep(sweep, source, filters, groups, result, residual=other)
            else:
                run_sweep(sweep, source, panels, groups, result, residual=other)
    return dx


@cache
def tap_numbers(window: Window) -> tuple[int, ...]:
    """The order of a window's taps (``Sweep.numbers``), which does not depend on the images' size."""
    height, width = (max(window.extent(axis) - sum(window.padding[axis]), 1) for axis in (0, 1))
    return forward_sweep(window, (height, width)).numbers


def in_step(residual: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The residual (N, K, oH, oW) as pixels that lie as far apart as those of the result y (N, oH, oW, K).

    A tile reads one as it writes the other. What lies otherwise is copied into the result, and read there.
    """
    pixels = even_pixels(residual)
    if y.size and pixel_bytes(pixels) != pixel_bytes(y):
        y[...] = pixels
        return y
    return pixels


# ---- packing ---------------------------------------------------------------------------------------------------------


def pack_filters(weight: np.ndarray, groups: int, numbers: tuple[int, ...], turned: bool = False) -> np.ndarray:
    """Panels (groups, panels, steps, F) for a sweep whose taps are these.

    Args:
        weight: (K, C / groups, kH, kW).
        numbers: from ``Sweep.numbers``.
        turned: put the channels side by side and reduce over the filters: for the gradient at the input.
    """
    weight = np.ascontiguousarray(weight)
    filters, channels, kernel_h, kernel_w = weight.shape
    taps, filters = kernel_h * kernel_w, filters // groups
    columns, steps = (channels, filters) if turned else (filters, channels)
    column_step, step_step = (taps, channels * taps) if turned else (channels * taps, taps)
    packed = [
        pack(weight, columns, steps, numbers, column_step, step_step, first=group * filters * channels * taps)
        for group in range(groups)
    ]
    return packed[0][None] if groups == 1 else np.stack(packed)


def padded_bias(bias: np.ndarray, groups: int) -> np.ndarray:
    """(groups * panels * F,): each panel's bias, with zeros where a panel has no filter."""
    widths = panel_widths(len(bias) // groups, bias.itemsize)
    width = VECTORS * target().lanes(bias.itemsize)
    padded = np.zeros((groups, len(widths) * width), bias.dtype)
    padded[:, : len(bias) // groups] = bias.reshape(groups, -1)
    return padded.reshape(-1)


# ---- running a sweep -------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """How a sweep over images of one shape is cut into work; everything that does not depend on addresses."""

    way: str  # "direct": read x as it is; "padded": pad all of it first; "blocks": pad a block of rows at a time
    tiles: np.ndarray
    segments: np.ndarray
    length: int
    a_row: int
    y_row: int
    rows: int  # of positions in a block
    blocks: int  # per image
    tile_parts: int
    panel_blocks: int


@lru_cache(maxsize=512)
def plan(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    groups: int,
    itemsize: int,
    workers: int,
    x_pixel: int,
    y_pixel: int,
) -> Plan:
    """The plan for images (N, H, W, C) and results (N, oH, oW, K), whose pixels lie so many bytes apart."""
    n, height, width, channels = x_shape
    filters = y_shape[3]
    inside = sweep.inside(height, width)
    pixel = x_pixel if inside else channels * itemsize
    # A run of taps reads neighbouring pixels as one stretch: all of each pixel, with nothing between them.
    whole = groups == 1 and pixel == channels * itemsize
    runs = sweep.runs if whole else [[tap] for run in sweep.runs for tap in run]
    length = len(runs[0]) * channels // groups
    y_line = y_shape[2] * y_pixel
    y_row = sweep.write_step[1] * y_pixel
    x_bytes = n * height * width * channels * itemsize
    weight_bytes = len(sweep.taps) * channels * filters // groups * itemsize
    positions = n * sweep.count[0] * sweep.count[1]
    way = "direct" if inside else "padded" if weight_bytes > x_bytes or positions < 1024 else "blocks"

    line = width * pixel if inside else sweep.seen[1] * pixel  # bytes from a row of pixels to the next
    top, left = sweep.first
    origin = top * line + left * pixel if inside else 0
    segments = np.array([origin + (run[0][0] - top) * line + (run[0][1] - left) * pixel for run in runs], np.int64)
    a_row = sweep.stride[1] * pixel
    along = rows_table(sweep.count[1], a_row, y_row)
    rows, blocks = sweep.count[0], 1
    if way == "blocks":
        rows = max(1, (BLOCK_BYTES // line - sweep.span[0]) // sweep.stride[0] + 1)
        blocks = -(-sweep.count[0] // rows)
        while n * blocks % workers and blocks < sweep.count[0]:
            blocks += 1
        rows = -(-sweep.count[0] // blocks)
        blocks = -(-sweep.count[0] // rows)
    line_steps = sweep.stride[0] * line, sweep.write_step[0] * y_line
    image_steps = (height if inside else sweep.seen[0]) * line, y_shape[1] * y_line
    if (
        inside
        and line_steps == (sweep.count[1] * a_row, sweep.count[1] * y_row)
        and image_steps == tuple(sweep.count[0] * step for step in line_steps)
    ):
        tiles = rows_table(positions, a_row, y_row)  # a 1x1 convolution: one long row
    else:
        tiles = repeated(along, rows, *line_steps)
        if way != "blocks":
            tiles = repeated(tiles, n, *image_steps)
    if positions * len(sweep.taps) * (channels // groups) * filters <= SERIAL and way != "blocks":
        return Plan(way, tiles, segments, length, a_row, y_row, rows, blocks, 1, 1)
    panels = groups * len(panel_widths(filters // groups, itemsize))
    panel_blocks = min(workers, panels) if weight_bytes > x_bytes else 1
    part_bytes = BLOCK_BYTES if panel_blocks == 1 else 4 * BLOCK_BYTES
    tile_parts = max(-(-workers // panel_blocks), -(-x_bytes // part_bytes))
    tile_parts = min(len(tiles), -(-tile_parts // workers) * workers if panel_blocks == 1 else tile_parts)
    return Plan(way, tiles, segments, length, a_row, y_row, rows, blocks, tile_parts, panel_blocks)


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    panels: np.ndarray,
    groups: int,
    y: np.ndarray,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """Write the results of a sweep into y.

    Args:
        x, y: (N, H, W, C) and (N, oH, oW, K), from ``even_pixels``.
        panels: from ``pack_filters``.
        bias: from ``padded_bias``.
        residual: (N, oH, oW, K), from ``in_step``.
    """
    if y.size and min(sweep.count):
        run = prepared(
            sweep, x.shape, y.shape, groups, x.dtype, activation, bias is not None, threads(), pixel_bytes(x),
            pixel_bytes(y),
        )  # fmt: skip
        run(x, y, run.table(panels, bias), residual)


class Prepared:
    """A sweep over images of one shape, with everything worked out that does not depend on where they lie."""

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
        y_pixel: int,
    ) -> None:
        size, self.filters = dtype.itemsize, y_shape[3]
        self.steps = steps = plan(sweep, x_shape, y_shape, groups, size, workers, x_pixel, y_pixel)
        n, height, width, channels = x_shape
        width_bytes = VECTORS * target().lanes(size) * size
        self.product = Product(
            function=tile_function(dtype),
            a_row=steps.a_row,
            a_step=size,
            segments=steps.segments,
            length=steps.length,
            b_step=width_bytes,
            b_segment=steps.length * width_bytes,
            y_row=steps.y_row,
            start=None,
            floor=floor(dtype, activation),
            silu=silu_function(dtype, activation),
        )
        self.numbers = self.product.numbers()
        self.zeros = zeros(size)
        numbers = len(sweep.taps) * (channels // groups) * width_bytes // size
        self.relative = _relative_panels(numbers, size, groups, channels, y_shape[3], bias)
        self.first = (sweep.write_start[0] * y_shape[2] + sweep.write_start[1]) * y_pixel
        self.tile_cuts = cuts(len(steps.tiles), steps.tile_parts)
        self.panel_cuts = cuts(len(self.relative), steps.panel_blocks)
        pixel = channels * size
        if steps.way == "blocks":
            blocks = Blocks.of(sweep, x_shape, y_shape, steps, x_pixel, y_pixel, pixel)
            self.blocks = np.array(blocks, np.int64)
            self.scratch: tuple[int, ...] = (
                max(workers, threads()),
                ((steps.rows - 1) * sweep.stride[0] + sweep.span[0]) * blocks.line + 64,
            )
        elif steps.way == "padded":
            geometry = height, width, x_pixel, pixel, sweep.first[0], *sweep.margins(width)
            self.geometry = np.array(geometry, np.int64)
            self.scratch = n, *sweep.seen, pixel

    def table(self, panels: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        """The table of these panels, with the addresses of weights and bias: see ``tiles.py`` for the columns."""
        start = self.zeros if bias is None else bias
        moves = np.array((panels.ctypes.data, 0, 0, 0, 0, start.ctypes.data), np.int64)  # of WEIGHTS and START
        table: np.ndarray = self.relative + moves
        return table

    def empty_sums(self) -> np.ndarray:
        """Zeros for the moments of what the parts compute: see ``moments.py``."""
        if self.steps.way == "blocks":
            parts = int(self.blocks[0] * self.blocks[13])
        else:
            parts = (len(self.tile_cuts) - 1) * (len(self.panel_cuts) - 1)
        sums = memory.empty((parts, 2, self.filters + VECTORS * target().lanes(4)), np.float64)
        sums[...] = 0
        return sums

    def __call__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        table: np.ndarray,
        residual: np.ndarray | None,
        sums: np.ndarray = NO_SUMS,
    ) -> None:
        """Run it; the arrays are as of ``run_sweep``, ``sums`` from ``empty_sums``."""
        source, result = x.ctypes.data, y.ctypes.data + self.first
        other = 0 if residual is None else residual.ctypes.data + self.first
        numbers, steps = self.numbers, self.steps
        if steps.way == "direct":
            share_tiles(numbers, steps.tiles, table, source, result, other, self.tile_cuts, self.panel_cuts, sums)
            return
        scratch = memory.empty(self.scratch, np.uint8)
        if steps.way == "blocks":
            _share_blocks(numbers, steps.tiles, table, self.blocks, scratch, source, result, other, sums)
        else:
            _share_padding(source, self.geometry, scratch)
            padded = scratch.ctypes.data
            share_tiles(numbers, steps.tiles, table, padded, result, other, self.tile_cuts, self.panel_cuts, sums)


prepared = lru_cache(maxsize=512)(Prepared)


@lru_cache(maxsize=512)
def _relative_panels(numbers: int, size: int, groups: int, channels: int, filters: int, bias: bool) -> np.ndarray:
    """A row for each panel of each group, if the panels, of so many numbers each, and the bias lie at address 0."""
    width = VECTORS * target().lanes(size)
    widths = panel_widths(filters // groups, size)
    rows = []
    for group in range(groups):
        for number, (first, vectors, used) in enumerate(widths):
            index = group * len(widths) + number
            read, write = group * channels // groups * size, (group * filters // groups + first) * size
            rows.append((index * numbers * size, read, write, vectors, used, index * width * size if bias else 0))
    return np.array(rows, np.int64)


# ---- a block of rows at a time, padded in a thread's own scratch -----------------------------------------------------


class Blocks(NamedTuple):
    """Numbers for ``_block``; those ending in ``_bytes`` and ``line`` are in bytes."""

    blocks: int
    rows: int
    positions: int
    tiles_per_row: int
    stride: int
    span: int
    top: int
    height: int
    line: int  # of the scratch
    before: int  # zeros at the beginning of a line
    skipped: int  # of a row of x, if the first window begins inside
    copied: int
    x_row_bytes: int
    images: int
    y_down_bytes: int
    y_image_bytes: int
    x_pixel: int
    pixel: int  # of the scratch, which holds no other channels

    @staticmethod
    def of(
        sweep: Sweep,
        x_shape: tuple[int, ...],
        y_shape: tuple[int, ...],
        steps: Plan,
        x_pixel: int,
        y_pixel: int,
        pixel: int,
    ) -> Blocks:
        """For this sweep over images of this shape; bytes from pixel to pixel of x, of y and of the scratch."""
        n, height, width, _ = x_shape
        before, skipped, copied = sweep.margins(width)
        y_line = y_shape[2] * y_pixel
        return Blocks(
            blocks=steps.blocks,
            rows=steps.rows,
            positions=sweep.count[0],
            tiles_per_row=len(steps.tiles) // steps.rows,
            stride=sweep.stride[0],
            span=sweep.span[0],
            top=sweep.first[0],
            height=height,
            line=sweep.seen[1] * pixel,
            before=before * pixel,
            skipped=skipped * x_pixel,
            copied=copied * pixel,
            x_row_bytes=width * x_pixel,
            images=n,
            y_down_bytes=sweep.write_step[0] * y_line,
            y_image_bytes=y_shape[1] * y_line,
            x_pixel=x_pixel,
            pixel=pixel,
        )


@kernel()
def copy_padded_row(source, target_address, line, before, skipped, copied, x_pixel, pixel):
    """A row of pixels with zeros on both sides; ``source`` 0 for a row of zeros.

    Pixels of ``pixel`` bytes lie ``x_pixel`` bytes apart, and are copied side by side.
    """
    if source == 0:
        clear_bytes(target_address, line)
        return
    clear_bytes(target_address, before)
    if x_pixel == pixel:
        copy_bytes(target_address + before, source + skipped, copied)
    else:
        for number in range(copied // pixel):
            copy_bytes(target_address + before + number * pixel, source + skipped + number * x_pixel, pixel)
    clear_bytes(target_address + before + copied, line - before - copied)


@kernel()
def _block(numbers, tiles, panels, blocks, scratch, x, y, residual, sums, job):
    """One block of rows of one image: pad what it sees, then run its tiles."""
    per_image, rows, positions, tiles_per_row, stride, span, top, height = blocks[:8]
    line, before, skipped, copied, x_row_bytes, _, y_down_bytes, y_image_bytes = blocks[8:16]
    x_pixel, pixel = blocks[16:18]
    image, first = job // per_image, job % per_image * rows
    count = min(rows, positions - first)
    for i in range((count - 1) * stride + span):
        row = first * stride + top + i
        source = x + (image * height + row) * x_row_bytes if 0 <= row < height else 0
        copy_padded_row(source, scratch + i * line, line, before, skipped, copied, x_pixel, pixel)
    moved = image * y_image_bytes + first * y_down_bytes
    run_tiles(
        numbers, tiles[: count * tiles_per_row], panels, scratch, y + moved, residual + moved if residual != 0 else 0,
        address_of(sums[job]) if sums.shape[2] else 0, sums.shape[2] * 8,
    )  # fmt: skip


@kernel()
def _one_block(job, numbers, tiles, panels, blocks, scratch, x, y, residual, sums):
    own = address_of(scratch[get_thread_id()])
    _block(numbers, tiles, panels, blocks, own, x, y, residual, sums, job)


@kernel()
def _share_blocks(numbers, tiles, panels, blocks, scratch, x, y, residual, sums):
    share_out(blocks[0] * blocks[13], _one_block, (numbers, tiles, panels, blocks, scratch, x, y, residual, sums))


PADDED_BY_ONE = 1 << 16  # bytes


@kernel()
def _pad_row(job, x, geometry, padded):
    height, width, x_pixel, pixel, top, before, skipped, copied = geometry[:8]
    rows, columns = padded.shape[1], padded.shape[2]
    image, row = job // rows, job % rows + top
    source = x + (image * height + row) * width * x_pixel if 0 <= row < height else 0
    copy_padded_row(
        source, address_of(padded[image, job % rows]), columns * pixel, before * pixel, skipped * x_pixel,
        copied * pixel, x_pixel, pixel,
    )  # fmt: skip


@kernel()
def _share_padding(x, geometry, padded):
    rows = padded.shape[0] * padded.shape[1]
    if padded.size <= PADDED_BY_ONE:
        for row in range(rows):
            _pad_row(row, x, geometry, padded)
    else:
        share_out(rows, _pad_row, (x, geometry, padded))
