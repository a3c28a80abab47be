"""From ``kernels/*.cu`` to launched kernels: compiled at first use, called with typed and checked arguments."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

KERNELS = Path(__file__).parent / "kernels"
BLOCK = 256  # threads, as in common.cuh
MAX_BLOCKS = 65535
WIDE = 2**30  # elements from which an int index, plus one stride of the grid, may overflow

# By the dtype of STORE: how the kernels are compiled, and the dtype of REAL.
VARIANTS: dict[str, tuple[tuple[str, ...], Any]] = {
    "float32": ((), np.float32),
    "float64": (("-DDOUBLE",), np.float64),
    "float16": (("-DHALF",), np.float32),
    "bfloat16": (("-DBFLOAT16",), np.float32),
}

# The C types of kernel parameters, as NumPy's. STORE, REAL and INDEX depend on the variant.
STRUCTS = {"Tensors"}  # passed by value: NumPy arrays of one structure
SCALARS = {"int": np.int32, "double": np.float64, "WORDS": np.uint64}
POINTERS = {"long long": np.int64, "WORD": np.uint32}


@cache
def source(file: str) -> str:
    """The text of ``kernels/<file>.cu`` with its includes."""
    text = (KERNELS / f"{file}.cu").read_text()
    return text.replace('#include "common.cuh"', (KERNELS / "common.cuh").read_text())


@cache
def signatures(file: str) -> dict[str, tuple[str, ...]]:
    """The C types of every kernel's parameters, after the count, which is the first parameter of all."""
    text = source(file)
    window = re.search(r"#define WINDOW\s*\\\s*(.*)", text)
    assert window is not None, "common.cuh defines WINDOW"
    found = {}
    for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\((.*?)\) \{', text, re.DOTALL):
        declared = parameters.replace("WINDOW", window[1]).split(",")
        types = [re.sub(r"\bconst\b|\s*\w+\s*$", "", parameter.strip()).strip() for parameter in declared]
        found[name] = tuple(types[1:])
    return found


class Kernels:
    """The compiled kernels of one process: one module per file, number type, index type and GPU."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._functions: dict[tuple[Any, ...], Any] = {}

    def launch(self, file: str, name: str, dtype: Any, count: int, *args: Any, block_each: bool = False) -> None:
        """Run ``name`` from ``<file>.cu`` over ``count`` jobs.

        Args:
            dtype: of STORE, one of ``VARIANTS``.
            args: the arguments after the count in the kernel's signature; ``None`` is a null pointer.
            block_each: whether a whole block works on each job, not one thread.

        Raises:
            TypeError: for another dtype, or arguments that do not fit the signature. CuPy itself does not check them.
        """
        dtype = np.dtype(dtype)
        if dtype.name not in VARIANTS:
            raise TypeError(f"{name}: CUDA kernels are for {', '.join(VARIANTS)}, got {dtype}: convert with .float()")
        if count == 0:
            return
        wide = max(count, *(arg.size for arg in args if hasattr(arg, "flags"))) >= WIDE
        types = signatures(file)[name]
        if len(types) != len(args):
            raise TypeError(f"{name}: expected {len(types)} arguments after the count, got {len(args)}")
        index = np.int64 if wide else np.int32
        scalars = {**SCALARS, "STORE": dtype.type, "REAL": VARIANTS[dtype.name][1], "INDEX": index}
        typed = [_typed(name, kind, arg, scalars) for kind, arg in zip(types, args, strict=True)]
        blocks = count if block_each else -(-count // BLOCK)
        self._function(file, name, dtype, wide)((min(blocks, MAX_BLOCKS),), (BLOCK,), (index(count), *typed))

    def _function(self, file: str, name: str, dtype: np.dtype, wide: bool) -> Any:
        key = (self.cupy.cuda.runtime.getDevice(), file, name, dtype, wide)
        if key not in self._functions:
            options = VARIANTS[dtype.name][0] + ("-DWIDE",) * wide
            module = self.cupy.RawModule(code=source(file), options=options)
            for function in signatures(file):
                self._functions[*key[:2], function, *key[3:]] = module.get_function(function)
        return self._functions[key]


def _typed(name: str, kind: str, arg: Any, scalars: dict[str, Any]) -> Any:
    """``arg`` as the C type ``kind``: a scalar of the right width, or an array that is what the pointer expects."""
    if kind in STRUCTS:
        return arg
    if not kind.endswith("*"):
        return scalars[kind](arg)
    if arg is None:
        return np.uint64(0)
    expected = {**POINTERS, **scalars}[kind[:-1]]
    if arg.dtype != expected or not arg.flags.c_contiguous:
        layout = "contiguous" if arg.flags.c_contiguous else "strided"
        raise TypeError(f"{name}: expected a contiguous {np.dtype(expected)} array, got {layout} {arg.dtype}")
    return arg
