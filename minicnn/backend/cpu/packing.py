"""Weights and pixels, copied into the order in which tiles read them.

A tile reads its weights as one stream: for each step of the reduction two vectors, the next filters' numbers side by
side. So a packed panel of F = 2 * lanes filters is ``packed[panel, step, filter]``, with zeros where there are no more
filters. Packing costs one copy of the weights; a convolution then reads them once for every block of pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from . import memory
from .compiling import intrinsic, kernel
from .microkernel import INT32, INT64, VECTORS, address_of, clear_bytes
from .sharing import share_out
from .target import target

SERIAL = 1 << 15  # bytes: one thread is done with so few before another has woken up
FEW_CHANNELS = 8  # with fewer, the gradient at the weight takes the taps of a kernel's row together


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
    panels = -(-columns // width)
    packed = memory.empty((panels, len(taps) * steps, width), weight.dtype)
    runs, stores = _runs(columns, steps, taps, column_step, step_step, width * size)
    loads = steps_of(width, column_step * size)
    source = weight.ctypes.data + first * size
    numbers = np.array([source, columns, size, width, runs, step_step * size, column_step == 1], np.int64)
    share_packing(numbers, loads, stores, packed.view(np.uint8))
    return packed


@lru_cache(maxsize=512)
def steps_of(count: int, step: int) -> np.ndarray:
    """0, step, 2 * step, ..."""
    return np.arange(count, dtype=np.int64) * step


@lru_cache(maxsize=512)
def _runs(
    columns: int, steps: int, taps: tuple[int, ...], column_step: int, step_step: int, row: int
) -> tuple[int, np.ndarray]:
    """The numbers of a filter as runs that are contiguous in memory: how many, and where each number of one goes.

    The places are in bytes from the start of the panel, for the first run; each further run goes one row below. A place
    of -1 stands for a number of a tap that is not wanted.
    """
    if column_step == 1 or step_step != len(taps) or taps != tuple(range(len(taps))):  # a run for each step
        stores = np.full(max(taps) + 1, -1, np.int64)
        stores[list(taps)] = np.arange(len(taps)) * steps * row
        return steps, stores
    places = np.arange(len(taps) * steps, dtype=np.int64).reshape(len(taps), steps) * row
    return 1, np.ascontiguousarray(places.T.reshape(-1))  # in memory the taps of a step lie together


@kernel()
def pack_panel(numbers, loads, stores, panel, address):
    """One panel, half of its filters at a time: as many as fit a vector, so that squares of numbers can be turned."""
    source, columns, size, width, runs, run_step, in_rows = numbers
    lanes, row = width // 2, width * size
    for half in range(2):
        begin = panel * width + half * lanes
        rows = max(0, min(lanes, columns - begin))
        here = source + (loads[1] * begin if rows else 0)
        to = address + half * lanes * size
        for run in range(runs):
            if in_rows:  # the filters' numbers lie side by side already
                for number in range(stores.size):
                    if stores[number] >= 0:
                        place = to + stores[number] + run * row
                        copy_strips(place, 0, here + run * run_step + number * size, 0, 1, rows * size)
                        clear_bytes(place + rows * size, (lanes - rows) * size)
                continue
            for number in range(0, stores.size, lanes):
                some = min(lanes, stores.size - number)
                turn(
                    size, here + run * run_step + number * size, address_of(loads), rows, some, to + run * row,
                    address_of(stores[number:]), lanes,
                )  # fmt: skip


@kernel()
def _pack_one(panel, numbers, loads, stores, packed):
    pack_panel(numbers, loads, stores, panel, address_of(packed[panel]))


@kernel()
def share_packing(numbers, loads, stores, packed):
    """All panels."""
    if packed.size <= SERIAL:
        for panel in range(packed.shape[0]):
            _pack_one(panel, numbers, loads, stores, packed)
    else:
        share_out(packed.shape[0], _pack_one, (numbers, loads, stores, packed))


def unpack(sums: np.ndarray, channels: int, filters: np.ndarray) -> None:
    """The weight's gradient: ``filters[k, c * T + t] = sums[t * C + c, k]``.

    Args:
        sums: (T * C, K or more), in the order in which tiles make them.
        filters: (K, C * T), to be written; C-contiguous.
    """
    size = sums.itemsize
    loads = _sums_order(len(sums), channels, sums.strides[0])
    stores = steps_of(target().lanes(size), filters.strides[0])
    numbers = np.array([sums.ctypes.data, filters.ctypes.data, len(filters), size, filters.strides[0]], np.int64)
    _share_unpacking(numbers, loads, stores)


@lru_cache(maxsize=512)
def _sums_order(count: int, channels: int, row: int) -> np.ndarray:
    """The offsets of the rows of sums in the order (c, t) of a filter's numbers."""
    offsets = np.arange(count, dtype=np.int64).reshape(-1, channels) * row
    return np.ascontiguousarray(offsets.T.reshape(-1))


@kernel()
def _unpack_filters(block, numbers, loads, stores):
    sums, filters, count, size, row = numbers
    lanes = stores.size
    first = block * lanes
    some = min(lanes, count - first)
    for number in range(0, loads.size, lanes):
        rows = min(lanes, loads.size - number)
        turn(
            size, sums + first * size, address_of(loads[number:]), rows, some, filters + first * row + number * size,
            address_of(stores), rows,
        )  # fmt: skip


@kernel()
def _share_unpacking(numbers, loads, stores):
    blocks = (numbers[2] + stores.size - 1) // stores.size
    if loads.size * numbers[2] * numbers[3] <= SERIAL:
        for block in range(blocks):
            _unpack_filters(block, numbers, loads, stores)
    else:
        share_out(blocks, _unpack_filters, (numbers, loads, stores))


def _define_turn(bits: int) -> Any:
    """The intrinsic that turns a square of numbers of so many bits."""

    @intrinsic
    def turn_square(typing_context, source, loads, rows, columns, target_address, stores, written):
        def generate(context, builder, signature, arguments):
            source, loads, rows, columns, target_address, stores, written = arguments
            lanes = target().lanes(bits // 8)
            vector, integers = ir.VectorType(ir.IntType(bits), lanes), ir.VectorType(INT32, lanes)
            zero, nothing = ir.Constant(vector, None), ir.Constant(integers, ir.Undefined)
            suffix = f"v{lanes}i{bits}.p0"

            def mask(count):
                one = builder.insert_element(nothing, builder.trunc(count, INT32), INT32(0))
                limit = builder.shuffle_vector(one, nothing, ir.Constant(integers, None))
                return builder.icmp_signed("<", ir.Constant(integers, list(range(lanes))), limit)

            def call(name, result, *values):
                kind = ir.FunctionType(result, [value.type for value in values])
                return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.{suffix}"), values)

            def offset(table, index):
                place = builder.add(table, INT64(8 * index))
                return builder.load(builder.inttoptr(place, INT64.as_pointer()))

            align, seen, kept = INT32(bits // 8), mask(columns), mask(written)
            lines = []
            for index in range(lanes):
                there = builder.icmp_signed("<", INT64(index), rows)
                table = builder.add(loads, builder.select(there, INT64(8 * index), INT64(0)))  # row 0 instead of none
                away = builder.load(builder.inttoptr(table, INT64.as_pointer()))
                pointer = builder.inttoptr(builder.add(source, away), vector.as_pointer())
                line = call("llvm.masked.load", vector, pointer, align, seen, zero)
                lines.append(builder.select(there, line, zero))
            distance = 1
            while distance < lanes:  # swap ever larger blocks beside the diagonal
                for first in (index for index in range(lanes) if not index & distance):
                    a, b = lines[first], lines[first + distance]
                    upper = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
                    lower = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
                    lines[first] = builder.shuffle_vector(a, b, ir.Constant(integers, upper))
                    lines[first + distance] = builder.shuffle_vector(a, b, ir.Constant(integers, lower))
                distance *= 2
            for index, line in enumerate(lines):
                with builder.if_then(builder.icmp_signed("<", INT64(index), columns)):
                    away = offset(stores, index)
                    with builder.if_then(builder.icmp_signed(">=", away, INT64(0))):
                        pointer = builder.inttoptr(builder.add(target_address, away), vector.as_pointer())
                        call("llvm.masked.store", ir.VoidType(), line, pointer, align, kept)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return turn_square


_turn32, _turn64 = _define_turn(32), _define_turn(64)


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
        bytes_wide = target().vector_bytes
        lanes = bytes_wide // 4
        vector = ir.VectorType(INT32, lanes)
        longest = max(VECTORS * bytes_wide, 8 * target().tile_rows, 8 * FEW_CHANNELS)
        parts = -(-longest // bytes_wide)
        suffix = f"v{lanes}i32.p0"
        numbers = ir.Constant(vector, list(range(lanes)))
        undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)
        words = builder.trunc(builder.sdiv(size, INT64(4)), INT32)
        masks = []
        for part in range(parts):
            left = builder.insert_element(undefined, builder.sub(words, INT32(part * lanes)), INT32(0))
            masks.append(builder.icmp_signed("<", numbers, builder.shuffle_vector(left, undefined, zero)))
        pointer = ir.PointerType(vector)
        mask_type = masks[0].type
        load_type = ir.FunctionType(vector, [pointer, INT32, mask_type, vector])
        load = cgutils.get_or_insert_function(builder.module, load_type, f"llvm.masked.load.{suffix}")
        store_type = ir.FunctionType(ir.VoidType(), [vector, pointer, INT32, mask_type])
        store = cgutils.get_or_insert_function(builder.module, store_type, f"llvm.masked.store.{suffix}")

        def copy(part: int) -> None:
            with cgutils.for_range(builder, count, intp=INT64) as loop:
                read = builder.add(builder.add(source, builder.mul(loop.index, source_step)), INT64(part * bytes_wide))
                write = builder.add(
                    builder.add(target_address, builder.mul(loop.index, target_step)), INT64(part * bytes_wide)
                )
                value = builder.call(load, [builder.inttoptr(read, pointer), INT32(4), masks[part], zero])
                builder.call(store, [value, builder.inttoptr(write, pointer), INT32(4), masks[part]])

        for part in range(parts):
            with builder.if_then(builder.icmp_signed(">", size, INT64(part * bytes_wide))):
                copy(part)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate
