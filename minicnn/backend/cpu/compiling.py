"""How the kernels of this package are compiled, and where the machine code is kept.

``kernel`` compiles a function that works on one thread. ``shared_out`` compiles one whose ``prange`` loop is shared
among the threads; the loop should do little more than call a kernel, because Numba compiles such loops slowly.

Machine code is kept on disk, in a folder that belongs to this version of the sources, of Numba and of the processor.
So code that was compiled from other sources is never used. ``NUMBA_CACHE_DIR`` moves the folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from functools import cache, partial
from pathlib import Path
from typing import Any

# Between two kernels the threads wait in a loop for the next. GNU OpenMP lets them do so for many milliseconds, in
# which they keep the core from whoever else could run, such as the thread they are waiting for. About one is
# enough here.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numba  # noqa: E402
from numba import extending  # noqa: E402
from numba.core import caching, event  # noqa: E402

from .target import target  # noqa: E402

SOURCES = Path(__file__).parent

# Sums may be taken in another order and multiply-adds fused, but NaN and infinity stay what they are.
ARITHMETIC = {"contract", "reassoc", "nsz", "arcp"}

# One primitive at a time: they share Numba's threads, some of whose kinds abort when two callers meet.
LOCK = threading.RLock()


@cache
def fingerprint() -> str:
    """Of everything that the machine code depends on."""
    text = hashlib.sha256(f"{numba.__version__} {target()}".encode())
    for path in sorted(SOURCES.glob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where the machine code is kept: in the user's cache, or where that cannot be written, among temporary files."""
    config: Any = numba.config
    chosen = os.environ.get("NUMBA_CACHE_DIR") or config.CACHE_DIR
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    places = [Path(chosen)] if chosen else []
    places += [Path(home) / "minicnn", Path(tempfile.gettempdir()) / f"minicnn-{user}"]
    for place in places:
        folder = place / f"kernels-{fingerprint()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return places[-1]


class _Locator(caching._CacheLocator):
    """Tells Numba where to keep what is compiled from this package."""

    def __init__(self, function: Any, source: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._name = Path(source).stem

    @classmethod
    def from_function(cls, function: Any, source: str) -> Any:
        return cls(function, source) if Path(source).parent == SOURCES else None

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return fingerprint()

    def get_disambiguator(self) -> str:
        return f"{self._name}-{self._line}"


for _kind in (caching.CompileResultCacheImpl, caching.CodeLibraryCacheImpl):
    if _Locator not in _kind._locator_classes:
        _kind._locator_classes.insert(0, _Locator)


class _Announcer(event.Listener):
    """Says once, on the standard error, why the first call takes long. ``--quiet`` and ``MINICNN_QUIET`` silence it."""

    said = False

    def on_start(self, happening: Any) -> None:
        module = happening.data["dispatcher"].py_func.__module__
        if self.said or not module.startswith(__package__):
            return
        type(self).said = True
        if not os.environ.get("MINICNN_QUIET") and "--quiet" not in sys.argv:
            print(
                f"minicnn: compiling kernels, once: kept in {cache_folder()} (minicnn warmup does it ahead of time)",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, happening: Any) -> None:
        """That it is done shows by itself."""


event.register("numba:compile", _Announcer())

intrinsic: Any = extending.intrinsic  # a function that stands for LLVM code; untyped, as its calls are not Python's
kernel: Any = partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath=ARITHMETIC)
shared_out: Any = partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath=ARITHMETIC, parallel=True)


def threads() -> int:
    """How many threads share the work."""
    return numba.get_num_threads()
