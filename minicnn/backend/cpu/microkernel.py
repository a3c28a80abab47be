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
All addresses and steps are in bytes. Nothing is checked here: the code that makes the tables of tiles (``tiles.py``)
must see to it that none reaches outside its arrays, and tests put guard zones around them.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import cfunc
from numba.core import cgutils, types
from numba.np.numpy_support import as_dtype

from .compiling import intrinsic
from .records import record
from .target import target
from .vector_code import INT64, Code, fields, integer_at

VECTORS = 2  # side by side in a full tile


class Product(NamedTuple):
    """What all tiles of a product have in common. Its maker keeps the arrays whose addresses it has."""

    function: int  # from ``tile_function``
    a_row: int  # from a row of ``a`` to the next
    a_step: int  # from a number of the reduction to the next
    segments: int  # address of the offsets of the stretches that the reduction runs along
    segment_count: int
    length: int  # of each stretch, in numbers
    b_step: int
    b_segment: int  # from the weights of a stretch to those of the next
    y_row: int
    start: int  # address of two vectors, where the sums start
    floor: int  # address of a number: no result is less. 0 for a ReLU, else minus infinity
    silu: int = 0  # from ``silu.rows_function``: applied to the results of each tile, while they are in the cache


class Tile(NamedTuple):
    """A row of a table of tiles."""

    read: int  # offset of the first pixel
    write: int  # offset of the first result
    rows: int
    strip: int = 0  # number of the strip of channels that it reads: for the gradient at the weight


class Panel(NamedTuple):
    """A row of a table of panels."""

    weights: int  # offset of the panel
    read: int  # added to where each tile reads
    write: int  # added to where each tile writes
    vectors: int  # 1 or 2
    lanes: int  # filters, as many as numbers are written in each row
    start: int = 0  # offset from the product's


PRODUCT, TILE, PANEL = record(Product), record(Tile), record(Panel)


def _one_tile(code: Code, rows: int, vectors: int, spread: bool, product: Any, panel: Any, a: Any, b: Any, y: Any,
              residual: Any, ahead: Any) -> None:  # fmt: skip
    """The code of a tile of ``rows`` x ``vectors``; the others are the arguments of ``tile_function``, records read."""
    builder, at = code.builder, code.at
    a_row, a_step, b_step, b_segment, y_row = (
        product.a_row, product.a_step, product.b_step, product.b_segment, product.y_row,
    )  # fmt: skip
    segments, count, length, lanes = product.segments, product.segment_count, product.length, panel.lanes
    start, more = at(product.start, panel.start), builder.icmp_signed("!=", residual, INT64(0))
    width = code.lanes * code.size
    columns = [v * width for v in range(vectors)]
    sums = [[cgutils.alloca_once(builder, code.vector) for _ in columns] for _ in range(rows)]
    for v, column in enumerate(columns):
        first = code.load(at(start, column))
        for row in sums:
            builder.store(first, row[v])
    # The results go to memory all at once in the end, and a residual comes from there. Without warning each would have
    # to wait for its line.
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
    step_weights, next_line = cgutils.alloca_once(builder, INT64), cgutils.alloca_once(builder, INT64)
    builder.store(ahead, next_line)
    with cgutils.for_range(builder, count, intp=INT64) as segment:
        address = builder.add(a, integer_at(builder, at(segments, builder.mul(segment.index, INT64(8)))))
        for base in bases:
            builder.store(address, base)
            address = builder.add(address, down_three)
        builder.store(builder.add(b, builder.mul(segment.index, b_segment)), step_weights)
        with cgutils.for_range(builder, length, intp=INT64):
            here = builder.load(step_weights)
            filters = [code.load(at(here, column)) for column in columns]
            for index, row in enumerate(sums):
                place = at(builder.load(bases[index // 3]), steps[index % 3])
                pixel = code.load_spread(place) if spread else None
                for v, column in enumerate(columns):
                    factor = pixel if spread else code.load(at(place, column))
                    builder.store(code.multiply_add(factor, filters[v], builder.load(row[v])), row[v])
            for base in bases:
                builder.store(builder.add(builder.load(base), a_step), base)
            builder.store(builder.add(here, b_step), step_weights)
            line = builder.load(next_line)
            code.prefetch(line)
            builder.store(builder.add(line, INT64(64)), next_line)

    least = code.load_spread(product.floor)
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


TILES = types.void(*[types.int64] * 8)


def _define_tiles(dtype: Any, spread: bool) -> Any:
    """The intrinsic that holds the code of all tiles of a dtype, and goes to the one that is asked for."""

    @intrinsic
    def tiles(typing_context, product, tile, panel, a, b, y, residual, ahead):
        def generate(context, builder, signature, arguments):
            code = Code(builder, dtype, target())
            product, tile, panel = map(partial(fields, builder), arguments[:3], (PRODUCT, TILE, PANEL))
            done = builder.append_basic_block("done")
            chosen = builder.switch(builder.add(builder.mul(tile.rows, INT64(VECTORS + 1)), panel.vectors), done)
            for height in target().row_counts:
                for width in range(1, VECTORS + 1):
                    block = builder.append_basic_block(f"tile_{height}x{width}")
                    chosen.add_case(INT64(height * (VECTORS + 1) + width), block)
                    builder.position_at_end(block)
                    _one_tile(code, height, width, spread, product, panel, *arguments[3:])
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return TILES, generate

    return tiles


_product32, _product64 = _define_tiles(types.float32, True), _define_tiles(types.float64, True)
_lanewise32, _lanewise64 = _define_tiles(types.float32, False), _define_tiles(types.float64, False)


def product32(product, tile, panel, a, b, y, residual, ahead):
    _product32(product, tile, panel, a, b, y, residual, ahead)


def product64(product, tile, panel, a, b, y, residual, ahead):
    _product64(product, tile, panel, a, b, y, residual, ahead)


def lanewise32(product, tile, panel, a, b, y, residual, ahead):
    _lanewise32(product, tile, panel, a, b, y, residual, ahead)


def lanewise64(product, tile, panel, a, b, y, residual, ahead):
    _lanewise64(product, tile, panel, a, b, y, residual, ahead)


@cache
def tile_function(dtype: np.dtype, spread: bool = True) -> int:
    """The address of the compiled tiles of ``dtype``, which ``call_tile`` finds in the product.

    A tile (function of the addresses of three records, ``product``, ``tile`` and ``panel``, and of five places in
    memory) computes, for ``i < rows`` and ``v < lanes``, with the fields of the records::

        y[i * y_row + v] = max(floor, start[v] + residual[i * y_row + v]
                                      + sum over s < segment_count, r < length of
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
    compiled: Any = cfunc(TILES, cache=True)(functions[dtype.itemsize, spread])
    return compiled.address


@intrinsic
def call_tile(typing_context, product, tile, panel, x, weights, y, residual, ahead):
    """Call the tile of this table with this panel: ``a`` is ``x + tile.read + panel.read``, ``b`` is ``weights +
    panel.weights``, and ``y`` and, unless it is 0, ``residual`` are moved on by ``tile.write + panel.write``.

    It is called by the product's address, so that its code is compiled once, and not into every caller.
    """

    def generate(context, builder, signature, arguments):
        product, tile, panel = (builder.ptrtoint(pointer, INT64) for pointer in arguments[:3])
        x, weights, y, residual, ahead = arguments[3:]
        common, here, filters = map(partial(fields, builder), (product, tile, panel), (PRODUCT, TILE, PANEL))
        write = builder.add(here.write, filters.write)
        a, b = builder.add(x, builder.add(here.read, filters.read)), builder.add(weights, filters.weights)
        there = builder.icmp_signed("!=", residual, INT64(0))
        residual = builder.select(there, builder.add(residual, write), INT64(0))
        kind = ir.FunctionType(ir.VoidType(), [INT64] * 8)
        function = builder.inttoptr(common.function, kind.as_pointer())
        builder.call(function, [product, tile, panel, a, b, builder.add(y, write), residual, ahead])
        return context.get_dummy_value()

    assert [as_dtype(kind) for kind in (product, tile, panel)] == [PRODUCT, TILE, PANEL]
    return types.void(product, tile, panel, *[types.int64] * 5), generate


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
