"""Matrix products by cuBLAS, which is told of each what to compute in, and whether it may round to TensorFloat-32."""

from __future__ import annotations

import itertools
import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import cuda as switches

# cudaDataType_t of a dtype, and cublasComputeType_t: the type of sums and of alpha and beta.
TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77
DEFAULT_ALGORITHM = -1


class Arithmetic(NamedTuple):
    """What cuBLAS is told about numbers of one dtype."""

    type: int
    compute: int
    with_tf32: int
    zero: int  # where these numbers are in host memory
    one: int


class Layout(NamedTuple):
    """How the matrices of an array lie in memory, in numbers; ``contiguous`` says that it has to be copied first."""

    copied: bool
    transposed: bool
    leading: int  # from one row to the next, or one column if transposed
    steps: tuple[int, ...]  # from one matrix to the next along each leading axis of the product; 0 where it is repeated


class Plan(NamedTuple):
    """How a product is asked of cuBLAS: one call for every place, of which each is three offsets in bytes."""

    a: Layout
    b: Layout
    out: Layout
    batch: tuple[int, int, int, int]  # matrices per call, and the numbers between them
    places: list[tuple[int, int, int]]


def matmul(cuda: Any, a: Any, b: Any) -> Any:
    """The product of the matrices in the last two axes; leading axes broadcast, a vector is a row or a column.

    Raises:
        ValueError: if the inner lengths differ, or the leading axes do not broadcast.
    """
    if a.dtype != b.dtype or _arithmetic(a.dtype) is None or 0 in (a.ndim, b.ndim):
        return cuda.xp.matmul(a, b)
    if a.ndim == 1:
        return matmul(cuda, a[None], b)[..., 0, :] if b.ndim > 1 else matmul(cuda, a[None], b)[0]
    if b.ndim == 1:
        return matmul(cuda, a, b[:, None])[..., 0]
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if inner != b.shape[-2]:
        raise ValueError(f"matmul: expected inner lengths that are equal, got shapes {a.shape} and {b.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = cuda.xp.empty((*batch, rows, columns), a.dtype)
    whole = out
    if b.ndim == 2:  # (..., L, C) @ (C, K): all rows meet the same matrix
        rows *= math.prod(batch)
        a, whole = a.reshape(rows, inner), out.reshape(rows, columns)
    product(cuda, a, b, whole, switches.allow_tf32_matmuls)
    return out


def product(cuda: Any, a: Any, b: Any, out: Any, tf32: bool, add: bool = False) -> None:
    """``out[...] = a @ b`` by as few calls of cuBLAS as possible; the leading axes of both broadcast to those of out.

    A factor that is transposed in memory is read where it lies, and so is one that is shared along an axis.

    Args:
        a, b: of one floating dtype.
        out: its rows are contiguous; of the factors' dtype, or float32 where these have 16 bits.
        tf32: whether float32 factors may be rounded to TensorFloat-32.
        add: add to ``out`` instead.
    """
    from cupy.cuda import cublas

    if out.size == 0:
        return
    if a.size == 0:
        if not add:
            out[...] = 0
        return
    plan = _plan(
        (a.shape, a.strides, a.itemsize), (b.shape, b.strides, b.itemsize), (out.shape, out.strides, out.itemsize)
    )
    a, b = (cuda.xp.ascontiguousarray(x) if layout.copied else x for x, layout in ((a, plan.a), (b, plan.b)))
    factors, result = _arithmetic(a.dtype), _arithmetic(out.dtype)
    compute, beta = factors.with_tf32 if tf32 else factors.compute, factors.one if add else factors.zero
    handle = cuda.xp.cuda.device.get_cublas_handle()
    start_a, start_b, start_out = a.data.ptr, b.data.ptr, out.data.ptr
    count, step_a, step_b, step_out = plan.batch
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    for offset_a, offset_b, offset_out in plan.places:
        # cuBLAS reads columns where the rows are, and so sees all three transposed: out^T = b^T @ a^T.
        cublas.gemmStridedBatchedEx(
            handle, plan.b.transposed, plan.a.transposed, columns, rows, inner, factors.one,
            start_b + offset_b, factors.type, plan.b.leading, step_b,
            start_a + offset_a, factors.type, plan.a.leading, step_a,
            beta, start_out + offset_out, result.type, plan.out.leading, step_out,
            count, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip


@cache
def _arithmetic(dtype: np.dtype) -> Any:
    """``None`` for a dtype that cuBLAS does not multiply."""
    if dtype.name not in TYPES:
        return None
    zero, one = (_host_number(value, "float64" if dtype == np.float64 else "float32") for value in (0, 1))
    compute = COMPUTE_64F if dtype == np.float64 else COMPUTE_32F
    return Arithmetic(TYPES[dtype.name], compute, COMPUTE_32F_FAST_TF32 if dtype == np.float32 else compute, zero, one)


def _host_number(value: float, dtype: str) -> int:
    """The address of a number in host memory, which stays there."""
    number = np.array(value, dtype)
    _kept.append(number)
    return number.ctypes.data


_kept: list[np.ndarray] = []


@lru_cache(maxsize=4096)
def _plan(a: tuple[Any, ...], b: tuple[Any, ...], out: tuple[Any, ...]) -> Plan:
    """For arrays of these shapes, strides and item sizes."""
    leading = out[0][:-2]
    layouts = [_layout(*array, ndim=len(leading)) for array in (a, b, out)]
    assert not layouts[2].copied and not layouts[2].transposed, "the rows of out are contiguous"
    # Leading axes: the length, and the three steps. Neighbours are joined where all three arrays allow it.
    axes = [(1, 0, 0, 0)]
    for axis in zip(leading, *(layout.steps for layout in layouts), strict=True):
        length, *steps = axis
        if length == 1:
            continue
        if axes[-1][0] == 1:
            axes[-1] = axis
        elif list(axes[-1][1:]) == [length * step for step in steps]:
            axes[-1] = (axes[-1][0] * length, *steps)
        else:
            axes.append(axis)
    *loops, batch = sorted(axes)  # cuBLAS goes along the longest
    items = a[2], b[2], out[2]
    places = [
        tuple(
            item * sum(i * axis[1 + which] for i, axis in zip(place, loops, strict=True))
            for which, item in enumerate(items)
        )
        for place in itertools.product(*(range(axis[0]) for axis in loops))
    ]
    return Plan(*layouts, batch, places)


def _layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, ndim: int) -> Layout:
    """That of an array, broadcast to ``ndim`` leading axes."""
    rows, columns = shape[-2:]
    numbers = [0 if length == 1 else stride // itemsize for length, stride in zip(shape, strides, strict=True)]
    (*steps, down, right), copied, transposed = numbers, False, False
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        leading = max(down, columns)
    elif (down == 1 or rows == 1) and right >= rows:
        transposed, leading = True, right
    else:
        copied, leading = True, columns
        steps = [0 if length == 1 else math.prod(shape[i + 1 :]) for i, length in enumerate(shape[:-2])]
    return Layout(copied, transposed, leading, (0,) * (ndim - len(steps)) + tuple(steps))
