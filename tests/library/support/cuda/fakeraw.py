"""``cupy.RawModule`` whose CUDA C is compiled by g++ and runs on NumPy memory, stricter than the real one.

CuPy hands whatever it is given to the GPU; here the number of arguments, every dtype, every scalar's width and every
array's contiguity is checked against what the compiler says the kernel takes.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.library.support.cuda.fakearray import unwrap
from tests.library.support.cuda.fakegraph import blocks_of, on_device

SHIM = Path(__file__).parent / "shim.hpp"
COMPILER = shutil.which("g++")
FLAGS = [
    "-std=c++17",
    "-O1",
    "-Wall",
    "-Werror",
    "-Wno-unused-function",
    "-Wno-unknown-pragmas",
    "-shared",
    "-fPIC",
    "-pthread",
]
KEPT = Path(__file__).parents[4] / ".pytest_cache" / "cuda_kernels"  # what g++ made, for every process that tests
MAX_BLOCKS = 3  # enough to see whether a kernel strides over the grid
SANITIZE = "MINICNN_SANITIZE" in os.environ  # with the address sanitizer preloaded: see sanitized.py

# What NVRTC knows, as far as anybody may need it. g++ is given the macros only.
OPTIONS = re.compile(
    r"-D[A-Za-z_]\w*(=.*)?|-I.+|--?std=c\+\+(14|17|20)|--?(fmad|ftz|prec-div|prec-sqrt)=(true|false)"
    r"|--?(use_fast_math|restrict|lineinfo|extra-device-vectorization)|--?maxrregcount=\d+"
)
CTYPES = {
    "f": ctypes.c_float,
    "d": ctypes.c_double,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
}


@cache
def _compiled(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    assert COMPILER is not None, "ask for COMPILER first"
    names = re.findall(r'extern "C" __global__ void (\w+)\(', code)
    code = re.sub(r"#include <cuda_\w+\.h>", "", code)  # the shim has what the kernels use of them
    text = SHIM.read_text() + code + "\n" + "".join(f"DESCRIBE({name})\n" for name in names)
    command = [COMPILER, *FLAGS, *(["-fsanitize=address", "-g"] if SANITIZE else []), *options]
    library = KEPT / f"{hashlib.sha256(repr((text, command)).encode()).hexdigest()[:16]}.so"
    if not library.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as folder:
            source, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            source.write_text(text)
            subprocess.run([*command, str(source), "-o", str(made)], check=True)
            made.replace(library)
    return ctypes.CDLL(str(library))


class RawModule:
    """One source, compiled at the first kernel asked for."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"RawModule: expected a tuple of options, got {options!r}")
        for option in options:
            if not OPTIONS.fullmatch(option):
                raise ValueError(f"nvrtc: error: unrecognized option {option} found")
        self.code, self.options = code, tuple(option for option in options if option.startswith("-D"))

    def get_function(self, name: str) -> RawKernel:
        """The kernel ``name``."""
        return RawKernel(name, _compiled(self.code, self.options))


class RawKernel:
    """One kernel. ``threads`` (of the class) is how many threads a block really has."""

    threads = 1
    launches: dict[str, int] = {}  # by name, of all kernels

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self.library = name, library
        describe = getattr(library, f"describe_{name}")
        describe.restype = ctypes.c_char_p
        self.parameters = describe().decode().rstrip(",").split(",")
        self.function = getattr(library, name)
        self.function.restype = None
        self.function.argtypes = list(map(_ctype, self.parameters))

    @on_device
    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        """Run the kernel; the grid is cut down to few blocks, and blocks to ``threads`` threads."""
        if not (1 <= grid[0] < 2**31 and 1 <= block[0] <= 1024 and block[0] & (block[0] - 1) == 0):
            raise ValueError(f"{self.name}: expected a grid and a power of two of threads, got {grid} and {block}")
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name}: takes {len(self.parameters)} arguments, got {len(args)}")
        RawKernel.launches[self.name] = RawKernel.launches.get(self.name, 0) + 1
        with _Memory() as memory:
            values = [self._value(*pair, memory) for pair in zip(self.parameters, args, strict=True)]
            blocks = min(grid[0], MAX_BLOCKS)
            self.library.begin_launch(blocks, self.threads)
            for number in range(blocks):
                self.library.begin_block(number)
                self._run_block(values)
            self.library.end_launch()

    def _run_block(self, values: list[Any]) -> None:
        def run(thread: int) -> None:
            self.library.begin_thread(thread)
            self.function(*values)

        if self.threads == 1:
            run(0)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(run, range(self.threads)))

    def _value(self, parameter: str, arg: Any, memory: _Memory) -> Any:
        if parameter[0] == "V":
            if not isinstance(arg, np.ndarray) or arg.size != 1 or not arg.dtype.isalignedstruct:
                raise TypeError(f"{self.name}: a NumPy array of one aligned structure expected, got {arg!r}")
            if arg.nbytes != int(parameter[1:]):
                raise TypeError(f"{self.name}: a structure of {parameter[1:]} bytes expected, got {arg.nbytes}")
            list(blocks_of(arg))  # all addresses in it belong to somebody
            return _ctype(parameter).from_buffer_copy(arg)
        if parameter[0] != "P":
            if not isinstance(arg, np.generic) or arg.dtype != np.dtype(parameter):
                raise TypeError(f"{self.name}: a scalar {np.dtype(parameter)} expected, got {type(arg).__name__}")
            return arg.item()
        if isinstance(arg, np.uint64) and arg == 0:
            return None
        host, expected = unwrap(arg), "bfloat16" if parameter == "PE" else np.dtype(parameter[1:])
        if host.dtype != expected or not host.flags.c_contiguous:
            raise TypeError(f"{self.name}: a contiguous {expected} array expected, got {host.dtype}")
        return memory.address(host)


@cache
def _ctype(parameter: str) -> Any:
    if parameter[0] == "P":
        return ctypes.c_void_p
    if parameter[0] == "V":
        words = ctypes.c_ulonglong * (int(parameter[1:]) // 8)
        return type("Struct", (ctypes.Structure,), {"_fields_": [("words", words)]})
    return CTYPES[parameter]


class _Memory:
    """Addresses of arrays during a launch; under the sanitizer those of copies with nothing readable around them."""

    def __init__(self) -> None:
        self.copies: list[tuple[np.ndarray, int]] = []
        self.c = ctypes.CDLL(None)
        self.c.malloc.restype, self.c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self.c.free.argtypes = [ctypes.c_void_p]

    def __enter__(self) -> _Memory:
        return self

    def address(self, host: np.ndarray) -> int:
        if not SANITIZE:
            return host.ctypes.data
        address = self.c.malloc(host.nbytes)
        ctypes.memmove(address, host.ctypes.data, host.nbytes)
        self.copies.append((host, address))
        return address

    def __exit__(self, *_: object) -> None:
        for host, address in self.copies:
            ctypes.memmove(host.ctypes.data, address, host.nbytes)
            self.c.free(address)
