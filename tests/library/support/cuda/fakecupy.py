"""A stand-in for CuPy on NumPy memory that refuses what CuPy refuses.

What it is for is to fail where a GPU would: reading an array on the host without saying so, mixing with NumPy arrays
in either order, functions and keywords that CuPy lacks (``cupy_surface.json`` lists what CuPy 14.2 has), reading
``empty`` memory, relying on a ufunc to keep a memory layout or on an index out of range to raise. It counts how often
the host waits for the GPU, and forbids it inside ``forbid_sync()``.

``installed()`` puts it in the place of ``cupy`` and ``cupyx`` and gives a fresh ``CudaBackend``.
"""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minicnn import backend
from tests.library.support.cuda.fakecublas import gemm_strided_batched_ex
from tests.library.support.cuda.fakeraw import RawModule
from tests.library.support.cuda.streams import Event, Stream, current_stream, syncs

SURFACE = json.loads((Path(__file__).parent / "cupy_surface.json").read_text())
VIEWS = {
    "reshape", "transpose", "swapaxes", "squeeze", "ravel", "moveaxis", "expand_dims", "broadcast_to", "flip", "view",
    "diagonal",
}  # fmt: skip
FROM_HOST = {"asarray", "array", "asanyarray"}
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "get", "item", "tolist", "asnumpy"}
AT = {"add", "subtract", "maximum", "minimum"}
ATOMIC = ("i4", "i8", "u4", "u8", "f2", "f4", "f8")


def unwrap(value: Any) -> Any:
    """The host memory behind a device array; host arrays are refused."""
    if isinstance(value, FakeArray):
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: a NumPy array among CuPy arrays")
    if isinstance(value, (list, tuple)):
        return type(value)(map(unwrap, value))
    return value


def wrap(value: Any, *inputs: Any, view: bool = False) -> Any:
    """A result as a device array: never a scalar, and in C order unless it is a view."""
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(item, *inputs, view=view) for item in value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    for array in inputs:
        if isinstance(array, FakeArray) and array.host is value:
            return array
    owner = next((a for a in inputs if isinstance(a, FakeArray)), None) if view else None
    if owner is not None and np.may_share_memory(owner.host, value):
        return FakeArray(value, owner if owner.base is None else owner.base)
    return FakeArray(np.array(value, order="C", copy=True))


def check_keywords(name: str, given: Any, allowed: list[str]) -> None:
    """CuPy's functions have fewer keywords than NumPy's."""
    unknown = [key for key in given if key not in allowed and not any(a.startswith("*kw") for a in allowed)]
    if unknown:
        raise TypeError(f"cupy.{name}() got an unexpected keyword argument {unknown[0]!r}")


def check_axis(array: Any, axis: Any) -> None:
    """NumPy lets a single number have the axes 0 and -1 where it reduces; CuPy does not."""
    if getattr(array, "ndim", None) == 0 and axis not in (None, ()):
        raise np.exceptions.AxisError(axis if isinstance(axis, int) else axis[0], 0)


class FakeArray:
    """A device array; ``host`` is the NumPy memory behind it, which only the stand-in may touch."""

    __array_priority__ = 100
    __cuda_array_interface__: dict[str, Any] = {}
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, base: FakeArray | None = None) -> None:
        self.host, self.base = host, base

    def __dlpack__(self, **options: Any) -> FakeArray:
        """Stands for a capsule."""
        return self

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    nbytes = property(lambda self: self.host.nbytes)
    itemsize = property(lambda self: self.host.itemsize)
    strides = property(lambda self: self.host.strides)
    T = property(lambda self: self.transpose())
    data = property(lambda self: SimpleNamespace(ptr=self.host.ctypes.data))

    @property
    def flags(self) -> SimpleNamespace:
        flags = self.host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    def __len__(self) -> int:
        return len(self.host)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return getattr(sys.modules["cupy"], function.__name__)(*args, **kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or any(isinstance(x, np.ndarray) for x in inputs):
            return NotImplemented
        return getattr(sys.modules["cupy"], ufunc.__name__)(*inputs, **kwargs)

    def __getitem__(self, index: Any) -> FakeArray:
        place = self._index(index)
        return wrap(self.host[place], self, view=True)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[self._index(index)] = unwrap(value)

    def __iter__(self) -> Iterator[FakeArray]:
        return (self[i] for i in range(len(self)))

    def _index(self, index: Any) -> Any:
        """The index for NumPy: positions out of range wrap around, as they do on the GPU."""
        parts = list(index) if isinstance(index, tuple) else [index]
        taken = sum(_axes(part) for part in parts)
        axis, plain, basic = 0, [], True
        for part in parts:
            if isinstance(part, (FakeArray, list)):
                basic = False
                part = unwrap(part) if isinstance(part, FakeArray) else np.asarray(part)
                if part.dtype == bool:
                    syncs.note("a boolean index")
                    axis += part.ndim
                else:
                    part = part % max(self.shape[axis], 1)
                    axis += 1
            elif part is Ellipsis:
                axis += self.ndim - taken
            elif isinstance(part, np.ndarray):
                raise TypeError("a NumPy array as an index is copied to the device at every use")
            elif part is not None:
                axis += 1
            plain.append(part)
        if basic and not any(part is Ellipsis for part in plain):
            plain.append(Ellipsis)  # a view of one element, not a scalar
        return tuple(plain)

    def set(self, arr: np.ndarray, stream: Stream | None = None) -> None:
        """Copy from the host; on another than the current stream when that stream comes to it."""
        if arr.shape != self.shape or arr.dtype != self.dtype or not self.host.flags.c_contiguous:
            raise ValueError(f"set: expected a {self.dtype} array of shape {self.shape}, got {arr.dtype} {arr.shape}")
        (stream or current_stream()).do(lambda: np.copyto(self.host, arr))

    def get(self) -> np.ndarray:
        syncs.note("get()")
        return self.host.copy()

    def _waiting(name: str, function: Any) -> Any:  # noqa: N805
        def method(self: Any, *args: Any) -> Any:
            syncs.note(name)
            return function(self.host, *args)

        return method

    item, tolist = _waiting("item()", np.ndarray.item), _waiting("tolist()", np.ndarray.tolist)
    __float__, __int__, __bool__ = _waiting("float()", float), _waiting("int()", int), _waiting("bool()", bool)
    __index__, __repr__ = _waiting("index()", operator.index), _waiting("repr()", repr)
    __format__ = _waiting("format()", np.ndarray.__format__)
    del _waiting


def _axes(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if getattr(part, "dtype", None) == np.dtype(bool) else 1


def _method(name: str, allowed: list[str]) -> Any:
    def method(self: FakeArray, *args: Any, **kwargs: Any) -> Any:
        check_keywords(f"ndarray.{name}", kwargs, allowed)
        check_axis(self, kwargs.get("axis"))
        if name in WAITING:
            syncs.note(name)
        result = getattr(self.host, name)(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()})
        if name in VIEWS:
            return wrap(result, self, view=True)
        if name in ("astype", "copy"):
            return self if result is self.host else FakeArray(result)
        return wrap(result, self)

    return method


for _name, _allowed in SURFACE["methods"].items():
    if _name not in vars(FakeArray) and hasattr(np.ndarray, _name):
        setattr(FakeArray, _name, _method(_name, _allowed))


def _operator(function: Any, swapped: bool) -> Any:
    def apply(self: FakeArray, other: Any) -> Any:
        pair = (unwrap(other), self.host) if swapped else (self.host, unwrap(other))
        return wrap(np.asarray(function(*pair)))

    return apply


def _in_place(ufunc: np.ufunc) -> Any:
    def apply(self: FakeArray, other: Any) -> FakeArray:
        ufunc(self.host, unwrap(other), out=self.host)
        return self

    return apply


def _floor_divide(a: Any, b: Any, **options: Any) -> Any:
    """CuPy rounds the quotient: 1.0 // 0.1 is 10."""
    if np.result_type(a, b).kind != "f":
        return np.floor_divide(a, b, **options)
    return np.floor(np.true_divide(a, b, **options))


def _remainder(a: Any, b: Any, **options: Any) -> Any:
    """CuPy computes it from ``//``, so that 5.5 % inf is NaN."""
    if np.result_type(a, b).kind != "f":
        return np.remainder(a, b, **options)
    return np.subtract(a, _floor_divide(a, b) * b, **options)


ROUNDED = {"floor_divide": _floor_divide, "remainder": _remainder, "mod": _remainder, "floordiv": _floor_divide}
BINARY = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lt", "le", "gt", "ge", "eq", "ne", "and", "or",
    "xor",
)  # fmt: skip
IN_PLACE = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "mod": _remainder,
    "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or,
}  # fmt: skip
for _name in BINARY:
    _function = ROUNDED.get(_name) or getattr(operator, f"__{_name}__")
    setattr(FakeArray, f"__{_name}__", _operator(_function, swapped=False))
    setattr(FakeArray, f"__r{_name}__", _operator(_function, swapped=True))
for _name, _ufunc in IN_PLACE.items():
    setattr(FakeArray, f"__i{_name}__", _in_place(_ufunc))
for _name, _function in {"neg": operator.neg, "abs": abs, "invert": operator.invert}.items():
    setattr(FakeArray, f"__{_name}__", lambda self, f=_function: wrap(np.asarray(f(self.host))))


class FakeUfunc:
    """A ufunc: ``out``, ``dtype`` and ``casting`` are all its keywords."""

    def __init__(self, name: str) -> None:
        self.name, self.numpy = name, ROUNDED.get(name) or getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_keywords(self.name, kwargs, ["out", "dtype", "casting"])
        out = kwargs.pop("out", None)
        result = self.numpy(*unwrap(args), **kwargs)
        if out is None:
            return wrap(result)
        out.host[...] = result
        return out

    def at(self, array: FakeArray, indices: Any, values: Any) -> None:
        if self.name not in AT or array.dtype.str[1:] not in ATOMIC:
            raise TypeError(f"cupy.{self.name}.at does not support {array.dtype}")
        if any(getattr(part, "dtype", None) == np.dtype(bool) for part in indices):
            raise TypeError(f"cupy.{self.name}.at with a mask is not relied upon: give it positions")
        self.numpy.at(array.host, array._index(indices), unwrap(values))


class FakeCupy(ModuleType):
    """The module ``cupy``."""

    ndarray = FakeArray
    RawModule = RawModule
    inf, nan, pi, newaxis = np.inf, np.nan, np.pi, None

    def __init__(self, devices: int = 1) -> None:
        super().__init__("cupy")
        self.__path__: list[str] = []
        self.cuda = _cuda_namespace(devices)

    def __getattr__(self, name: str) -> Any:
        if name in SURFACE["ufuncs"]:
            return FakeUfunc(name)
        if name in SURFACE["functions"]:
            return _function_called(name)
        if isinstance(found := getattr(np, name, None), type) and issubclass(found, (np.generic, np.dtype)):
            return found
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")

    def asnumpy(self, a: FakeArray) -> np.ndarray:
        return a.get()

    def asarray(self, a: Any, dtype: Any = None, order: str | None = None) -> FakeArray:
        """From the host, or the array itself."""
        if isinstance(a, FakeArray):
            return a if dtype in (None, a.dtype) else a.astype(dtype)
        if isinstance(a, (list, tuple)):
            a = unwrap(a)
        return FakeArray(np.array(a, dtype=dtype, order=order or "K"))

    asanyarray = asarray

    def from_dlpack(self, array: Any) -> FakeArray:
        """On the memory in the capsule, which here is an array of the stand-in."""
        return FakeArray(array.__dlpack__().host)

    def ascontiguousarray(self, a: FakeArray, dtype: Any = None) -> FakeArray:
        return wrap(np.asarray(unwrap(a), dtype=dtype, order="C"), a)

    def empty(self, shape: Any, dtype: Any = float, order: str = "C") -> FakeArray:
        """Memory full of the worst that could be in it."""
        dtype = np.dtype(dtype)
        poison = np.nan if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).max // 3
        return FakeArray(np.full(shape, poison, dtype, order))

    def matmul(self, a: FakeArray, b: FakeArray, out: FakeArray | None = None) -> FakeArray:
        """``out`` has to be exactly what the product would be."""
        result = np.matmul(unwrap(a), unwrap(b))
        if out is None:
            return wrap(result)
        if out.shape != result.shape or out.dtype != result.dtype or not out.flags.c_contiguous:
            raise ValueError("matmul: out must be contiguous and of the result's shape and dtype")
        out.host[...] = result
        return out


def _function_called(name: str) -> Any:
    allowed, function = SURFACE["functions"][name], getattr(np, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        check_keywords(name, kwargs, allowed)
        check_axis(next(iter(args), None), kwargs.get("axis"))
        if name in WAITING:
            syncs.note(name)
        if name not in FROM_HOST:
            plain = unwrap(args), {key: unwrap(value) for key, value in kwargs.items()}
        result = function(*plain[0], **plain[1])
        return wrap(result, *args, view=name in VIEWS)

    return call


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's."""


def _cuda_namespace(devices: int) -> ModuleType:
    """``cupy.cuda``: one device, streams, and a cuBLAS that remembers its math mode."""
    cuda, cublas = ModuleType("cupy.cuda"), ModuleType("cupy.cuda.cublas")
    modes = {0: 0}
    cublas.getMathMode = modes.__getitem__  # type: ignore[attr-defined]
    cublas.setMathMode = modes.__setitem__  # type: ignore[attr-defined]
    cublas.gemmStridedBatchedEx = gemm_strided_batched_ex  # type: ignore[attr-defined]
    cuda.__dict__.update(
        __path__=[],
        cublas=cublas,
        device=SimpleNamespace(get_cublas_handle=lambda: 0),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=SimpleNamespace(getDeviceCount=lambda: devices, getDevice=lambda: 0, CUDARuntimeError=CUDARuntimeError),
        Stream=Stream,
        Event=Event,
        get_current_stream=current_stream,
    )
    return cuda


@contextmanager
def in_place_of_cupy(cupy: Any) -> Iterator[None]:
    """``import cupy`` gives ``cupy`` inside the block, and no CUDA backend has been loaded yet."""
    cupyx = ModuleType("cupyx")
    cupyx.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)  # type: ignore[attr-defined]
    modules = {"cupy": cupy, "cupyx": cupyx}
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
        backend._loaded.pop("cuda", None)
        if loaded is not None:
            backend._loaded["cuda"] = loaded


@contextmanager
def installed() -> Iterator[Any]:
    """A machine with a GPU, as far as minicnn can tell: the CUDA backend."""
    with in_place_of_cupy(FakeCupy()):
        yield backend.load("cuda")
