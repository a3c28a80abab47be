"""Matrix products by cuBLAS, which says of each what it computes in, and whether it may round to TensorFloat-32."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .. import cuda as switches

# cudaDataType_t of a dtype, and cublasComputeType_t: the type of sums and of alpha and beta.
TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77
DEFAULT_ALGORITHM = -1


class Arithmetic(NamedTuple):
    """What cuBLAS is told about factors of one dtype."""

    compute: int
    with_tf32: int
    zero: int  # addresses of the numbers
    one: int


class Axis(NamedTuple):
    """A leading axis: its length, and how many numbers lie between its matrices in both factors and the product."""

    length: int
    a: int
    b: int
    out: int


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

    rows, columns, inner = *out.shape[-2:], a.shape[-1]
    if out.size == 0:
        return
    if inner == 0:
        if not add:
            out[...] = 0
        return
    arithmetic = _arithmetic(a.dtype)
    assert arithmetic is not None, a.dtype
    compute, beta = arithmetic.with_tf32 if tf32 else arithmetic.compute, arithmetic.one if add else arithmetic.zero
    a, transpose_a, row_a = _readable(cuda, a)
    b, transpose_b, row_b = _readable(cuda, b)
    _, transposed, row_out = _readable(cuda, out)
    assert not transposed, "the rows of out are contiguous"
    kind, out_kind = TYPES[str(a.dtype)], TYPES[str(out.dtype)]
    handle = cuda.xp.cuda.device.get_cublas_handle()
    *loops, batch = _axes(a, b, out)
    for place in itertools.product(*(range(axis.length) for axis in loops)):
        start_a, start_b, start_out = (
            array.data.ptr + array.itemsize * sum(i * axis[which] for i, axis in zip(place, loops, strict=True))
            for which, array in ((1, a), (2, b), (3, out))
        )
        # cuBLAS reads columns where the rows are, and so sees all three transposed: out^T = b^T @ a^T.
        cublas.gemmStridedBatchedEx(
            handle, transpose_b, transpose_a, columns, rows, inner, arithmetic.one,
            start_b, kind, row_b, batch.b, start_a, kind, row_a, batch.a,
            beta, start_out, out_kind, row_out, batch.out, batch.length, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip


@cache
def _arithmetic(dtype: np.dtype) -> Arithmetic | None:
    """``None`` for a dtype that cuBLAS does not multiply."""
    if dtype.name not in TYPES:
        return None
    zero, one = (_host_number(value, "float64" if dtype == np.float64 else "float32") for value in (0, 1))
    if dtype == np.float64:
        return Arithmetic(COMPUTE_64F, COMPUTE_64F, zero, one)
    return Arithmetic(COMPUTE_32F, COMPUTE_32F_FAST_TF32 if dtype == np.float32 else COMPUTE_32F, zero, one)


def _host_number(value: float, dtype: str) -> int:
    """The address of a number in host memory, which stays there."""
    number = np.array(value, dtype)
    _kept.append(number)
    return number.ctypes.data


_kept: list[np.ndarray] = []


def _readable(cuda: Any, matrices: Any) -> tuple[Any, int, int]:
    """The matrices, whether they are transposed in memory, and the numbers from one row (or column) to the next."""
    rows, columns = matrices.shape[-2:]
    down, right = (step // matrices.itemsize for step in matrices.strides[-2:])
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return matrices, 0, down if rows > 1 else columns
    if (down == 1 or rows == 1) and right >= rows:
        return matrices, 1, right
    return cuda.xp.ascontiguousarray(matrices), 0, columns


def _axes(a: Any, b: Any, out: Any) -> list[Axis]:
    """The leading axes, neighbours joined where all three arrays allow it, the longest last."""
    joined = [Axis(1, 0, 0, 0)]
    steps = (_steps(array, out.ndim) for array in (a, b, out))
    for axis in map(Axis, out.shape[:-2], *steps):
        outer = joined[-1]
        if axis.length == 1:
            continue
        if outer.length == 1:
            joined[-1] = axis
        elif all(far == axis.length * near for far, near in zip(outer[1:], axis[1:], strict=True)):
            joined[-1] = axis._replace(length=outer.length * axis.length)
        else:
            joined.append(axis)
    return sorted(joined, key=lambda axis: axis.length)


def _steps(array: Any, ndim: int) -> list[int]:
    """Numbers from one matrix to the next along each leading axis of a product; 0 where the array is repeated."""
    own = [
        0 if length == 1 else step // array.itemsize
        for length, step in zip(array.shape[:-2], array.strides[:-2], strict=True)
    ]
    return [0] * (ndim - array.ndim) + own
