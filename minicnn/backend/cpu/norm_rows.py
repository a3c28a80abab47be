"""What batch norm does to a row of numbers, as LLVM code: everything that is joined with it happens in registers.

A row is some pixels' channels side by side. What belongs to the channels lies in lines of the same order, which are
filled up to whole vectors; so do sums, in float64. All else is read and written for ``count`` numbers only, and a
result may lie where one of the rows read lies. Numba's own loops would be vectors only after comparing all addresses,
for each row, and not at all where two are the same.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiling import intrinsic
from .silu import SiluCode, along, load, store
from .target import target
from .vector_code import INT64

NONE, RELU, SILU = range(3)
# Options, to be added up.
RESIDUAL, KEEP, FIXED, ADD, GATE, MEANS = 1, 2, 4, 8, 16, 32


class RowCode(SiluCode):
    """The arithmetic on a vector of a row."""

    def __init__(self, builder: Any, dtype: Any, line: Any, line_step: Any, activation: Any, options: Any) -> None:
        super().__init__(builder, dtype, target())
        self.line, self.line_step = line, line_step
        self.relu = builder.icmp_signed("==", activation, INT64(RELU))
        self.silu_wanted = builder.icmp_signed("==", activation, INT64(SILU))
        self.active = builder.icmp_signed("!=", activation, INT64(NONE))
        self.options = options
        self.wide = ir.VectorType(ir.DoubleType(), self.lanes)

    def has(self, option: int) -> Any:
        """Whether an option is among them."""
        return self.builder.icmp_signed("!=", self.builder.and_(self.options, INT64(option)), INT64(0))

    def of_line(self, number: int, offset: Any) -> Any:
        """A vector of line ``number``."""
        start = self.builder.add(self.line, self.builder.mul(self.line_step, INT64(number)))
        return self.load(self.builder.add(start, offset))

    def changed(self, value: Any, condition: Any, change: Any) -> Any:
        """``change(value)`` where the condition holds, else the value."""
        place = cgutils.alloca_once_value(self.builder, value)
        with self.builder.if_then(condition):
            self.builder.store(change(value), place)
        return self.builder.load(place)

    def normalised(self, x: Any, offset: Any, mask: Any, residual: Any) -> Any:
        """(x - mean) * scale + shift [+ residual]."""
        centred = self.builder.fsub(x, self.of_line(0, offset))
        value = self.multiply_add(centred, self.of_line(1, offset), self.of_line(2, offset))

        def more(value: Any) -> Any:
            return self.builder.fadd(value, load(self, self.builder.add(residual, offset), mask))

        return self.changed(value, self.has(RESIDUAL), more)

    def behind(self, g: Any, x: Any, offset: Any, mask: Any, residual: Any) -> Any:
        """The cotangent behind gate and activation, for that before them."""
        builder, zero = self.builder, self.number(0)

        def gated(g: Any) -> Any:
            return self.multiply_add(g, self.of_line(3, offset), self.of_line(4, offset))

        def activated(g: Any) -> Any:
            value = self.normalised(x, offset, mask, residual)
            passed = builder.select(builder.fcmp_ordered("<=", value, zero), zero, g)
            return self.changed(passed, self.silu_wanted, lambda _: builder.fmul(g, self.silu_slope(value)))

        return self.changed(self.changed(g, self.has(GATE), gated), self.active, activated)

    def add_wide(self, sums: Any, offset: Any, value: Any) -> None:
        """Add a vector to sums in float64."""
        builder = self.builder
        place = builder.add(sums, builder.mul(offset, INT64(8 // self.size)))
        pointer = builder.inttoptr(place, self.wide.as_pointer())
        before = builder.load(pointer)
        before.align = 8
        wide = value if self.size == 8 else builder.fpext(value, self.wide)
        builder.store(builder.fadd(before, wide), pointer).align = 8


@intrinsic
def apply_row(typing_context, y, x, residual, line, line_step, count, activation, options, sums, zero):
    """y = activation((x - mean) * scale + shift [+ residual]); y is added to the sums, if means are wanted.

    All but ``zero``, which says the dtype, are addresses and integers. Lines: mean, scale, shift.
    """

    def generate(context, builder, signature, arguments):
        y, x, residual, line, line_step, count, activation, options, sums, _ = arguments
        code = RowCode(builder, signature.args[9], line, line_step, activation, options)

        def body(offset, mask):
            value = code.normalised(load(code, builder.add(x, offset), mask), offset, mask, residual)
            value = code.changed(value, code.relu, lambda value: code.maximum(value, code.number(0)))
            value = code.changed(value, code.silu_wanted, code.silu)
            store(code, value, builder.add(y, offset), mask)
            with builder.if_then(code.has(MEANS)):
                code.add_wide(sums, offset, value)

        along(code, count, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, zero), generate


@intrinsic
def sums_row(
    typing_context, x, residual, dy, dx, kept, line, line_step, count, activation, options, sums, products, zero
):
    """Add g and g * (x - mean) to the sums, where g is dy behind gate and activation. g is kept, if it is wanted, and
    dx = g * scale written, where the statistics are fixed. Lines: mean, scale, shift, gate, and what is added to it.
    """

    def generate(context, builder, signature, arguments):
        x, residual, dy, dx, kept, line, line_step, count, activation, options, sums, products, _ = arguments
        code = RowCode(builder, signature.args[12], line, line_step, activation, options)

        def body(offset, mask):
            value = load(code, builder.add(x, offset), mask)
            g = code.behind(load(code, builder.add(dy, offset), mask), value, offset, mask, residual)
            code.add_wide(sums, offset, g)
            code.add_wide(products, offset, builder.fmul(g, builder.fsub(value, code.of_line(0, offset))))
            with builder.if_then(code.has(KEEP)):
                store(code, g, builder.add(kept, offset), mask)
            with builder.if_then(code.has(FIXED)):
                write(code, builder.fmul(g, code.of_line(1, offset)), builder.add(dx, offset), mask)

        along(code, count, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12, zero), generate


@intrinsic
def grad_row(typing_context, x, residual, dy, dx, line, line_step, count, activation, options, zero):
    """dx = scale * (g - mean of g - (x - mean) * slope). Lines: mean, scale, shift, none, none, mean of g, slope."""

    def generate(context, builder, signature, arguments):
        x, residual, dy, dx, line, line_step, count, activation, options, _ = arguments
        code = RowCode(builder, signature.args[9], line, line_step, activation, options)

        def body(offset, mask):
            value = load(code, builder.add(x, offset), mask)
            g = code.behind(load(code, builder.add(dy, offset), mask), value, offset, mask, residual)
            centred = builder.fsub(value, code.of_line(0, offset))
            slope = builder.fneg(code.of_line(6, offset))
            g = code.multiply_add(centred, slope, builder.fsub(g, code.of_line(5, offset)))
            write(code, builder.fmul(g, code.of_line(1, offset)), builder.add(dx, offset), mask)

        along(code, count, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, zero), generate


def write(code: RowCode, value: Any, address: Any, mask: Any) -> None:
    """Write a vector, or add it to what is there."""
    value = code.changed(value, code.has(ADD), lambda value: code.builder.fadd(load(code, address, mask), value))
    store(code, value, address, mask)
