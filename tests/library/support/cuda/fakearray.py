"""``cupy.ndarray`` on host memory; see ``fakecupy``."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.library.support.cuda import memory
from tests.library.support.cuda.fakegraph import on_device, refuse_cublas
from tests.library.support.cuda.machine import Device
from tests.library.support.cuda.memory import allocated, current
from tests.library.support.cuda.streams import Stream, current_stream, syncs
from tests.library.support.cuda.surface import SURFACE, check_call

VIEWS = {
    "reshape", "transpose", "swapaxes", "squeeze", "ravel", "moveaxis", "expand_dims", "broadcast_to", "flip", "view",
    "diagonal",
}  # fmt: skip
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "get", "item", "tolist", "asnumpy"}


def unwrap(value: Any) -> Any:
    """The host memory behind an array of the current device; host arrays are refused."""
    if isinstance(value, FakeArray):
        if value.block.device != current.device:
            raise ValueError(
                f"The device where the array resides ({value.block.device}) is different from the current device "
                f"({current.device}). Peer access is unavailable between these devices."
            )
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
    return FakeArray(np.asarray(value, order="C"))


class FakeArray:
    """A device array; ``host`` is the NumPy memory behind it, which only the stand-in may touch."""

    __array_priority__ = 100
    __cuda_array_interface__: dict[str, Any] = {}
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, numbers: np.ndarray, base: FakeArray | None = None) -> None:
        """``numbers`` in the memory of ``base``, or else copied to memory of its own."""
        self.base = base
        if base is not None:
            self.block, self.host = base.block, numbers
            return
        dense = numbers if numbers.flags.c_contiguous else np.empty_like(numbers)
        self.block = allocated(numbers.nbytes)
        self.host = np.ndarray(dense.shape, dense.dtype, self.block.bytes, strides=dense.strides)
        self.host[...] = numbers

    def __del__(self) -> None:
        if self.base is None and hasattr(self, "block"):
            self.block.pool.give_back(self.block)

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
    data = property(lambda self: SimpleNamespace(ptr=self.host.ctypes.data, device_id=self.block.device))
    device = property(lambda self: Device(self.block.device))

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

    @on_device
    def __getitem__(self, index: Any) -> FakeArray:
        place = self._index(index)
        return wrap(self.host[place], self, view=True)

    @on_device
    def __setitem__(self, index: Any, value: Any) -> None:
        """Where a position is repeated, no order is promised: here the first value wins, in NumPy the last."""
        host, place, numbers = unwrap(self), self._index(index), unwrap(value)
        if not any(isinstance(part, np.ndarray) and part.dtype != bool for part in place):
            host[place] = numbers
            return
        positions = np.arange(host.size).reshape(host.shape)[place]
        host.flat[positions.ravel()[::-1]] = np.broadcast_to(numbers, positions.shape).ravel()[::-1]

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
        """Copy from the host when the stream comes to it; only page-locked memory is read no sooner."""
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.host.flags.c_contiguous or self.host.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        source, target = memory.to_read_later(arr), self.host
        (stream or current_stream()).do(lambda: np.copyto(target, source))

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


def _last_nan(function: Any) -> Any:
    """``argmax`` or ``argmin``: among several NaNs a GPU finds any one, here the last and not NumPy's first."""

    def find(a: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
        first, nan = function(a, axis, keepdims=keepdims), np.isnan(a)
        length = a.size if axis is None else a.shape[axis]
        last = length - 1 - np.asarray(np.flip(nan, axis).argmax(axis, keepdims=keepdims))
        return np.where(nan.any(axis, keepdims=keepdims), last, first)

    return find


def _in_float(function: Any) -> Any:
    """Of bfloat16, CuPy adds up and multiplies in float32, NumPy in bfloat16."""

    def reduce(a: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        if a.dtype.name != "bfloat16" or "dtype" in kwargs:
            return function(a, *args, **kwargs)
        return np.asarray(function(a.astype(np.float32), *args, **kwargs)).astype(a.dtype)

    return reduce


OTHERWISE = {name: _last_nan(getattr(np, name)) for name in ("argmax", "argmin")}
OTHERWISE |= {name: _in_float(getattr(np, name)) for name in ("sum", "prod", "mean")}


def _method(name: str) -> Any:
    @on_device
    def method(self: FakeArray, *args: Any, **kwargs: Any) -> Any:
        check_call("methods", name, (self, *args), kwargs)
        if name in WAITING:
            syncs.note(name)
        host = self.host if name in VIEWS or name == "copy" else unwrap(self)
        function = partial(OTHERWISE[name], host) if name in OTHERWISE else getattr(host, name)
        result = function(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()})
        if name in VIEWS:
            return wrap(result, self, view=True)
        if name in ("astype", "copy"):
            return self if result is self.host else FakeArray(result)
        return wrap(result, self)

    return method


for _name in SURFACE["methods"]:
    if _name not in vars(FakeArray) and hasattr(np.ndarray, _name):
        setattr(FakeArray, _name, _method(_name))


def _operator(function: Any, swapped: bool) -> Any:
    @on_device
    def apply(self: FakeArray, other: Any) -> Any:
        if function is operator.matmul:
            refuse_cublas()
        pair = (unwrap(other), unwrap(self)) if swapped else (unwrap(self), unwrap(other))
        return wrap(np.asarray(function(*pair)))

    return apply


def _in_place(ufunc: np.ufunc) -> Any:
    @on_device
    def apply(self: FakeArray, other: Any) -> FakeArray:
        ufunc(unwrap(self), unwrap(other), out=self.host)
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
    "floordiv": _floor_divide, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
for _name in BINARY:
    _function = ROUNDED.get(_name) or getattr(operator, f"__{_name}__")
    setattr(FakeArray, f"__{_name}__", _operator(_function, swapped=False))
    setattr(FakeArray, f"__r{_name}__", _operator(_function, swapped=True))
for _name, _ufunc in IN_PLACE.items():
    setattr(FakeArray, f"__i{_name}__", _in_place(_ufunc))
for _name, _function in {"neg": operator.neg, "abs": abs, "invert": operator.invert}.items():
    setattr(FakeArray, f"__{_name}__", on_device(lambda self, f=_function: wrap(np.asarray(f(unwrap(self))))))
