"""LLVM code for vectors of numbers, an instruction per line of Python: what all code written in it is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from .target import Target

INT64, INT32 = ir.IntType(64), ir.IntType(32)


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

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """A vector of these lanes of x and, counted on, of y."""
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, self.lanes), lanes))

    def load_masked(self, address: Any, mask: Any) -> Any:
        """The lanes in ``mask``; the others are 0 and their memory is not touched."""
        pointer = self._pointer(address, self.vector)
        zero = ir.Constant(self.vector, None)
        return self._call(f"llvm.masked.load.{self._suffix}.p0", self.vector, pointer, INT32(self.size), mask, zero)

    def store_masked(self, vector: Any, address: Any, mask: Any) -> None:
        """Write the lanes in ``mask``; the memory of the others is not touched."""
        pointer = self._pointer(address, self.vector)
        self._call(f"llvm.masked.store.{self._suffix}.p0", ir.VoidType(), vector, pointer, INT32(self.size), mask)

    def store_first(self, vector: Any, address: Any, count: Any) -> None:
        """Write the first ``count`` lanes, at least one; the memory of the others is not touched.

        Without AVX-512 a store under a mask can take twenty times as long as another. There a part of a vector is
        written in pieces, one per bit of ``count``.
        """
        builder, half = self.builder, self.lanes // 2
        with builder.if_else(builder.icmp_signed(">=", count, INT64(self.lanes))) as (whole, part):
            with whole:
                self.store(vector, address)
            with part:
                if self.machine.masks:
                    self.store_masked(vector, address, self.mask(count))
                while half and not self.machine.masks:
                    self._store_piece(vector, address, count, half)
                    half //= 2

    def _store_piece(self, vector: Any, address: Any, count: Any, size: int) -> None:
        """The ``size`` lanes (a power of two) that belong to this bit of ``count``, if it is set."""
        builder = self.builder
        first_lane = builder.and_(count, INT64(-2 * size))  # after the larger pieces
        with builder.if_then(builder.icmp_signed("!=", builder.and_(count, INT64(size)), INT64(0))):
            for first in range(0, self.lanes, 2 * size):
                with builder.if_then(builder.icmp_signed("==", first_lane, INT64(first))):
                    lanes = ir.Constant(ir.VectorType(INT32, size), list(range(first, first + size)))
                    piece = builder.shuffle_vector(vector, vector, lanes)
                    pointer = self._pointer(self.at(address, first * self.size), piece.type)
                    builder.store(piece, pointer).align = self.size


def integer_at(builder: Any, address: Any, place: int = 0) -> Any:
    """The 64-bit integer ``place`` bytes after an address."""
    return builder.load(builder.inttoptr(builder.add(address, INT64(place)), INT64.as_pointer()))


def fields(builder: Any, address: Any, dtype: np.dtype) -> Any:
    """The fields of the record at an address, as attributes: the code here loads them all."""
    assert dtype.fields is not None
    return SimpleNamespace(**{name: integer_at(builder, address, field[1]) for name, field in dtype.fields.items()})
