"""Work that is cut into jobs, and the one loop that shares jobs among the threads.

``@task("T[::1], int64, T[::1]")`` makes a task of a function ``f(job, jobs, ...)``, which does the part numbered
``job`` of ``jobs``. The signature gives the types of what follows these two; T is float32 or float64. Then
``f(dtype, jobs, ...)`` does all parts. The function is compiled as it stands, without threads, and the loop calls it by
its address: a loop with threads takes Numba a third of a second, and like this one serves all tasks that take the same
arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import sigutils
from numba.np import numpy_support

from .compiling import LOCK, intrinsic, shared_out

# Multiply-adds may be fused, but ``(x - shift) + y`` never becomes ``x - (shift - y)``.
ARITHMETIC = {"contract"}
EXACT: set[str] = set()  # every operation is rounded by itself, as NumPy rounds

SERIAL = 1 << 15  # numbers; waking a thread takes longer than going through so few
MOST_JOBS = 32


class Task:
    """A function to be done in parts. It is compiled at its first use, for each dtype."""

    def __init__(self, function: Callable[..., None], signature: str, arithmetic: set[str] = ARITHMETIC) -> None:
        self.function, self.signature, self.__doc__ = function, signature, function.__doc__
        self.arithmetic = arithmetic
        self.compiled: dict[np.dtype, tuple[Any, list[Any]]] = {}

    def __call__(self, dtype: np.dtype, jobs: int, *args: Any) -> None:
        """Do all parts. One thread does a single job, and wakes no other.

        Raises:
            TypeError: if ``args`` are not of the signature's types; the address alone would not tell.
        """
        with LOCK:
            compiled, expected = self.compiled.get(dtype) or self._compile(dtype)
            if len(args) != len(expected) or not all(map(_is, args, expected)):
                raise TypeError(f"{self.function.__name__} takes ({self.signature}) with T = {dtype}")
            _share(compiled.address, jobs, *args)

    def unchecked(self, dtype: np.dtype, jobs: int, *args: Any) -> None:
        """The same for arguments that are known to be of the right types, which a check takes longer than the call."""
        with LOCK:
            compiled, _ = self.compiled.get(dtype) or self._compile(dtype)
            _share(compiled.address, jobs, *args)

    def _compile(self, dtype: np.dtype) -> tuple[Any, list[Any]]:
        text = self.signature.replace("T", dtype.name)
        signature = sigutils.normalize_signature(f"void(int64, int64, {text})")
        kinds = [
            (numpy_support.as_dtype(kind.dtype), kind.ndim) if isinstance(kind, types.Array) else None
            for kind in signature[0][2:]
        ]
        options: Any = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": self.arithmetic}
        compiled = numba.cfunc(types.void(*signature[0]), **options)(self.function)
        self.compiled[dtype] = compiled, kinds
        return self.compiled[dtype]


def _is(value: Any, kind: tuple[np.dtype, int] | None) -> bool:
    """Whether a value is what a kernel expects: an array that it can walk through, or a number."""
    if kind is None:
        return not isinstance(value, np.ndarray)
    flags = value.flags
    return value.dtype == kind[0] and value.ndim == kind[1] and flags.c_contiguous and flags.aligned and flags.writeable


def task(signature: str, arithmetic: set[str] = ARITHMETIC) -> Callable[[Callable[..., None]], Task]:
    """Make a ``Task`` of a function; ``signature`` are the types of its arguments after ``job`` and ``jobs``."""
    return lambda function: Task(function, signature, arithmetic)


def jobs(numbers: int) -> int:
    """How many parts to cut work on so many numbers into: the same on every machine, so that sums are too."""
    if numbers <= SERIAL:
        return 1
    return min(MOST_JOBS, 1 << (numbers // (SERIAL // 2)).bit_length() - 1)


@intrinsic
def _call(typing_context, address, job, jobs, args):
    """Call the function at ``address``."""

    def generate(context, builder, signature, values):
        address, job, jobs, packed = values
        unpacked = [builder.extract_value(packed, index) for index in range(len(args))]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in (job, jobs, *unpacked)])
        builder.call(builder.inttoptr(address, kind.as_pointer()), [job, jobs, *unpacked])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, args), generate


@shared_out()
def _share(address, jobs, *args):
    if jobs == 1:
        _call(address, 0, 1, args)
    else:
        for job in prange(jobs):
            _call(address, job, jobs, args)
