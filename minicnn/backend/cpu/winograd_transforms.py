"""Winograd's transforms, as LLVM code: streams of vectors of channels in, streams of vectors out.

With B^T, G and A^T as in ``winograd.py``::

    transform_taps        G g G^T        3x3 taps of filters        -> 4x4 places
    transform_patch       B^T d B        4x4 pixels                 -> 4x4 places
    transform_products    A^T M A        4x4 places                 -> 2x2 outputs, with bias, residual and ReLU
    transform_cotangent   A dY A^T       2x2 cotangents of outputs  -> 4x4 places
    transform_sums        G^T P G        4x4 places                 -> 3x3 taps: the gradient

Sizes and steps are in bytes; ``size``, of the channels of a pixel or of the filters of a tap, is a multiple of a
vector's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiling import intrinsic, kernel
from .microkernel import address_of
from .records import record
from .target import target
from .vector_code import INT64, Code, integer_at

Grid = list[list[Any]]

BT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
AT = ((1, 1, 1, 0), (0, 1, -1, -1))
A = tuple(zip(*AT, strict=True))


# ---- what all of them are made of ------------------------------------------------------------------------------------


@contextmanager
def _each_vector(builder: Any, size: Any) -> Iterator[Any]:
    """The code inside is run for the offset of every vector in ``size`` bytes."""
    width = INT64(target().vector_bytes)
    with cgutils.for_range_slice(builder, INT64(0), size, width, intp=INT64) as (offset, _):
        yield offset


def _addresses(code: Code, table: Any, count: int) -> list[Any]:
    """The numbers of a table of addresses."""
    return [integer_at(code.builder, table, 8 * index) for index in range(count)]


def _load(code: Code, first: Any, step: Any, side: int) -> Grid:
    """A square of vectors that lie ``step`` apart, in reading order."""
    place, grid = first, []
    for _ in range(side):
        line = []
        for _ in range(side):
            line.append(code.load(place))
            place = code.builder.add(place, step)
        grid.append(line)
    return grid


def _store(code: Code, grid: Grid, first: Any, step: Any) -> None:
    """Write vectors ``step`` apart."""
    place = first
    for line in grid:
        for value in line:
            code.store(value, place)
            place = code.builder.add(place, step)


def _combine(code: Code, factors: tuple[int, ...], values: list[Any]) -> Any:
    """The sum of some values and the negatives of others."""
    total = None
    for factor, value in sorted(zip(factors, values, strict=True), key=lambda pair: -pair[0]):
        if factor == 1:
            total = value if total is None else code.builder.fadd(total, value)
        elif factor == -1:
            total = code.builder.fneg(value) if total is None else code.builder.fsub(total, value)
    return total


def _both_sides(code: Code, matrix: tuple[tuple[int, ...], ...], grid: Grid) -> Grid:
    """``matrix @ grid @ matrix^T``."""
    size = len(grid[0])
    columns = [[_combine(code, row, [line[j] for line in grid]) for j in range(size)] for row in matrix]
    return [[_combine(code, row, line) for row in matrix] for line in columns]


def _filter_sides(code: Code, grid: Grid) -> Grid:
    """G g G^T."""
    builder, half = code.builder, code.spread(ir.Constant(code.scalar, 0.5))

    def three_to_four(first: Any, middle: Any, last: Any) -> list[Any]:
        outer = builder.fmul(builder.fadd(first, last), half)
        inner = builder.fmul(middle, half)
        return [first, builder.fadd(outer, inner), builder.fsub(outer, inner), last]

    columns = [three_to_four(*(line[j] for line in grid)) for j in range(3)]
    return [three_to_four(*(column[i] for column in columns)) for i in range(4)]


def _sum_sides(code: Code, grid: Grid) -> Grid:
    """G^T P G."""
    builder, half = code.builder, code.spread(ir.Constant(code.scalar, 0.5))

    def four_to_three(first: Any, second: Any, third: Any, last: Any) -> list[Any]:
        both = builder.fmul(builder.fadd(second, third), half)
        difference = builder.fmul(builder.fsub(second, third), half)
        return [builder.fadd(first, both), difference, builder.fadd(both, last)]

    columns = [four_to_three(*(line[j] for line in grid)) for j in range(4)]
    return [four_to_three(*(column[i] for column in columns)) for i in range(3)]


# ---- the transforms --------------------------------------------------------------------------------------------------


@intrinsic
def transform_taps(typing_context, taps, tap_step, size, places, step):
    """G g G^T of ``size`` bytes of each of nine taps, which lie ``tap_step`` apart, into places ``step`` apart."""

    def generate(context, builder, signature, arguments):
        taps, tap_step, size, places, step = arguments
        code = Code(builder, types.float32, target())
        with _each_vector(builder, size) as offset:
            grid = _load(code, builder.add(taps, offset), tap_step, 3)
            _store(code, _filter_sides(code, grid), builder.add(places, offset), step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def transform_sums(typing_context, places, step, size, taps, tap_step):
    """G^T P G of ``size`` bytes of each of 16 places, ``step`` apart, into nine taps ``tap_step`` apart."""

    def generate(context, builder, signature, arguments):
        places, step, size, taps, tap_step = arguments
        code = Code(builder, types.float32, target())
        with _each_vector(builder, size) as offset:
            grid = _load(code, builder.add(places, offset), step, 4)
            _store(code, _sum_sides(code, grid), builder.add(taps, offset), tap_step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def transform_patch(typing_context, pixels, size, patch, step):
    """B^T d B of the 4x4 pixels at a table of 16 addresses, into places ``step`` apart from ``patch`` on."""

    def generate(context, builder, signature, arguments):
        return _transform_pixels(context, builder, arguments, BT)

    return types.void(*[types.int64] * 4), generate


@intrinsic
def transform_cotangent(typing_context, pixels, size, patch, step):
    """A dY A^T of the 2x2 cotangents at a table of 4 addresses; otherwise as ``transform_patch``."""

    def generate(context, builder, signature, arguments):
        return _transform_pixels(context, builder, arguments, A)

    return types.void(*[types.int64] * 4), generate


def _transform_pixels(context: Any, builder: Any, arguments: Any, matrix: tuple[tuple[int, ...], ...]) -> Any:
    pixels, size, patch, step = arguments
    code, side = Code(builder, types.float32, target()), len(matrix[0])
    sources = _addresses(code, pixels, side * side)
    with _each_vector(builder, size) as offset:
        values = [code.load(builder.add(source, offset)) for source in sources]
        grid = [values[side * i : side * (i + 1)] for i in range(side)]
        _store(code, _both_sides(code, matrix, grid), builder.add(patch, offset), step)
    return context.get_dummy_value()


@intrinsic
def transform_products(typing_context, products, step, size, pixels, bias, residuals, floor):
    """A^T M A of one patch, plus the bias and the residual, and at least ``floor``: 2x2 outputs.

    ``pixels`` and ``residuals`` are tables of 4 addresses, the second 0 for none; ``bias`` is an address.
    """

    def generate(context, builder, signature, arguments):
        products, step, size, pixels, bias, residuals, floor = arguments
        code = Code(builder, types.float32, target())
        targets = _addresses(code, pixels, 4)
        more = builder.icmp_signed("!=", residuals, INT64(0))
        others = _addresses(code, builder.select(more, residuals, pixels), 4)
        least = code.load_spread(floor)
        with _each_vector(builder, size) as offset:
            grid = _load(code, builder.add(products, offset), step, 4)
            first = code.load(builder.add(bias, offset))
            outputs = [value for line in _both_sides(code, AT, grid) for value in line]
            for value, to, other in zip(outputs, targets, others, strict=True):
                total = cgutils.alloca_once_value(builder, builder.fadd(value, first))
                with builder.if_then(more):
                    added = builder.fadd(builder.load(total), code.load(builder.add(other, offset)))
                    builder.store(added, total)
                code.store(code.maximum(builder.load(total), least), builder.add(to, offset))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


# ---- where the pixels of a patch lie ---------------------------------------------------------------------------------


class Images(NamedTuple):
    """Images (N, H, W, C) that are read or written in patches."""

    address: int
    height: int
    width: int
    pixel: int  # bytes from a pixel to the next
    channels: int  # bytes
    top: int = 0  # row and column of the first patch
    left: int = 0


IMAGES = record(Images)


@kernel()
def corner(patch, rows, columns):
    """Image, row and column of the upper left output of a patch: each image has ``rows`` x ``columns`` of them."""
    return patch // (rows * columns), 2 * (patch // columns % rows), 2 * (patch % columns)


@kernel()
def find_pixels(table, side, images, image, row, column, outside):
    """Fill a table with the addresses of a square of pixels, for the patch whose outputs begin at this corner;
    ``outside`` is that of those there are not.
    """
    height, width, pixel = images.height, images.width, images.pixel
    top, left = row + images.top, column + images.left
    for i in range(side):
        line = images.address + (image * height + top + i) * width * pixel
        for j in range(side):
            there = 0 <= top + i < height and 0 <= left + j < width
            table[side * i + j] = line + (left + j) * pixel if there else outside
    return address_of(table)
