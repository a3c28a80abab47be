"""The register tile, from which every convolution and every matrix product on the CPU is made.

Picture ``rows`` pixels (an image row's neighbours, say) and ``2 * lanes`` filters::

                      filters -->  b[r, 0..lanes)   b[r, lanes..2 lanes)      one step r of the reduction:
      pixels   a[0, r]            sums[0, 0]        sums[0, 1]                two vectors of b are loaded,
        |      a[1, r]            sums[1, 0]        sums[1, 1]                and for each pixel one number is
        v      ...                ...               ...                       loaded, spread over a vector, and
               a[rows-1, r]       sums[rows-1, 0]   sums[rows-1, 1]           multiplied into both of its sums

The sums stay in registers until the whole reduction (all taps, all channels) is done, so that per step ``rows + 2``
loads feed ``2 * rows`` fused multiply-adds of 16 numbers each. That ratio is why it is fast; nothing else is.

Numba cannot keep 28 vectors in registers from a Python loop. So the tile is written here as LLVM code, one
instruction at a time. ``tile_function`` has the definition of what it computes.
All addresses and steps are in bytes. Nothing is checked here: whoever makes the tables of tiles (``tiles.py``) sees to
it that none reaches outside its arrays, and tests put guard zones around them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc
from numba.core import cgutils, types

from .compiling import intrinsic
from .target import Target, target

INT64, INT32 = ir.IntType(64), ir.IntType(32)
VECTORS = 2  # side by side in a full tile
ARGUMENTS = 18  # of a tile


class Code:
    """What is said again and again while writing a tile: loads, stores and arithmetic on vectors of one dtype."""

    def __init__(self, builder: Any, dtype: Any, machine: Target) -> None:
        self.builder = builder
        self.machine = machine
        self.scalar = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[dtype]
        self.size = {types.float32: 4, types.float64: 8}[dtype]
        self.lanes = machine.lanes(self.size)
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def at(self, address: Any, offset: Any) -> Any:
        """``address + offset``, where the offset may be a Python number."""
        if isinstance(offset, int):
            if offset == 0:
                return address
            offset = INT64(offset)
        return self.builder.add(address, offset)

    def _pointer(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, ir.PointerType(kind))

    def load(self, address: Any) -> Any:
        """The vector at ``address``, which need not be aligned."""
        value = self.builder.load(self._pointer(address, self.vector))
        value.align = self.size
        return value

    def store(self, vector: Any, address: Any) -> None:
        """Write a whole vector."""
        self.builder.store(vector, self._pointer(address, self.vector)).align = self.size

    def prefetch(self, address: Any, writing: bool = False) -> None:
        """Ask for the line of the cache at ``address``, which will be read, or written into."""
        pointer = self._pointer(address, ir.IntType(8))
        near = 3 if writing else 2  # in the first-level cache, or in the second
        self._call("llvm.prefetch.p0", ir.VoidType(), pointer, INT32(int(writing)), INT32(near), INT32(1))

    def spread(self, scalar: Any) -> Any:
        """A vector that holds ``scalar`` everywhere."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, INT32(0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, self.lanes), None))

    def load_spread(self, address: Any) -> Any:
        """A vector that holds the one number at ``address`` everywhere."""
        value = self.builder.load(self._pointer(address, self.scalar))
        value.align = self.size
        return self.spread(value)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    @property
    def _suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.size}"

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """``x * y + z``, rounded once where the processor has an instruction for it."""
        name = "fma" if self.machine.fma else "fmuladd"  # without the instruction, llvm.fma is a call for each number
        return self._call(f"llvm.{name}.{self._suffix}", self.vector, x, y, z)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of each pair; NaN in ``x`` stays NaN."""
        smaller = self.builder.fcmp_ordered("<", x, y)
        return self.builder.select(smaller, y, x)

    def mask(self, count: Any) -> Any:
        """A bit for each lane, set for the first ``count``."""
        numbers = ir.Constant(ir.VectorType(INT32, self.lanes), list(range(self.lanes)))
        undefined = ir.Constant(ir.VectorType(INT32, self.lanes), ir.Undefined)
        one = self.builder.insert_element(undefined, self.builder.trunc(count, INT32), INT32(0))
        limit = self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, self.lanes), None))
        return self.builder.icmp_signed("<", numbers, limit)

    def load_masked(self, address: Any, mask: Any) -> Any:
        """The lanes in ``mask``; the others are 0 and their memory is not touched."""
        pointer = self._pointer(address, self.vector)
        zero = ir.Constant(self.vector, None)
        return self._call(f"llvm.masked.load.{self._suffix}.p0", self.vector, pointer, INT32(self.size), mask, zero)

    def store_masked(self, vector: Any, address: Any, mask: Any) -> None:
        """Write the lanes in ``mask``; the memory of the others is not touched."""
        pointer = self._pointer(address, self.vector)
        self._call(f"llvm.masked.store.{self._suffix}.p0", ir.VoidType(), vector, pointer, INT32(self.size), mask)


def _one_tile(code: Code, rows: int, vectors: int, spread: bool, a: Any, a_row: Any, a_step: Any, segments: Any,
              count: Any, length: Any, b: Any, b_step: Any, b_segment: Any, start: Any, y: Any, y_row: Any,
              lanes: Any, residual: Any, floor: Any, ahead: Any) -> None:  # fmt: skip
    """The code of a tile of ``rows`` x ``vectors``."""
    builder, at = code.builder, code.at
    width = code.lanes * code.size
    columns = [v * width for v in range(vectors)]
    sums = [[cgutils.alloca_once(builder, code.vector) for _ in columns] for _ in range(rows)]
    for v, column in enumerate(columns):
        first = code.load(at(start, column))
        for row in sums:
            builder.store(first, row[v])
    # The results go to memory all at once in the end, and a residual comes from there. Without warning each would have
    # to wait for its line.
    more = builder.icmp_signed("!=", residual, INT64(0))
    other = builder.select(more, residual, y)
    for index in range(rows):
        down = builder.mul(y_row, INT64(index))
        for column in range(0, vectors * width, 64):
            code.prefetch(at(builder.add(y, down), column), writing=True)
            code.prefetch(at(builder.add(other, down), column))

    # Three rows share an address register: x86 has sixteen of them, and a tile fourteen rows.
    steps = (0, a_row, builder.mul(a_row, INT64(2)))
    down_three = builder.mul(a_row, INT64(3))
    bases = [cgutils.alloca_once(builder, INT64) for _ in range(-(-rows // 3))]
    weights, next_line = cgutils.alloca_once(builder, INT64), cgutils.alloca_once(builder, INT64)
    builder.store(ahead, next_line)
    with cgutils.for_range(builder, count, intp=INT64) as segment:
        offset = builder.load(builder.inttoptr(at(segments, builder.mul(segment.index, INT64(8))), INT64.as_pointer()))
        address = builder.add(a, offset)
        for base in bases:
            builder.store(address, base)
            address = builder.add(address, down_three)
        builder.store(builder.add(b, builder.mul(segment.index, b_segment)), weights)
        with cgutils.for_range(builder, length, intp=INT64):
            here = builder.load(weights)
            filters = [code.load(at(here, column)) for column in columns]
            for index, row in enumerate(sums):
                place = at(builder.load(bases[index // 3]), steps[index % 3])
                pixel = code.load_spread(place) if spread else None
                for v, column in enumerate(columns):
                    factor = pixel if spread else code.load(at(place, column))
                    builder.store(code.multiply_add(factor, filters[v], builder.load(row[v])), row[v])
            for base in bases:
                builder.store(builder.add(builder.load(base), a_step), base)
            builder.store(builder.add(here, b_step), weights)
            line = builder.load(next_line)
            code.prefetch(line)
            builder.store(builder.add(line, INT64(64)), next_line)

    least = code.load_spread(floor)
    whole = builder.icmp_signed(">=", lanes, INT64(vectors * code.lanes))
    masks = [code.mask(builder.sub(lanes, INT64(v * code.lanes))) for v in range(vectors)]
    for index, row in enumerate(sums):
        down = builder.mul(y_row, INT64(index))
        for v, column in enumerate(columns):
            with builder.if_then(more):
                other = at(builder.add(residual, down), column)
                with builder.if_else(whole) as (full, partial):
                    with full:
                        builder.store(builder.fadd(builder.load(row[v]), code.load(other)), row[v])
                    with partial:
                        added = code.load_masked(other, masks[v])
                        builder.store(builder.fadd(builder.load(row[v]), added), row[v])
            result = code.maximum(builder.load(row[v]), least)
            place = at(builder.add(y, down), column)
            with builder.if_else(whole) as (full, partial):
                with full:
                    code.store(result, place)
                with partial:
                    code.store_masked(result, place, masks[v])


def _define_tile(dtype: Any, spread: bool) -> Any:
    """The intrinsic that holds the code of all tiles of a dtype, and goes to the one that is asked for."""

    @intrinsic
    def tile(typing_context, rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y,
             y_row, lanes, residual, floor, ahead):  # fmt: skip
        def generate(context, builder, signature, arguments):
            code = Code(builder, dtype, target())
            rows, vectors, *rest = arguments
            done = builder.append_basic_block("done")
            chosen = builder.switch(builder.add(builder.mul(rows, INT64(VECTORS + 1)), vectors), done)
            for height in target().row_counts:
                for width in range(1, VECTORS + 1):
                    block = builder.append_basic_block(f"tile_{height}x{width}")
                    chosen.add_case(INT64(height * (VECTORS + 1) + width), block)
                    builder.position_at_end(block)
                    _one_tile(code, height, width, spread, *rest)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * ARGUMENTS), generate

    return tile


_product32, _product64 = _define_tile(types.float32, True), _define_tile(types.float64, True)
_lanewise32, _lanewise64 = _define_tile(types.float32, False), _define_tile(types.float64, False)

# fmt: off


def product32(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead):
    _product32(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead)


def product64(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead):
    _product64(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead)


def lanewise32(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead):
    _lanewise32(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead)


def lanewise64(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead):
    _lanewise64(rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment, start, y, y_row, lanes,
           residual, floor, ahead)
# fmt: on

TILE = types.void(*[types.int64] * ARGUMENTS)


@cache
def tile_function(dtype: np.dtype, spread: bool = True) -> int:
    """The address of the compiled tiles of ``dtype``, to be handed to the functions that call them.

    A tile (function of 18 integers; addresses and steps in bytes) computes, for ``i < rows`` and ``v < lanes``::

        y[i * y_row + v] = max(floor, start[v] + residual[i * y_row + v]
                                      + sum over s < count, r < length of
                                        a[segments[s] + i * a_row + r * a_step] * b[s * b_segment + r * b_step + v])

    Args:
        dtype: float32 or float64.
        spread: whether one number of ``a`` meets the whole vector of ``b``, as in a matrix product; if not, each lane
            has its own, ``a[... + v]``, as in a depthwise convolution.

    While it works it asks the memory for the lines from ``ahead`` on, one in each step of the reduction. Without a
    residual its address is 0. ``start`` and ``b`` are read, and without ``spread`` also ``a``, for whole
    vectors: up to ``vectors * lanes of a vector`` numbers. ``y`` and ``residual`` are touched for ``lanes`` only.
    """
    functions = {(4, True): product32, (8, True): product64, (4, False): lanewise32, (8, False): lanewise64}
    compiled: Any = cfunc(TILE, cache=True)(functions[dtype.itemsize, spread])
    return compiled.address


@intrinsic
def call_tile(typing_context, function, rows, vectors, a, a_row, a_step, segments, count, length, b, b_step, b_segment,
              start, y, y_row, lanes, residual, floor, ahead):  # fmt: skip
    """Call the tiles at the address ``function``. So their code is compiled once, and not into every caller."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * ARGUMENTS)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * (ARGUMENTS + 1)), generate


@intrinsic
def copy_bytes(typing_context, target, source, count):
    """Copy ``count`` bytes between addresses that do not overlap."""

    def generate(context, builder, signature, arguments):
        target, source, count = arguments
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(target, byte), builder.inttoptr(source, byte), count, 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def clear_bytes(typing_context, target, count):
    """Write ``count`` zero bytes."""

    def generate(context, builder, signature, arguments):
        target, count = arguments
        cgutils.memset(builder, builder.inttoptr(target, ir.IntType(8).as_pointer()), count, 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def address_of(typing_context, array):
    """The address of an array's first element, which ``array.ctypes.data`` would not give without a dynamic global."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, INT64)

    return types.int64(array), generate
