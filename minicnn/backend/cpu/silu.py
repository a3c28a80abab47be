"""SiLU on vectors, as LLVM code: for numbers that another kernel has just computed, while they are in the cache.

With s = 1 / (1 + exp(-x))::

    silu(x)    = x * s
    silu'(x)   = s * (1 + x * (1 - s))

``exp`` is taken of -abs(x) only, which cannot overflow: s = (1 if x >= 0 else e) / (1 + e) with e = exp(-abs(x)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils

from .compiling import intrinsic
from .target import target
from .vector_code import INT64, Code


class Exponential(NamedTuple):
    """exp(x) = 2^n * exp(r), where n is x / ln 2 rounded, so that abs(r) <= ln 2 / 2."""

    coefficients: tuple[float, ...]  # of the polynomial exp(r), the highest first
    ln2: tuple[float, float]  # in two parts, of which the first times n is exact
    mantissa: int  # bits
    bias: int  # of the exponent
    least: float  # at this x, and below, the result is rounded to 0


# The first has the coefficients of Cephes' ``expf`` [Moshier, 1989], the second those of the Taylor series.
EXPONENTIALS = {
    4: Exponential(
        (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1),
        (0.693359375, -2.12194440e-4),
        mantissa=23,
        bias=127,
        least=-110.0,
    ),
    8: Exponential(
        tuple(1 / factorial(k) for k in range(13, -1, -1)),
        (6.93147180369123816490e-01, 1.90821492927058770002e-10),
        mantissa=52,
        bias=1023,
        least=-760.0,
    ),
}


class SiluCode(Code):
    """The arithmetic of SiLU on vectors of one dtype."""

    def number(self, value: float) -> Any:
        """A vector that holds ``value`` everywhere."""
        rounded = float(np.dtype(f"f{self.size}").type(value))
        return ir.Constant(self.vector, [ir.Constant(self.scalar, rounded)] * self.lanes)

    @property
    def integers(self) -> Any:
        """A vector of integers with as many bits."""
        return ir.VectorType(ir.IntType(8 * self.size), self.lanes)

    def integer(self, value: int) -> Any:
        """A vector that holds the integer ``value`` everywhere."""
        return ir.Constant(self.integers, [value] * self.lanes)

    def exp(self, x: Any) -> Any:
        """exp(x) for x <= 0; NaN stays."""
        builder, constants = self.builder, EXPONENTIALS[self.size]
        least = self.number(constants.least)
        x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
        whole = 1.5 * 2**constants.mantissa  # added to a number, it leaves no bits behind the point
        magic, minus_one = self.number(whole), self.number(-1)
        shifted = self.multiply_add(x, self.number(1.4426950408889634), magic)
        n = builder.fsub(shifted, magic)
        minus_n = builder.fmul(n, minus_one)
        r = x
        for part in constants.ln2:
            r = self.multiply_add(minus_n, self.number(part), r)
        first, *rest = constants.coefficients
        power = self.number(first)
        for coefficient in rest:
            power = self.multiply_add(power, r, self.number(coefficient))
        # The last bits of ``shifted`` are n as an integer. 2^n is put together from its bits, in two factors: so that
        # results that are no normal numbers come out right too.
        bits = int(np.dtype(f"f{self.size}").type(whole).view(f"i{self.size}"))
        integer = builder.sub(builder.bitcast(shifted, self.integers), self.integer(bits))
        half = builder.ashr(integer, self.integer(1))
        for part in (half, builder.sub(integer, half)):
            exponent = builder.add(part, self.integer(constants.bias))
            factor = builder.shl(exponent, self.integer(constants.mantissa))
            power = builder.fmul(power, builder.bitcast(factor, self.vector))
        return power

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + exp(-x))."""
        builder, one = self.builder, self.number(1)
        negative = builder.fcmp_ordered("<", x, self.number(0))
        e = self.exp(builder.select(negative, x, builder.fneg(x)))
        return builder.fdiv(builder.select(negative, e, one), builder.fadd(one, e))

    def silu(self, x: Any) -> Any:
        """x * sigmoid(x)."""
        return self.builder.fmul(x, self.sigmoid(x))

    def silu_slope(self, x: Any) -> Any:
        """silu'(x)."""
        builder, one = self.builder, self.number(1)
        s = self.sigmoid(x)
        return builder.fmul(s, builder.fadd(one, builder.fmul(x, builder.fsub(one, s))))


def along(code: Code, count: Any, body: Callable[[Any, Any], None]) -> None:
    """Generate a loop over ``count`` numbers: ``body(offset in bytes, mask)``, with the mask ``None`` for all lanes."""
    builder = code.builder
    lanes = INT64(code.lanes)
    full = builder.sdiv(count, lanes)
    with cgutils.for_range(builder, full, intp=INT64) as loop:
        body(builder.mul(loop.index, INT64(code.lanes * code.size)), None)
    done = builder.mul(full, lanes)
    with builder.if_then(builder.icmp_signed("<", done, count)):
        body(builder.mul(done, INT64(code.size)), code.mask(builder.sub(count, done)))


def load(code: Code, address: Any, mask: Any) -> Any:
    """The vector at an address, or the lanes of it in a mask."""
    return code.load(address) if mask is None else code.load_masked(address, mask)


def store(code: Code, vector: Any, address: Any, mask: Any) -> None:
    """Write a vector, or the lanes of it in a mask."""
    if mask is None:
        code.store(vector, address)
    else:
        code.store_masked(vector, address, mask)


def _define(function: Callable[[SiluCode, Any], Any]) -> Any:
    """The intrinsic that computes a function of many numbers."""

    @intrinsic
    def numbers(typing_context, result, x, count, zero):
        def generate(context, builder, signature, arguments):
            result, x, count, _ = arguments
            code = SiluCode(builder, signature.args[3], target())

            def body(offset, mask):
                value = load(code, builder.add(x, offset), mask)
                store(code, function(code, value), builder.add(result, offset), mask)

            along(code, count, body)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, zero), generate

    return numbers


# ``f(result, x, count, zero)``: result[i] = f(x[i]) for i < count, at addresses, which may be the same; ``zero`` is of
# the numbers' dtype.
sigmoid_numbers, silu_numbers = _define(SiluCode.sigmoid), _define(SiluCode.silu)


@intrinsic
def silu_slopes(typing_context, result, cotangent, x, count, zero):
    """result[i] = cotangent[i] * silu'(x[i]) for i < count, at addresses as of ``silu_numbers``."""

    def generate(context, builder, signature, arguments):
        result, cotangent, x, count, _ = arguments
        code = SiluCode(builder, signature.args[4], target())

        def body(offset, mask):
            slope = code.silu_slope(load(code, builder.add(x, offset), mask))
            factor = load(code, builder.add(cotangent, offset), mask)
            store(code, builder.fmul(factor, slope), builder.add(result, offset), mask)

        along(code, count, body)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, zero), generate


# ---- after a tile ----------------------------------------------------------------------------------------------------


def silu32(address, step, rows, count):
    for row in range(rows):
        silu_numbers(address + row * step, address + row * step, count, np.float32(0))


def silu64(address, step, rows, count):
    for row in range(rows):
        silu_numbers(address + row * step, address + row * step, count, np.float64(0))


ROWS = types.void(*[types.int64] * 4)


@cache
def rows_function(dtype: np.dtype) -> int:
    """The address of a compiled function that applies SiLU to some rows of a result, in place: (address, bytes from a
    row to the next, rows, numbers in each).
    """
    compiled: Any = cfunc(ROWS, cache=True)(silu32 if dtype.itemsize == 4 else silu64)
    return compiled.address


@intrinsic
def call_rows(typing_context, function, address, step, rows, count):
    """Call the function of ``rows_function`` at the address ``function``."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate
