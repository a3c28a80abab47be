"""Matrix products by cuBLAS, and whether they may round to TensorFloat-32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import cuda as switches

CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH = 0, 3


def matmul(cuda: Any, a: Any, b: Any) -> Any:
    """The product of the matrices in the last two axes; leading axes broadcast."""
    with tf32(cuda, switches.allow_tf32_matmuls):
        return cuda.xp.matmul(a, b)


@contextmanager
def tf32(cuda: Any, allowed: bool) -> Iterator[None]:
    """Let cuBLAS round float32 factors to TensorFloat-32 inside the block, or forbid it."""
    from cupy.cuda import cublas

    handle = cuda.xp.cuda.device.get_cublas_handle()
    before = cublas.getMathMode(handle)
    cublas.setMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH if allowed else CUBLAS_DEFAULT_MATH)
    try:
        yield
    finally:
        cublas.setMathMode(handle, before)
