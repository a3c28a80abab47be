"""``cupy.cuda.cublas.gemmStridedBatchedEx`` on host memory: column-major, with the argument checks of cuBLAS."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.library.support.cuda.fakegraph import refuse_cublas

# cudaDataType_t, and for each compute type the types of alpha and beta and the factors that it allows.
DTYPES = {0: np.float32, 1: np.float64, 2: np.float16}
COMPUTE = {68: (np.float32, {0, 2, 14}), 77: (np.float32, {0}), 70: (np.float64, {1})}  # 32F, 32F_FAST_TF32, 64F


def gemm_strided_batched_ex(
    handle: int, transa: int, transb: int, m: int, n: int, k: int,
    alpha: int, a: int, a_type: int, lda: int, stride_a: int,
    b: int, b_type: int, ldb: int, stride_b: int,
    beta: int, c: int, c_type: int, ldc: int, stride_c: int, batch: int, compute_type: int, algo: int,
) -> None:  # fmt: skip
    """``C[i] = alpha * op(A[i]) op(B[i]) + beta * C[i]``; the strides lead from one matrix of the batch to the next.

    Raises:
        ValueError: for what cuBLAS refuses with ``CUBLAS_STATUS_INVALID_VALUE`` or ``NOT_SUPPORTED``.
    """
    refuse_cublas()
    scalar, allowed = COMPUTE[compute_type]
    if not {a_type, b_type, c_type} <= allowed or a_type != b_type:
        raise ValueError(f"gemmStridedBatchedEx: compute type {compute_type} with types {a_type}, {b_type}, {c_type}")
    for name, leading, rows in (("lda", lda, k if transa else m), ("ldb", ldb, n if transb else k), ("ldc", ldc, m)):
        if leading < max(1, rows):
            raise ValueError(f"gemmStridedBatchedEx: {name} = {leading} is less than {rows} rows")
    one, zero = (_numbers(pointer, 1, scalar)[0] for pointer in (alpha, beta))
    for i in range(batch):
        left = _matrix(a, a_type, lda, stride_a, i, *((k, m) if transa else (m, k)))
        right = _matrix(b, b_type, ldb, stride_b, i, *((n, k) if transb else (k, n)))
        target = _matrix(c, c_type, ldc, stride_c, i, m, n)
        factors = (left.T if transa else left), (right.T if transb else right)
        product = one * (factors[0].astype(scalar) @ factors[1].astype(scalar))
        target[...] = product if zero == 0 else product + zero * target.astype(scalar)


def _matrix(pointer: int, kind: int, leading: int, stride: int, number: int, rows: int, columns: int) -> np.ndarray:
    """Column-major matrix ``number`` of a batch."""
    dtype = np.dtype(DTYPES[kind])
    start = pointer + number * stride * dtype.itemsize
    numbers = _numbers(start, leading * (columns - 1) + rows, dtype)
    return np.lib.stride_tricks.as_strided(numbers, (rows, columns), (dtype.itemsize, leading * dtype.itemsize))


def _numbers(pointer: int, count: int, dtype: Any) -> np.ndarray:
    raw = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(pointer)
    found: np.ndarray = np.frombuffer(raw, dtype)
    return found
