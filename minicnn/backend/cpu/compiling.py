"""How the kernels of this package are compiled, and where the machine code is kept.

``kernel`` compiles a function that works on one thread; ``sharing.py`` shares work among the threads.

Machine code is kept on disk (``keeping.py``), in a folder that belongs to this version of the sources, of Numba and of
the processor. So code that was compiled from other sources is never used. ``NUMBA_CACHE_DIR`` moves the folder.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from typing import Any

# Between two kernels the threads wait in a loop for the next. GNU OpenMP lets them do so for many milliseconds, in
# which they keep the core from other threads, such as the one they are waiting for. About one is enough here.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numba  # noqa: E402
from numba import extending  # noqa: E402
from numba.core import event  # noqa: E402
from numba.core.compiler_lock import global_compiler_lock  # noqa: E402

from ...terminal import fill  # noqa: E402
from . import memory  # noqa: E402
from .forking import survive_forks  # noqa: E402
from .keeping import cache_folder as cache_folder  # noqa: E402
from .keeping import described_cache  # noqa: E402
from .keeping import fingerprint as fingerprint  # noqa: E402

# Sums may be taken in another order and multiply-adds fused, but NaN and infinity stay what they are.
ARITHMETIC = {"contract", "reassoc", "nsz", "arcp"}

# One primitive at a time: they share Numba's threads, some of whose kinds abort when two callers meet.
LOCK = threading.RLock()
survive_forks(LOCK, global_compiler_lock, memory.LOCK)  # in the order in which they are taken


class _Announcer(event.Listener):
    """Says once, on the standard error, why the first call takes long. ``--quiet`` and ``MINICNN_QUIET`` silence it."""

    said = False

    def on_start(self, happening: Any) -> None:
        module = happening.data["dispatcher"].py_func.__module__
        if self.said or not module.startswith(__package__):
            return
        type(self).said = True
        if not os.environ.get("MINICNN_QUIET") and "--quiet" not in sys.argv:
            said = f"minicnn: compiling kernels, {described_cache()} (minicnn warmup does it ahead of time)"
            print(fill(said), file=sys.stderr, flush=True)

    def on_end(self, happening: Any) -> None:
        """That it is done shows by itself."""


event.register("numba:compile", _Announcer())

intrinsic: Any = extending.intrinsic  # a function that stands for LLVM code; untyped, as its calls are not Python's
kernel: Any = partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath=ARITHMETIC)


def threads() -> int:
    """How many threads share the work."""
    return numba.get_num_threads()
