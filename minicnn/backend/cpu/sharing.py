"""Work that is cut into jobs, and the one way in which jobs are shared among the threads.

``share_out(jobs, work, (x, y))`` in compiled code calls ``work(job, x, y)`` for each job, on all threads. Numba's own
way, ``parallel=True`` and ``prange``, takes longer to compile, and compiles what the loop calls twice: for signed and
for unsigned numbers of jobs.

``@task("T[::1], int64, T[::1]")`` makes a task of a function ``f(job, jobs, ...)``, which does the part numbered
``job`` of ``jobs``. The signature gives the types of what follows these two; T is float32 or float64. Then
``f(dtype, jobs, ...)`` does all parts. The function is called by its address, so that one compiled loop serves all
tasks that take the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, sigutils
from numba.np import numpy_support

from .compiling import LOCK, intrinsic, kernel

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


# ---- jobs and threads ------------------------------------------------------------------------------------------------

WORD, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
# A part of a loop as Numba's threads know it. Of its arrays there is one, which is nowhere: its address, a byte a job,
# is the number of the first job; then how many jobs there are, and what they need.
PART = ir.FunctionType(ir.VoidType(), [POINTER] * 4)


@intrinsic
def share_out(typing_context, jobs, work, args):
    """``work(job, *args)`` for each job, on all threads; one job on this thread. ``work``: a kernel."""
    expected = work.get_call_type(typing_context, (types.int64, *args), {})

    def generate(context, builder, signature, values):
        compiled = work.dispatcher.overloads[expected.args]
        context.add_linking_libs([compiled.library])

        def call(builder, job, packed):
            function = context.declare_function(builder.module, compiled.fndesc)
            unpacked = cgutils.unpack_tuple(builder, packed, len(args))
            context.call_conv.call_function(builder, function, expected.return_type, expected.args, [job, *unpacked])

        _loop(builder, values[0], values[2], call)
        return context.get_dummy_value()

    return types.void(types.int64, work, args), generate


@intrinsic
def _share_task(typing_context, address, jobs, args):
    """The function at ``address`` with each job's number, the number of jobs and ``args``, on all threads."""

    def generate(context, builder, signature, values):
        def call(builder, job, packed):
            address, jobs, args = cgutils.unpack_tuple(builder, packed, 3)
            unpacked = cgutils.unpack_tuple(builder, args, len(signature.args[2]))
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in (job, jobs, *unpacked)])
            builder.call(builder.inttoptr(address, kind.as_pointer()), [job, jobs, *unpacked])

        _loop(builder, values[1], cgutils.pack_struct(builder, values), call)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, args), generate


def _loop(builder: Any, jobs: Any, needed: Any, call: Callable[[Any, Any, Any], None]) -> None:
    """Write a loop over the jobs whose body is ``call(builder, job, needed)``."""
    name = builder.module.get_unique_name(f"{builder.function.name}.part")
    part = ir.Function(builder.module, PART, name)
    part.linkage = "internal"
    arrays, lengths, _, data = part.args
    body = ir.IRBuilder(part.append_basic_block())
    first = body.load(body.bitcast(arrays, WORD.as_pointer()))
    count = body.load(body.bitcast(lengths, WORD.as_pointer()))
    known = body.load(body.bitcast(data, needed.type.as_pointer()))
    with cgutils.for_range(body, count) as loop:
        call(body, body.add(first, loop.index), known)
    body.ret_void()

    places = [cgutils.alloca_once_value(builder, value) for value in (WORD(0), jobs, WORD(1), needed)]
    arguments = [builder.bitcast(place, POINTER) for place in places]
    with builder.if_else(builder.icmp_signed(">", jobs, WORD(1))) as (many, few):
        with many:
            threads = cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, []), "get_num_threads")
            kind = ir.FunctionType(ir.VoidType(), [POINTER] * 5 + [WORD] * 3)
            run = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
            options = [WORD(0), WORD(1), builder.call(threads, [])]  # the one array has no dimension but the jobs
            builder.call(run, [builder.bitcast(part, POINTER), *arguments, *options])
        with few:
            builder.call(part, arguments)


@kernel()
def _share(address, jobs, *args):
    _share_task(address, jobs, args)
