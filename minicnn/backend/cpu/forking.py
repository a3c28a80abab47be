"""A forked process computes too: alone, on the one thread that a fork leaves it.

GNU's OpenMP, which Numba shares loops out with on Linux, loses its threads in a fork, and Numba then ends the process.
So compiled loops do not call the threads' library, but ``parallel_for`` below, a few instructions more: where this
process is a fork of one that had these kernels, it goes through the whole loop by itself. Sums are cut into the same
parts, so the results are the same, bit for bit. A process that is started anew (``multiprocessing``'s "spawn" and
"forkserver") has all threads.

While a process forks, no kernel runs and nothing is being compiled: the child would wait for ever for a lock that a
thread holds which it does not have.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from llvmlite import binding
from numba.np.ufunc import parallel

# What ``parallel_for`` gets: the body of the loop, its arrays, their lengths and steps, and how many there are.
CODE = """
@alone = global i32 0
define void @parallel_for(ptr %body, ptr %arrays, ptr %lengths, ptr %steps, ptr %data, i64 %inner, i64 %count,
                          i64 %threads) {{
    %flag = load volatile i32, ptr @alone
    %forked = icmp ne i32 %flag, 0
    br i1 %forked, label %all, label %share
all:
    call void %body(ptr %arrays, ptr %lengths, ptr %steps, ptr %data)
    ret void
share:
    %threaded = inttoptr i64 {threaded} to ptr
    call void %threaded(ptr %body, ptr %arrays, ptr %lengths, ptr %steps, ptr %data, i64 %inner, i64 %count,
                        i64 %threads)
    ret void
}}
"""


def survive_forks(*locks: Any) -> None:
    """Have loops that are compiled or loaded from now on work in forks of this process, in which ``locks`` are free."""
    parallel._launch_threads()
    if not hasattr(os, "register_at_fork"):
        return
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(CODE.format(threaded=binding.address_of_symbol("numba_parallel_for")))
    engine = binding.create_mcjit_compiler(module, binding.Target.from_default_triple().create_target_machine())
    engine.finalize_object()
    binding.add_symbol("numba_parallel_for", engine.get_function_address("parallel_for"))
    _engines.append(engine)
    alone = ctypes.c_int32.from_address(engine.get_global_value_address("alone"))

    def hold() -> None:
        for lock in locks:
            lock.acquire()

    def let_go() -> None:
        for lock in reversed(locks):
            lock.release()

    def be_alone() -> None:
        alone.value = 1
        let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=be_alone)


_engines: list[Any] = []  # they must live as long as the code that calls into them
