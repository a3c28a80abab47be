"""``cupy.cuda.cublas.gemmStridedBatchedEx`` on host memory: column-major, with the argument checks of cuBLAS.

And with one that cuBLAS has not: every matrix lies within one array of the current device that is still in use.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.library.support.cuda.fakegraph import refuse_cublas
from tests.library.support.cuda.memory import holding

# cudaDataType_t, and for each compute type the types of alpha and beta and the factors that it allows.
DTYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}
COMPUTE = {68: (np.float32, {0, 2, 14}), 77: (np.float32, {0}), 70: (np.float64, {1})}  # 32F, 32F_FAST_TF32, 64F


def gemm_strided_batched_ex(
    handle: int, transa: int, transb: int, m: int, n: int, k: int,
    alpha: int, A: int, Atype: int, lda: int, strideA: int,
    B: int, Btype: int, ldb: int, strideB: int,
    beta: int, C: int, Ctype: int, ldc: int, strideC: int, batchCount: int, computeType: int, algo: int,
) -> None:  # fmt: skip
    """``C[i] = alpha * op(A[i]) op(B[i]) + beta * C[i]``; the strides lead from one matrix of the batch to the next.

    Raises:
        ValueError: for what cuBLAS refuses with ``CUBLAS_STATUS_INVALID_VALUE`` or ``NOT_SUPPORTED``, for matrices
            outside of an array, and for a batch of results in one place.
    """
    refuse_cublas()
    scalar, allowed = COMPUTE[computeType]
    if not {Atype, Btype, Ctype} <= allowed or Atype != Btype:
        raise ValueError(f"gemmStridedBatchedEx: compute type {computeType} with types {Atype}, {Btype}, {Ctype}")
    for name, leading, rows in (("lda", lda, k if transa else m), ("ldb", ldb, n if transb else k), ("ldc", ldc, m)):
        if leading < max(1, rows):
            raise ValueError(f"gemmStridedBatchedEx: {name} = {leading} is less than {rows} rows")
    if batchCount > 1 and strideC == 0:
        raise ValueError(f"gemmStridedBatchedEx: {batchCount} results in one place")
    one, zero = (_scalar(pointer, scalar) for pointer in (alpha, beta))
    for i in range(batchCount):
        left = _matrix(A, Atype, lda, strideA, i, *((k, m) if transa else (m, k)))
        right = _matrix(B, Btype, ldb, strideB, i, *((n, k) if transb else (k, n)))
        target = _matrix(C, Ctype, ldc, strideC, i, m, n)
        factors = (left.T if transa else left), (right.T if transb else right)
        product = one * (factors[0].astype(scalar) @ factors[1].astype(scalar))
        target[...] = product if zero == 0 else product + zero * target.astype(scalar)


def _matrix(pointer: int, kind: int, leading: int, stride: int, number: int, rows: int, columns: int) -> np.ndarray:
    """Column-major matrix ``number`` of a batch."""
    dtype = np.dtype(DTYPES[kind])
    start = pointer + number * stride * dtype.itemsize
    end = start + (leading * (columns - 1) + rows) * dtype.itemsize
    block = holding(pointer)
    if block is None or not block.address <= start <= end <= block.address + block.size:
        raise ValueError(f"gemmStridedBatchedEx: matrix {number} of {rows} x {columns} is not within an array in use")
    steps = dtype.itemsize, leading * dtype.itemsize
    return np.ndarray((rows, columns), dtype, block.bytes, start - block.address, steps)


def _scalar(pointer: int, dtype: Any) -> Any:
    """In host memory."""
    raw = (ctypes.c_char * np.dtype(dtype).itemsize).from_address(pointer)
    return np.frombuffer(raw, dtype)[0]
