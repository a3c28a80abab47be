"""From ``kernels/*.cu`` to launched kernels: compiled at first use, called with typed and checked arguments."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
NULL = np.uint64(0)


@cache
def source(file: str) -> str:
    """The text of ``kernels/<file>.cu`` with its includes."""
    text = (KERNELS / f"{file}.cu").read_text()
    return re.sub(r'#include "(\w+\.cuh)"', lambda include: (KERNELS / include[1]).read_text(), text)


@cache
def signatures(file: str) -> dict[str, tuple[str, ...]]:
    """The C types of every kernel's parameters, after the count, which is the first parameter of all."""
    text = source(file)
    window = re.search(r"#define WINDOW\s*\\\s*(.*)", text)
    assert window is not None, "common.cuh defines WINDOW"
    found = {}
    for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\((.*?)\) \{', text, re.DOTALL):
        declared = parameters.replace("WINDOW", window[1]).split(",")
        types = [
            re.sub(r"\b(const|__restrict__)\b|\s*\w+\s*$", "", parameter.strip()).strip() for parameter in declared
        ]
        found[name] = tuple(types[1:])
    return found


@cache
def real(dtype: Any) -> np.dtype:
    """The dtype of REAL where STORE is ``dtype``; itself if the kernels are not compiled for it."""
    return np.dtype(VARIANTS.get(np.dtype(dtype).name, ((), dtype))[1])


class Plan(NamedTuple):
    """A kernel compiled for one GPU, dtype and index type, and the NumPy types of its parameters after the count."""

    function: Any
    length: int
    index: Any
    scalars: tuple[tuple[int, Any], ...]  # places among the arguments, and the types that they are passed as
    pointers: tuple[tuple[int, np.dtype], ...]  # places, and what the arrays have to be of


class Kernels:
    """The compiled kernels of one process: one module per file, number type, index type and GPU."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def launch(
        self, file: str, name: str, dtype: Any, count: int, *args: Any, block_each: bool = False, lanes: int = 1
    ) -> None:
        """Run ``name`` from ``<file>.cu`` over ``count`` jobs.

        Args:
            dtype: of STORE, one of ``VARIANTS``.
            args: the arguments after the count in the kernel's signature; ``None`` is a null pointer.
            block_each: whether a whole block works on each job, not one thread.
            lanes: how many threads work on each job, if neither one nor a block.

        Raises:
            TypeError: for another dtype, or arguments that do not fit the signature. CuPy itself does not check them.
        """
        plan = self._plan(file, name, dtype, wide=False)
        if len(args) != plan.length:
            raise TypeError(f"{name}: expected {plan.length} arguments after the count, got {len(args)}")
        if count == 0:
            return
        typed, largest = list(args), count
        for place, of in plan.pointers:
            array = args[place]
            if array is None:
                typed[place] = NULL
                continue
            if array.dtype != of or not array.flags.c_contiguous:
                layout = "contiguous" if array.flags.c_contiguous else "strided"
                raise TypeError(f"{name}: expected a contiguous {of} array, got {layout} {array.dtype}")
            largest = max(largest, array.size)
        if largest >= WIDE:
            plan = self._plan(file, name, dtype, wide=True)
        for place, kind in plan.scalars:
            typed[place] = kind(typed[place])
        blocks = count if block_each else -(-count * lanes // BLOCK)
        plan.function((min(blocks, MAX_BLOCKS),), (BLOCK,), (plan.index(count), *typed))

    def _plan(self, file: str, name: str, dtype: Any, wide: bool) -> Plan:
        key = (self.cupy.cuda.runtime.getDevice(), file, name, dtype, wide)
        found = self._plans.get(key)
        if found is None:
            self._compile(*key)
            found = self._plans[key]
        return found

    def _compile(self, device: int, file: str, name: str, dtype: Any, wide: bool) -> None:
        """Compile a file for the current GPU, and plan all its kernels."""
        store = np.dtype(dtype)
        if store.name not in VARIANTS:
            raise TypeError(f"{name}: CUDA kernels are for {', '.join(VARIANTS)}, got {store}: convert with .float()")
        options, real = VARIANTS[store.name]
        module = self.cupy.RawModule(code=source(file), options=options + ("-DWIDE",) * wide)
        index = np.int64 if wide else np.int32
        types = {**SCALARS, "STORE": store.type, "REAL": real, "INDEX": index}
        pointed = {f"{kind}*": np.dtype(of) for kind, of in {**types, **POINTERS}.items()}
        for function, kinds in signatures(file).items():
            scalars = [(i, types[kind]) for i, kind in enumerate(kinds) if "*" not in kind and kind not in STRUCTS]
            pointers = [(i, pointed[kind]) for i, kind in enumerate(kinds) if "*" in kind]
            self._plans[device, file, function, dtype, wide] = Plan(
                module.get_function(function), len(kinds), index, tuple(scalars), tuple(pointers)
            )
