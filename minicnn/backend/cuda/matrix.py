"""Matrix products by cuBLAS, which is told of each what to compute in, and whether it may round to TensorFloat-32."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import cuda as switches
from .compiler import real

# cudaDataType_t of a dtype, and cublasComputeType_t: the type of sums and of alpha and beta.
TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77
DEFAULT_ALGORITHM = -1
HOST_NUMBERS = {dtype: np.array([0, 1], dtype) for dtype in ("float32", "float64")}  # where cuBLAS reads alpha and beta


class Arithmetic(NamedTuple):
    """What cuBLAS is told about numbers of one dtype."""

    type: int
    compute: int
    with_tf32: int
    zero: int  # the addresses of these numbers
    one: int


class Layout(NamedTuple):
    """How the matrices of an array lie in memory."""

    copied: bool  # they lie so that they have to be copied first
    transposed: bool
    leading: int  # numbers from one row to the next, or one column if transposed
    steps: tuple[int, ...]  # from one matrix to the next along each leading axis of the product; 0 if repeated


class Axis(NamedTuple):
    """A leading axis of a product, and the steps of both factors and the product along it."""

    length: int
    steps: tuple[int, ...]


class Plan(NamedTuple):
    """How a product is asked of cuBLAS: by one call for each place, which is offsets in the three arrays, in bytes."""

    a: Layout
    b: Layout
    out: Layout
    batch: Axis  # what one call does
    places: list[tuple[int, ...]]


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
    if b.ndim == 2 and a.flags.c_contiguous:  # (..., L, C) @ (C, K): all rows meet the same matrix
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

    Raises:
        TypeError: for other dtypes.
    """
    from cupy.cuda import cublas

    factors, result = _arithmetic(a.dtype), _arithmetic(out.dtype)
    fitting = a.dtype == b.dtype and out.dtype in (a.dtype, real(a.dtype))
    if factors is None or result is None or not fitting:
        raise TypeError(f"expected factors of one floating dtype, got {a.dtype} and {b.dtype} to {out.dtype}")
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
    tf32 = tf32 and _has_tf32(cuda.xp, cuda.xp.cuda.runtime.getDevice())
    compute, beta = factors.with_tf32 if tf32 else factors.compute, factors.one if add else factors.zero
    handle = cuda.xp.cuda.device.get_cublas_handle()
    start_a, start_b, start_out = a.data.ptr, b.data.ptr, out.data.ptr
    count, (step_a, step_b, step_out) = plan.batch
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
def _has_tf32(cupy: Any, device: int) -> bool:
    """GPUs have it from Ampere on."""
    return int(cupy.cuda.Device(device).compute_capability) >= 80


@cache
def _arithmetic(dtype: np.dtype) -> Arithmetic | None:
    """``None`` for a dtype that cuBLAS does not multiply."""
    if dtype.name not in TYPES:
        return None
    double = dtype == np.float64
    numbers = HOST_NUMBERS["float64" if double else "float32"]
    zero, one = numbers.ctypes.data, numbers.ctypes.data + numbers.itemsize
    compute = COMPUTE_64F if double else COMPUTE_32F
    return Arithmetic(TYPES[dtype.name], compute, COMPUTE_32F_FAST_TF32 if dtype == np.float32 else compute, zero, one)


@lru_cache(maxsize=4096)
def _plan(a: tuple[Any, ...], b: tuple[Any, ...], out: tuple[Any, ...]) -> Plan:
    """For arrays of these shapes, strides and item sizes."""
    leading = out[0][:-2]
    layouts = _layout(a, len(leading)), _layout(b, len(leading)), _layout(out, len(leading))
    assert not layouts[2].copied and not layouts[2].transposed, "the rows of out are contiguous"
    axes = [Axis(1, (0, 0, 0))]
    for length, *steps in zip(leading, *(layout.steps for layout in layouts), strict=True):
        outer = axes[-1]
        if length == 1:
            continue
        if outer.length == 1:
            axes[-1] = Axis(length, tuple(steps))
        elif outer.steps == tuple(length * step for step in steps):  # both axes are one in all three arrays
            axes[-1] = Axis(outer.length * length, tuple(steps))
        else:
            axes.append(Axis(length, tuple(steps)))
    *loops, batch = sorted(axes)  # cuBLAS goes along the longest
    places: list[tuple[int, ...]] = [(0, 0, 0)]
    for axis in loops:
        strides = [step * array[2] for step, array in zip(axis.steps, (a, b, out), strict=True)]
        places = [
            tuple(start + i * stride for start, stride in zip(place, strides, strict=True))
            for place in places
            for i in range(axis.length)
        ]
    return Plan(*layouts, batch, places)


def _layout(array: tuple[Any, ...], ndim: int) -> Layout:
    """That of an array of some shape, strides and item size, broadcast to ``ndim`` leading axes."""
    shape, strides, itemsize = array
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
