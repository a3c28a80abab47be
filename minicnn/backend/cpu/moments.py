"""Mean and variance of a convolution's channels, gathered from each tile while it is in the first-level cache.

Of a tile's rows, per channel: the mean m and the sum of squares about it, M2, in float32; of all tiles, in float64::

    A = sum of rows * m        B = sum of M2 + rows * m^2        mean = A / n        variance = B / n - mean^2

The squares about a tile's own mean keep their digits, and float64 has enough for the rest, as the numbers are float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils

from .compiling import intrinsic
from .microkernel import VECTORS
from .target import target
from .vector_code import INT64, Code


class MomentsCode(Code):
    """The arithmetic on the two vectors of a tile's rows."""

    def rows(self, y: Any, y_row: Any, count: Any, masks: list[Any], visit: Any) -> None:
        """Generate a loop over the rows; ``visit(v, vector)`` for each vector."""
        with cgutils.for_range(self.builder, count, intp=INT64) as loop:
            place = self.builder.add(y, self.builder.mul(loop.index, y_row))
            for v, mask in enumerate(masks):
                visit(v, self.load_masked(self.at(place, v * self.lanes * self.size), mask))


@intrinsic
def _gather(typing_context, y, y_row, rows, lanes, sums, between):
    """Add a tile's A and B to the sums at ``sums`` and ``sums + between``."""

    def generate(context, builder, signature, arguments):
        y, y_row, rows, lanes, sums, between = arguments
        code = MomentsCode(builder, types.float32, target())
        wide = ir.VectorType(ir.DoubleType(), code.lanes)
        masks = [code.mask(builder.sub(lanes, INT64(v * code.lanes))) for v in range(VECTORS)]
        zero = ir.Constant(code.vector, None)
        totals, rests, squares = ([cgutils.alloca_once_value(builder, zero) for _ in masks] for _ in range(3))
        count = builder.sitofp(rows, ir.DoubleType())
        share = builder.fdiv(ir.Constant(ir.DoubleType(), 1), count)

        def wide_spread(number: Any) -> Any:
            undefined = ir.Constant(wide, ir.Undefined)
            one = builder.insert_element(undefined, number, ir.IntType(32)(0))
            return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), code.lanes), None))

        def add(v: int, value: Any) -> None:
            builder.store(builder.fadd(builder.load(totals[v]), value), totals[v])

        code.rows(y, y_row, rows, masks, add)
        near = code.spread(builder.fptrunc(share, code.scalar))
        means = [builder.fmul(builder.load(total), near) for total in totals]

        def add_rest(v: int, value: Any) -> None:
            rest = builder.fsub(value, means[v])
            builder.store(builder.fadd(builder.load(rests[v]), rest), rests[v])
            builder.store(code.multiply_add(rest, rest, builder.load(squares[v])), squares[v])

        code.rows(y, y_row, rows, masks, add_rest)
        count, share = wide_spread(count), wide_spread(share)
        for v in range(VECTORS):
            there = builder.icmp_signed(">", lanes, INT64(v * code.lanes))
            with builder.if_then(there):
                mean, rest, square = (
                    builder.fpext(value, wide) for value in (means[v], builder.load(rests[v]), builder.load(squares[v]))
                )
                # The mean was rounded: what is left of the rows' sum about it belongs to it.
                total = builder.fadd(builder.fmul(mean, count), rest)
                exact = builder.fmul(total, share)
                squares_about = builder.fsub(square, builder.fmul(builder.fmul(rest, rest), share))
                second = builder.fadd(squares_about, builder.fmul(total, exact))
                place = code.at(sums, v * code.lanes * 8)
                for value, address in ((total, place), (second, builder.add(place, between))):
                    value = builder.select(masks[v], value, ir.Constant(wide, None))
                    pointer = builder.inttoptr(address, wide.as_pointer())
                    before = builder.load(pointer)
                    before.align = 8
                    builder.store(builder.fadd(before, value), pointer).align = 8
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def gather32(y, y_row, rows, lanes, sums, between):
    _gather(y, y_row, rows, lanes, sums, between)


@cache
def gather_function() -> int:
    """The address of the compiled function of a tile in float32: (its address, bytes from a row to the next, rows,
    channels, address of A, bytes from A to B). A and B are read and written for whole vectors.
    """
    compiled: Any = cfunc(types.void(*[types.int64] * 6), cache=True)(gather32)
    return compiled.address


@intrinsic
def call_gather(typing_context, function, y, y_row, rows, lanes, sums, between):
    """Call the function of ``gather_function`` at the address ``function``."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * 6)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def finish(sums: np.ndarray, channels: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the variance of each channel, float64, from the A and B of all parts (parts, 2, C or more)."""
    first, second = sums.sum(axis=0)[:, :channels] / count
    return first, np.maximum(second - first * first, 0)
