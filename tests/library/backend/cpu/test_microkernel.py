"""The register tiles themselves: each computes its sum and touches nothing else."""

from __future__ import annotations

import itertools
import re

import numba
import numpy as np
import pytest

from minicnn.backend.cpu import memory
from minicnn.backend.cpu.microkernel import (
    PANEL,
    PRODUCT,
    TILE,
    VECTORS,
    Panel,
    Product,
    Tile,
    _one_tile,
    call_tile,
    tile_function,
)
from minicnn.backend.cpu.target import NEON, target
from minicnn.backend.cpu.vector_code import INT64, Code, fields

DTYPES = {"float32": 1e-5, "float64": 1e-13}


@numba.njit
def run_tile(products, tiles, panels, x, weights, y, residual, ahead):
    """The tile of these records, called from Python."""
    call_tile(products[0], tiles[0], panels[0], x, weights, y, residual, ahead)


def run_one(dtype: str, rows: int, vectors: int, lanes: int, spread: bool, more: bool, relu: bool) -> None:
    """A tile on guarded arrays that hold exactly what it may touch, against the sum it stands for."""
    size = np.dtype(dtype).itemsize
    width = vectors * target().lanes(size)
    count, length = 2, 3
    rng = np.random.default_rng([rows, vectors, lanes, spread])
    a_width = 1 if spread else width
    reach = (rows - 1) * (lanes + 1) + lanes  # between two rows of y lies one number that no row has
    with memory.guarded() as pool:

        def filled(*shape: int) -> np.ndarray:
            array = pool.empty(shape, dtype)
            array[...] = rng.standard_normal(shape)
            return array

        a, b, start = filled(count, rows, length, a_width), filled(count, length, width), filled(width)
        y, residual = pool.empty((reach,), dtype), filled(reach)
        segments = np.arange(count) * a[0].nbytes
        least = np.array([0.0 if relu else -np.inf], dtype)
        product = Product(
            function=tile_function(np.dtype(dtype), spread),
            a_row=a[0, 0].nbytes,
            a_step=a[0, 0, 0].nbytes,
            segments=segments.ctypes.data,
            segment_count=count,
            length=length,
            b_step=width * size,
            b_segment=b[0].nbytes,
            y_row=(lanes + 1) * size,
            start=start.ctypes.data - 96,
            floor=least.ctypes.data,
        )
        # All offsets are added to addresses: those of the panel go as far back as those of the tile go on.
        run_tile(
            np.array([product], PRODUCT),
            np.array([Tile(read=64, write=128, rows=rows)], TILE),
            np.array([Panel(weights=32, read=-64, write=-128, vectors=vectors, lanes=lanes, start=96)], PANEL),
            a.ctypes.data,
            b.ctypes.data - 32,
            y.ctypes.data,
            residual.ctypes.data if more else 0,
            b.ctypes.data,
        )
    expected = start + (a * b[:, None]).sum(axis=(0, 2))  # (count, rows, length, width) -> (rows, width)
    for row in range(rows):
        place = slice(row * (lanes + 1), row * (lanes + 1) + lanes)
        wanted = expected[row, :lanes] + (residual[place] if more else 0)
        np.testing.assert_allclose(y[place], np.maximum(wanted, 0) if relu else wanted, rtol=0, atol=DTYPES[dtype] * 30)
        between = y[place.stop : place.stop + 1]
        assert np.isnan(between).all(), "the number between two rows was written"


@pytest.mark.parametrize("spread", [True, False], ids=["product", "lane by lane"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tile_computes_its_sum_and_touches_nothing_else(dtype: str, spread: bool) -> None:
    lanes = target().lanes(np.dtype(dtype).itemsize)
    for rows, vectors in itertools.product(target().row_counts, range(1, VECTORS + 1)):
        for used in {1, lanes - 1, lanes, vectors * lanes - 1, vectors * lanes} - {0}:
            if used <= vectors * lanes:
                run_one(dtype, rows, vectors, used, spread, more=used % 2 == 0, relu=rows % 2 == 0)


def test_a_store_that_runs_over_is_caught() -> None:
    """One number too many, as a wrong mask would write it: the guard zones have to see it."""
    lanes = target().lanes(4)
    zeros, least, segments = np.zeros(2 * lanes, np.float32), np.full(1, -np.inf, np.float32), np.zeros(1, np.int64)
    with pytest.raises(AssertionError, match=f"4 bytes after an array of {4 * (lanes - 1)}"), memory.guarded() as pool:
        y = pool.empty((lanes - 1,), "float32")
        product = Product(
            tile_function(np.dtype("float32")), 0, 0, segments.ctypes.data, 1, 1, 0, 0, 0, zeros.ctypes.data,
            least.ctypes.data,
        )  # fmt: skip
        run_tile(
            np.array([product], PRODUCT), np.array([Tile(0, 0, rows=1)], TILE),
            np.array([Panel(0, 0, 0, vectors=1, lanes=lanes)], PANEL), zeros.ctypes.data, zeros.ctypes.data,
            y.ctypes.data, 0, y.ctypes.data,
        )  # fmt: skip


def test_the_code_for_arm_keeps_its_sums_in_registers() -> None:
    """Compiled for a processor that is not here: the tallest tile's loop loads and multiplies, and stores nothing."""
    from llvmlite import binding, ir
    from numba.core import types

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * 7), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    product, panel = fields(builder, function.args[0], PRODUCT), fields(builder, function.args[1], PANEL)
    code = Code(builder, types.float32, NEON)
    _one_tile(code, NEON.tile_rows, VECTORS, True, product, panel, *function.args[2:])
    builder.ret_void()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu="cortex-a72", opt=3)
    compiled = binding.parse_assembly(str(module))
    compiled.verify()
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(3))
    builder.getModulePassManager().run(compiled, builder)
    loop = max(re.split(r"\n\.LBB", machine.emit_assembly(compiled)), key=lambda block: block.count("fmla"))
    loop = loop[: loop.index("b.lt")]  # to the jump back
    assert loop.count("fmla") == VECTORS * NEON.tile_rows
    assert not re.search(r"\bst[rp]\b", loop)
