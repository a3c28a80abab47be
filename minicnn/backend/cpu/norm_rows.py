"""What batch norm does to a row of numbers, as LLVM code: everything that is joined with it happens in registers.

A row is some pixels' channels side by side. What belongs to the channels lies in lines of the same order, which are
filled up to whole vectors; so do sums, in float64. All else is read and written for ``count`` numbers only, and a
result may lie where one of the rows read lies. Numba's own loops would be vectors only after comparing all addresses,
for each row, and not at all where two are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiling import intrinsic
from .silu import SiluCode, along, load, store
from .target import target
from .vector_code import INT64

NONE, RELU, SILU = range(3)
# Options, to be added up.
RESIDUAL, KEEP, FIXED, ADD = 1, 2, 4, 8
# Lines.
MEAN, SCALE, SHIFT, MEAN_GRAD, SLOPE = range(5)


class Row(NamedTuple):
    """The addresses of a row of each array, and what is done with it."""

    x: Any
    residual: Any
    dy: Any
    out: Any
    kept: Any
    count: Any  # numbers
    lines: Any
    line_step: Any  # in bytes
    activation: Any
    options: Any


class RowCode(SiluCode):
    """The arithmetic on a vector of a row, which ``place`` says: its offset in bytes, and a mask."""

    def __init__(self, builder: Any, row: Any, zero: Any) -> None:
        super().__init__(builder, zero, target())
        self.row = Row(*cgutils.unpack_tuple(builder, row))
        self.relu, self.silu_wanted = (
            builder.icmp_signed("==", self.row.activation, INT64(kind)) for kind in (RELU, SILU)
        )
        self.active = builder.icmp_signed("!=", self.row.activation, INT64(NONE))
        self.wide = ir.VectorType(ir.DoubleType(), self.lanes)

    def has(self, option: int) -> Any:
        """Whether an option is among them."""
        return self.builder.icmp_signed("!=", self.builder.and_(self.row.options, INT64(option)), INT64(0))

    def read(self, address: Any, place: Any) -> Any:
        """A vector of the row at an address."""
        return load(self, self.builder.add(address, place[0]), place[1])

    def write(self, value: Any, address: Any, place: Any) -> None:
        """Write a vector of the row at an address."""
        store(self, value, self.builder.add(address, place[0]), place[1])

    def write_out(self, value: Any, place: Any) -> None:
        """Write a vector of ``out``, or add it to what is there."""
        added = self.changed(
            value, self.has(ADD), lambda value: self.builder.fadd(self.read(self.row.out, place), value)
        )
        self.write(added, self.row.out, place)

    def of_line(self, number: int, place: Any) -> Any:
        """A vector of line ``number``."""
        start = self.builder.add(self.row.lines, self.builder.mul(self.row.line_step, INT64(number)))
        return self.load(self.builder.add(start, place[0]))

    def changed(self, value: Any, condition: Any, change: Any) -> Any:
        """``change(value)`` where the condition holds, else the value."""
        result = cgutils.alloca_once_value(self.builder, value)
        with self.builder.if_then(condition):
            self.builder.store(change(value), result)
        return self.builder.load(result)

    def normalised(self, x: Any, place: Any) -> Any:
        """(x - mean) * scale + shift [+ residual]."""
        centred = self.builder.fsub(x, self.of_line(MEAN, place))
        value = self.multiply_add(centred, self.of_line(SCALE, place), self.of_line(SHIFT, place))
        return self.changed(
            value,
            self.has(RESIDUAL),
            lambda value: self.builder.fadd(value, self.read(self.row.residual, place)),
        )

    def before_activation(self, x: Any, place: Any) -> Any:
        """g: dy, or what it is before the activation."""
        builder, zero = self.builder, self.number(0)

        def activated(g: Any) -> Any:
            value = self.normalised(x, place)
            passed = builder.select(builder.fcmp_ordered("<=", value, zero), zero, g)
            return self.changed(passed, self.silu_wanted, lambda _: builder.fmul(g, self.silu_slope(value)))

        return self.changed(self.read(self.row.dy, place), self.active, activated)

    def add_wide(self, sums: Any, value: Any, place: Any) -> None:
        """Add a vector to sums in float64."""
        builder = self.builder
        start = builder.add(sums, builder.mul(place[0], INT64(8 // self.size)))
        pointer = builder.inttoptr(start, self.wide.as_pointer())
        before = builder.load(pointer)
        before.align = 8
        wide = value if self.size == 8 else builder.fpext(value, self.wide)
        builder.store(builder.fadd(before, wide), pointer).align = 8


# Of each row: ``zero`` says the dtype, and sums are addresses.


@intrinsic
def apply_row(typing_context, row, zero):
    """out = activation((x - mean) * scale + shift [+ residual])."""

    def generate(context, builder, signature, arguments):
        row, _ = arguments
        code = RowCode(builder, row, signature.args[1])

        def body(*place):
            value = code.normalised(code.read(code.row.x, place), place)
            value = code.changed(value, code.relu, lambda value: code.maximum(value, code.number(0)))
            value = code.changed(value, code.silu_wanted, code.silu)
            code.write(value, code.row.out, place)

        along(code, code.row.count, body)
        return context.get_dummy_value()

    return types.void(row, zero), generate


@intrinsic
def sums_row(typing_context, row, sums, products, zero):
    """Add g and g * (x - mean) to the sums, where g is dy before the activation. g is kept, if it is wanted, and
    out = g * scale written, where the statistics are fixed.
    """

    def generate(context, builder, signature, arguments):
        row, sums, products, _ = arguments
        code = RowCode(builder, row, signature.args[3])

        def body(*place):
            value = code.read(code.row.x, place)
            g = code.before_activation(value, place)
            code.add_wide(sums, g, place)
            code.add_wide(products, builder.fmul(g, builder.fsub(value, code.of_line(MEAN, place))), place)
            with builder.if_then(code.has(KEEP)):
                code.write(g, code.row.kept, place)
            with builder.if_then(code.has(FIXED)):
                code.write(builder.fmul(g, code.of_line(SCALE, place)), code.row.out, place)

        along(code, code.row.count, body)
        return context.get_dummy_value()

    return types.void(row, sums, products, zero), generate


@intrinsic
def grad_row(typing_context, row, zero):
    """out = scale * (g - mean of g - (x - mean) * slope)."""

    def generate(context, builder, signature, arguments):
        row, _ = arguments
        code = RowCode(builder, row, signature.args[1])

        def body(*place):
            value = code.read(code.row.x, place)
            g = code.before_activation(value, place)
            centred = builder.fsub(value, code.of_line(MEAN, place))
            slope = builder.fneg(code.of_line(SLOPE, place))
            g = code.multiply_add(centred, slope, builder.fsub(g, code.of_line(MEAN_GRAD, place)))
            code.write_out(builder.fmul(g, code.of_line(SCALE, place)), place)

        along(code, code.row.count, body)
        return context.get_dummy_value()

    return types.void(row, zero), generate
