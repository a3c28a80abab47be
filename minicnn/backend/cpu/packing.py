"""Weights and pixels, copied into the order in which tiles read them.

A tile reads its weights as one stream: for each step of the reduction two vectors, the next filters' numbers side by
side. So a packed panel of F = 2 * lanes filters is ``packed[panel, step, filter]``, with zeros where there are no more
filters. Packing costs one copy of the weights; a convolution then reads them once for every block of pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from . import memory
from .compiling import intrinsic, kernel
from .microkernel import VECTORS, address_of, clear_bytes
from .records import one, record
from .sharing import share_out
from .target import target
from .vector_code import INT64, Code, integer_at

SERIAL = 1 << 15  # bytes: one thread is done with so few before another has woken up
FEW_CHANNELS = 8  # with fewer, the gradient at the weight takes the taps of a kernel's row together


class Packing(NamedTuple):
    """How the numbers of the filters lie in memory, and are to lie in panels."""

    columns: int  # filters
    size: int  # bytes of a number
    width: int  # filters in a panel
    runs: int  # stretches of numbers that lie together in a filter
    run_step: int  # bytes from one to the next
    in_rows: int  # whether it is the filters' numbers that lie side by side


class Unpacking(NamedTuple):
    """How the filters lie that the sums become."""

    filter_count: int
    size: int  # bytes of a number
    row: int  # bytes from a filter to the next


PACKING, UNPACKING = record(Packing), record(Unpacking)


def pack(
    weight: np.ndarray,
    columns: int,
    steps: int,
    taps: tuple[int, ...],
    column_step: int,
    step_step: int,
    first: int = 0,
) -> np.ndarray:
    """Panels of filters from the flat array ``weight``.

    Args:
        weight: C-contiguous, any shape.
        columns, steps: how many filters there are, and how many numbers of a tap the reduction runs over.
        taps: places in ``weight`` of the taps' first numbers, in the order of the reduction.
        column_step, step_step: from a filter to the next, and from a number of the reduction to the next.
        first: the place of the first filter's first number.

    Returns:
        (panels, T * steps, F): ``weight[first + f * column_step + s * step_step + taps[t]]`` at step ``t * steps + s``.
    """
    size = weight.itemsize
    width = VECTORS * target().lanes(size)
    packed = memory.empty((-(-columns // width), len(taps) * steps, width), weight.dtype)
    packing, stores = _packing(columns, steps, taps, column_step, step_step, size)
    source, loads = weight.ctypes.data + first * size, steps_of(width, column_step * size)
    _share_packing(packing, source, loads, stores, packed.view(np.uint8))
    return packed


@lru_cache(maxsize=512)
def steps_of(count: int, step: int) -> np.ndarray:
    """0, step, 2 * step, ..."""
    return np.arange(count, dtype=np.int64) * step


@lru_cache(maxsize=512)
def _packing(
    columns: int, steps: int, taps: tuple[int, ...], column_step: int, step_step: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The record, and where each number of a run goes, if the numbers of a filter are cut into runs that are contiguous
    in memory.

    The places are in bytes from the start of the panel, for the first run; each further run goes one row below. A place
    of -1 stands for a number of a tap that is not wanted.
    """
    width = VECTORS * target().lanes(size)
    row, runs = width * size, steps
    if column_step == 1 or step_step != len(taps) or taps != tuple(range(len(taps))):  # a run for each step
        stores = np.full(max(taps) + 1, -1, np.int64)
        stores[list(taps)] = np.arange(len(taps)) * steps * row
    else:  # in memory the taps of a step lie together
        places, runs = np.arange(len(taps) * steps, dtype=np.int64).reshape(len(taps), steps) * row, 1
        stores = np.ascontiguousarray(places.T.reshape(-1))
    return one(Packing(columns, size, width, runs, step_step * size, int(column_step == 1)), PACKING), stores


@kernel()
def _pack_panel(panel, packing, source, loads, stores, packed):
    """One panel, half of its filters at a time: as many as fit a vector, so that squares of numbers can be turned."""
    size, lanes, row = packing.size, packing.width // 2, packing.width * packing.size
    for half in range(2):
        begin = panel * packing.width + half * lanes
        rows = max(0, min(lanes, packing.columns - begin))
        here = source + (loads[1] * begin if rows else 0)
        to = address_of(packed[panel]) + half * lanes * size
        for run in range(packing.runs):
            numbers = here + run * packing.run_step
            if packing.in_rows != 0:
                for number in range(stores.size):
                    if stores[number] >= 0:
                        place = to + stores[number] + run * row
                        copy_strips(place, 0, numbers + number * size, 0, 1, rows * size)
                        clear_bytes(place + rows * size, (lanes - rows) * size)
                continue
            for number in range(0, stores.size, lanes):
                some = min(lanes, stores.size - number)
                turn(
                    size, numbers + number * size, address_of(loads), rows, some, to + run * row,
                    address_of(stores[number:]), lanes,
                )  # fmt: skip


@kernel()
def _share_packing(packing, source, loads, stores, packed):
    """All panels."""
    if packed.size <= SERIAL:
        for panel in range(packed.shape[0]):
            _pack_panel(panel, packing[0], source, loads, stores, packed)
    else:
        share_out(packed.shape[0], _pack_panel, (packing[0], source, loads, stores, packed))


def unpack(sums: np.ndarray, channels: int, filters: np.ndarray) -> None:
    """The weight's gradient: ``filters[k, c * T + t] = sums[t * C + c, k]``.

    Args:
        sums: (T * C, K or more), in the order in which tiles make them.
        filters: (K, C * T), to be written; C-contiguous.
    """
    size = sums.itemsize
    loads = _sums_order(len(sums), channels, sums.strides[0])
    stores = steps_of(target().lanes(size), filters.strides[0])
    unpacking = _unpacking(len(filters), size, filters.strides[0])
    _share_unpacking(unpacking, sums.ctypes.data, filters.ctypes.data, loads, stores)


@lru_cache(maxsize=512)
def _unpacking(filter_count: int, size: int, row: int) -> np.ndarray:
    return one(Unpacking(filter_count, size, row), UNPACKING)


@lru_cache(maxsize=512)
def _sums_order(count: int, channels: int, row: int) -> np.ndarray:
    """The offsets of the rows of sums in the order (c, t) of a filter's numbers."""
    offsets = np.arange(count, dtype=np.int64).reshape(-1, channels) * row
    return np.ascontiguousarray(offsets.T.reshape(-1))


@kernel()
def _unpack_filters(block, unpacking, sums, filters, loads, stores):
    """As many filters as a vector has lanes."""
    lanes, size = stores.size, unpacking.size
    first = block * lanes
    source, to = sums + first * size, filters + first * unpacking.row
    for number in range(0, loads.size, lanes):
        rows = min(lanes, loads.size - number)
        turn(
            size, source, address_of(loads[number:]), rows, min(lanes, unpacking.filter_count - first),
            to + number * size, address_of(stores), rows,
        )  # fmt: skip


@kernel()
def _share_unpacking(unpacking, sums, filters, loads, stores):
    blocks = (unpacking[0].filter_count + stores.size - 1) // stores.size
    if loads.size * unpacking[0].filter_count * unpacking[0].size <= SERIAL:
        for block in range(blocks):
            _unpack_filters(block, unpacking[0], sums, filters, loads, stores)
    else:
        share_out(blocks, _unpack_filters, (unpacking[0], sums, filters, loads, stores))


def _define_turn(dtype: Any) -> Any:
    """The intrinsic that turns a square of numbers."""

    @intrinsic
    def turn_square(typing_context, source, loads, rows, columns, target_address, stores, written):
        def generate(context, builder, signature, arguments):
            source, loads, rows, columns, target_address, stores, written = arguments
            code = Code(builder, dtype, target())
            lanes, seen = code.lanes, code.mask(columns)
            zero, lines = ir.Constant(code.vector, None), []
            for index in range(lanes):
                there = builder.icmp_signed("<", INT64(index), rows)
                place = builder.select(there, INT64(8 * index), INT64(0))  # row 0 where there is none
                away = integer_at(builder, builder.add(loads, place))
                line = code.load_masked(builder.add(source, away), seen)
                lines.append(builder.select(there, line, zero))
            distance = 1
            while distance < lanes:  # swap ever larger blocks beside the diagonal
                for first in (index for index in range(lanes) if not index & distance):
                    a, b = lines[first], lines[first + distance]
                    upper = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
                    lower = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
                    lines[first], lines[first + distance] = code.shuffle(a, b, upper), code.shuffle(a, b, lower)
                distance *= 2
            for index, line in enumerate(lines):
                with builder.if_then(builder.icmp_signed("<", INT64(index), columns)):
                    away = integer_at(builder, stores, 8 * index)
                    with builder.if_then(builder.icmp_signed(">=", away, INT64(0))):
                        code.store_first(line, builder.add(target_address, away), written)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return turn_square


_turn32, _turn64 = _define_turn(types.float32), _define_turn(types.float64)


@kernel()
def turn(size, source, loads, rows, columns, target_address, stores, written):
    """Write a block of numbers, at most as many rows and columns as a vector has lanes, with rows and columns swapped.

    Number j of row i is read at ``source + loads[i] + j * size`` and written at ``target_address + stores[j]
    + i * size``, for ``i < rows`` and ``j < columns``. Up to ``written`` numbers of a column are written, with zeros
    where there is no row.
    A column whose place is negative is left out. ``loads`` and ``stores`` are addresses of offsets in bytes.
    """
    if size == 4:
        _turn32(source, loads, rows, columns, target_address, stores, written)
    else:
        _turn64(source, loads, rows, columns, target_address, stores, written)


@intrinsic
def copy_strips(typing_context, target_address, target_step, source, source_step, count, size):
    """``count`` strips of ``size`` bytes (a multiple of 4), steps in bytes: the same channels of neighbouring pixels.

    A strip is at most as long as two vectors, a tile's rows or ``FEW_CHANNELS``. Nothing beyond it is touched.
    """

    def generate(context, builder, signature, arguments):
        target_address, target_step, source, source_step, count, size = arguments
        code = Code(builder, types.float32, target())
        wide = target().vector_bytes
        longest = max(VECTORS * wide, 8 * target().tile_rows, 8 * FEW_CHANNELS)
        words = builder.sdiv(size, INT64(4))
        for part in range(-(-longest // wide)):
            done = INT64(part * wide)
            left = builder.sub(words, INT64(part * code.lanes))
            mask = code.mask(left)
            longer = builder.icmp_signed(">", size, done)
            with builder.if_then(longer), cgutils.for_range(builder, count, intp=INT64) as loop:
                read = builder.add(builder.add(source, builder.mul(loop.index, source_step)), done)
                write = builder.add(builder.add(target_address, builder.mul(loop.index, target_step)), done)
                code.store_first(code.load_masked(read, mask), write, left)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate
