"""Work that is cut into jobs, and the one way in which jobs are shared among the threads.

``share_out(jobs, work, (x, y))`` in compiled code calls ``work(job, x, y)`` for each job, on all threads. Numba's own
way, ``parallel=True`` and ``prange``, takes longer to compile, and compiles what the loop calls twice: for signed and
for unsigned numbers of jobs.

``@task(Pair)`` makes a task of a function ``f(job, jobs, pair)``, which does the part numbered ``job`` of ``jobs``.
``Pair`` is a record, a ``NamedTuple`` class whose fields say what the function is compiled for::

    class Pair(NamedTuple):
        x: Vector  # an array of T, float32 or float64
        size: Size  # another record, of numbers only: ``int``, or ``float`` for T

Then ``f(dtype, jobs, Pair(x, Size(3, 4)))`` does all parts, with T = ``dtype``. The function is called by its address,
so that one compiled loop serves all tasks whose records have fields of the same types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Annotated, Any, NamedTuple, get_type_hints

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

# Arrays in a record: C-contiguous and writable.
Vector = Annotated[np.ndarray, "T[::1]"]
Matrix = Annotated[np.ndarray, "T[:,::1]"]
Planes = Annotated[np.ndarray, "T[:,:,::1]"]
Images = Annotated[np.ndarray, "T[:,:,:,::1]"]
Sums = Annotated[np.ndarray, "float64[:,:,::1]"]


class _Compiled(NamedTuple):
    function: Any
    address: Any
    loop: Any
    records: list[tuple[int, np.dtype]]  # the fields that are records: where they are, and how they lie in memory


class Task:
    """A function to be done in parts. It is compiled at its first use, for each dtype."""

    def __init__(self, function: Callable[..., None], record: type, arithmetic: set[str] = ARITHMETIC) -> None:
        self.function, self.record, self.__doc__ = function, record, function.__doc__
        self.arithmetic = arithmetic
        self.compiled: dict[np.dtype, _Compiled] = {}

    def __call__(self, dtype: np.dtype, jobs: int, record: Any) -> None:
        """Do all parts. One thread does a single job, and wakes no other.

        Raises:
            TypeError: if the fields of ``record`` are not of the types that the function is compiled for.
        """
        with LOCK:
            compiled = self.compiled.get(dtype) or self._compile(dtype)
            fields = [*record]
            for place, layout in compiled.records:
                fields[place] = _packed(fields[place], layout)
            compiled.loop(compiled.address, jobs, tuple(fields))

    def _compile(self, dtype: np.dtype) -> _Compiled:
        hints = list(get_type_hints(self.record, include_extras=True).values())
        record = _compiled_for(self.record, dtype)
        options: Any = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": self.arithmetic}
        function = numba.cfunc(types.void(types.int64, types.int64, record), **options)(self.function)
        records = [(place, layout_of(hint, dtype)) for place, hint in enumerate(hints) if hasattr(hint, "_fields")]
        passed = list(record)
        for place, layout in records:
            passed[place] = types.Array(numpy_support.from_dtype(layout), 0, "C")
        self.compiled[dtype] = _Compiled(function, function.address, _loop_over(tuple(passed)), records)
        return self.compiled[dtype]


def task(record: type, arithmetic: set[str] = ARITHMETIC) -> Callable[[Callable[..., None]], Task]:
    """Make a ``Task`` of a function ``f(job, jobs, record)``."""
    return lambda function: Task(function, record, arithmetic)


def _compiled_for(hint: Any, dtype: np.dtype) -> Any:
    """The compiler's type for a record, or a field of one."""
    if hint is int or hint is float:
        return types.int64 if hint is int else numpy_support.from_dtype(dtype)
    if hasattr(hint, "_fields"):
        fields = get_type_hints(hint, include_extras=True).values()
        return types.BaseTuple.from_types([_compiled_for(field, dtype) for field in fields], hint)
    (kind,) = hint.__metadata__
    return sigutils.normalize_signature(f"void({kind.replace('T', dtype.name)})")[0][0]


@cache
def layout_of(record: type, dtype: np.dtype) -> np.dtype:
    """How records of numbers lie in memory: a field is an int64 where it is ``int``, a ``dtype`` where ``float``."""
    kinds = {int: np.dtype(np.int64), float: dtype}
    return np.dtype([(name, kinds[hint]) for name, hint in get_type_hints(record).items()], align=True)


@lru_cache(maxsize=1024, typed=True)
def _packed(record: Any, layout: np.dtype) -> np.ndarray:
    """A record of numbers, in memory."""
    return np.array(record, layout)


@cache
def _loop_over(fields: tuple[Any, ...]) -> Any:
    """The compiled loop for records with fields of these types."""
    return kernel([types.void(types.int64, types.int64, types.BaseTuple.from_types(fields))])(_share)


def jobs(numbers: int) -> int:
    """How many parts to cut work on so many numbers into: the same on every machine, so that sums are too."""
    if numbers <= SERIAL:
        return 1
    return min(MOST_JOBS, 1 << (numbers // (SERIAL // 2)).bit_length() - 1)


@kernel()
def part_of(job, jobs, x):
    """The part of a flat array that a job does."""
    return x[job * x.size // jobs : (job + 1) * x.size // jobs]


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
def _share_task(typing_context, address, jobs, fields):
    """The function at ``address`` with each job's number, the number of jobs and a record, on all threads."""

    def generate(context, builder, signature, values):
        kinds = list(signature.args[2])
        members = cgutils.unpack_tuple(builder, values[2])
        for place, kind in enumerate(kinds):
            if isinstance(kind, types.Array) and kind.ndim == 0:  # a record of numbers: the function gets its fields
                data = context.make_array(kind)(context, builder, members[place]).data
                numbers = [
                    cgutils.get_record_member(builder, data, field.offset, context.get_data_type(field.type))
                    for field in kind.dtype.fields.values()
                ]
                kinds[place] = types.BaseTuple.from_types([field.type for field in kind.dtype.fields.values()])
                members[place] = context.make_tuple(builder, kinds[place], [*map(builder.load, numbers)])
        record = context.make_tuple(builder, types.BaseTuple.from_types(kinds), members)

        def call(builder, job, needed):
            address, *rest = cgutils.unpack_tuple(builder, needed, 3)
            arguments = [job, *rest]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
            builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)

        _loop(builder, values[1], cgutils.pack_struct(builder, [*values[:2], record]), call)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, fields), generate


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


def _share(address, jobs, fields):
    _share_task(address, jobs, fields)
