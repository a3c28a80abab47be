"""A stand-in for CuPy on NumPy memory that refuses what CuPy refuses.

What it is for is to fail where a GPU would: reading an array on the host without saying so, mixing with NumPy arrays
in either order, functions and keywords that CuPy lacks (``cupy_surface.json`` lists what CuPy 14.2 has), reading
``empty`` or freed memory, using an array while another device is current, relying on a ufunc to keep a memory layout
or on an index out of range to raise. It counts how often the host waits for the GPU, and forbids it inside
``syncs.forbid()``.

``installed()`` puts it in the place of ``cupy`` and ``cupyx`` and gives a fresh ``CudaBackend``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from minicnn import backend
from tests.library.support.cuda.fakearray import OTHERWISE, ROUNDED, VIEWS, WAITING, FakeArray, unwrap, wrap
from tests.library.support.cuda.fakegraph import on_device, refuse_cublas, refuse_host
from tests.library.support.cuda.fakeraw import RawModule
from tests.library.support.cuda.machine import CUDARuntimeError, cuda_namespace
from tests.library.support.cuda.memory import POOL, MemoryPool, current, empty_pinned
from tests.library.support.cuda.streams import syncs
from tests.library.support.cuda.surface import SURFACE, check_call, operands

CUBLAS = {"dot", "tensordot", "einsum", "inner", "vdot"}
AT = {"add", "subtract", "maximum", "minimum"}
ATOMIC = ("i4", "i8", "u4", "u8", "f2", "f4", "f8")


class FakeUfunc:
    """A ufunc: ``out``, ``dtype`` and ``casting`` are all its keywords."""

    def __init__(self, name: str) -> None:
        self.name, self.numpy = name, ROUNDED.get(name) or getattr(np, name)
        self.nin, _ = operands(name)

    @on_device
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_call("ufuncs", self.name, args, kwargs)
        out = kwargs.pop("out", None)
        inputs, given = args[: self.nin], args[self.nin :]
        out = given[0] if given else out
        result = self.numpy(*unwrap(inputs), **kwargs)
        if out is None:
            return wrap(result)
        unwrap(out)[...] = result
        return out

    @on_device
    def at(self, array: FakeArray, indices: Any, values: Any) -> None:
        if self.name not in AT or array.dtype.str[1:] not in ATOMIC:
            raise TypeError(f"cupy.{self.name}.at does not support {array.dtype}")
        if any(getattr(part, "dtype", None) == np.dtype(bool) for part in indices):
            raise TypeError(f"cupy.{self.name}.at with a mask is not relied upon: give it positions")
        self.numpy.at(unwrap(array), array._index(indices), unwrap(values))


class FakeCupy(ModuleType):
    """The module ``cupy``."""

    ndarray = FakeArray
    RawModule = RawModule
    inf, nan, pi, newaxis = np.inf, np.nan, np.pi, None

    def __init__(self, devices: int = 1) -> None:
        super().__init__("cupy")
        self.__path__: list[str] = []
        self.cuda = cuda_namespace(devices)

    def __getattr__(self, name: str) -> Any:
        if name in SURFACE["ufuncs"]:
            return FakeUfunc(name)
        if name in SURFACE["functions"]:
            return _function_called(name)
        if isinstance(found := getattr(np, name, None), type) and issubclass(found, (np.generic, np.dtype)):
            return found
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")

    def get_default_memory_pool(self) -> MemoryPool:
        """Of all FakeCupys."""
        return POOL

    def asnumpy(self, a: FakeArray) -> np.ndarray:
        return a.get()

    @on_device
    def asarray(self, a: Any, dtype: Any = None, order: str | None = None) -> FakeArray:
        """From the host or another device, or the array itself."""
        if isinstance(a, FakeArray):
            a = a if a.block.device == current.device else a.copy()
            return a if dtype in (None, a.dtype) else a.astype(dtype)
        refuse_host(a)
        if isinstance(a, (list, tuple)):
            a = unwrap(a)
        return FakeArray(np.array(a, dtype=dtype, order=order or "K"))

    asanyarray = asarray

    def array(self, obj: Any, dtype: Any = None) -> FakeArray:
        """The same, always with memory of its own."""
        found = self.asarray(obj, dtype)
        return found.copy() if found is obj else found

    def from_dlpack(self, array: Any) -> FakeArray:
        """On the memory in the capsule, which here is an array of the stand-in."""
        owner = array.__dlpack__()
        return FakeArray(owner.host, owner if owner.base is None else owner.base)

    @on_device
    def ascontiguousarray(self, a: FakeArray, dtype: Any = None) -> FakeArray:
        return wrap(np.asarray(unwrap(a), dtype=dtype, order="C"), a)

    def empty(self, shape: Any, dtype: Any = float, order: str = "C") -> FakeArray:
        """Memory full of the worst that could be in it."""
        dtype = np.dtype(dtype)
        poison = np.nan if dtype.kind in "fV" else False if dtype.kind == "b" else np.iinfo(dtype).max // 3
        return FakeArray(np.full(shape, poison, dtype, order))

    def empty_like(self, prototype: FakeArray, dtype: Any = None) -> FakeArray:
        return self.empty(prototype.shape, prototype.dtype if dtype is None else dtype)

    @on_device
    def matmul(self, a: FakeArray, b: FakeArray, out: FakeArray | None = None) -> FakeArray:
        """``out`` has to be exactly what the product would be."""
        refuse_cublas()
        result = np.matmul(unwrap(a), unwrap(b))
        if out is None:
            return wrap(result)
        if out.shape != result.shape or out.dtype != result.dtype or not out.flags.c_contiguous:
            raise ValueError("matmul: out must be contiguous and of the result's shape and dtype")
        unwrap(out)[...] = result
        return out


def _function_called(name: str) -> Any:
    function = OTHERWISE.get(name) or getattr(np, name)

    @on_device
    def call(*args: Any, **kwargs: Any) -> Any:
        check_call("functions", name, args, kwargs)
        if name in WAITING:
            syncs.note(name)
        if name in CUBLAS:
            refuse_cublas()
        result = function(*unwrap(args), **{key: unwrap(value) for key, value in kwargs.items()})
        return wrap(result, *args, view=name in VIEWS)

    return call


cupyx = ModuleType("cupyx")
cupyx.empty_pinned = empty_pinned  # type: ignore[attr-defined]


@contextmanager
def in_place_of_cupy(cupy: Any) -> Iterator[None]:
    """``import cupy`` gives ``cupy`` inside the block, and no CUDA backend has been loaded yet."""
    modules, device = {"cupy": cupy, "cupyx": cupyx}, current.device
    if cupy is not None:
        modules |= {"cupy.cuda": cupy.cuda, "cupy.cuda.cublas": cupy.cuda.cublas}
    before = {name: sys.modules.get(name) for name in modules}
    loaded = backend._loaded.pop("cuda", None)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        current.device = device
        backend._loaded.pop("cuda", None)
        if loaded is not None:
            backend._loaded["cuda"] = loaded


@contextmanager
def installed(devices: int = 1) -> Iterator[Any]:
    """A machine with GPUs, as far as minicnn can tell: the CUDA backend."""
    with in_place_of_cupy(FakeCupy(devices)):
        yield backend.load("cuda")


__all__ = ["SURFACE", "CUDARuntimeError", "FakeArray", "FakeCupy", "in_place_of_cupy", "installed"]
