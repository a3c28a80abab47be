"""The PyTorch part of what a pickle may call: storages, and tensors as views of them.

``torch.save`` writes a tensor as a call of ``_rebuild_tensor_v2(storage, offset, size, stride, ...)``, and
the storage, a flat piece of memory that several tensors may share, as a persistent id: a description of bytes
that lie elsewhere in the file.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError

from . import numpy_pickle
from .decoding import decode, itemsize
from .pickle_machine import Call
from .source import shown

MAX_DIMENSIONS = 64  # NumPy's limit, and PyTorch's
# tensor.expand() repeats a storage without copying it. Beyond this many elements it is not meant as a weight.
MAX_EXPANDED_ELEMENTS = 1 << 28

STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# Dtypes that a checkpoint may name although tensors of them cannot be read.
NAMED_DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "bool"),
    *("uint64", "uint32", "uint16", "uint8", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
)


@dataclass(frozen=True)
class StorageType:
    """A storage class as the pickle names it; ``dtype`` is None if the class does not say it."""

    dtype: str | None


@dataclass
class Record:
    """The bytes of one storage in the file, and what they were decoded to: views go on sharing memory."""

    data: np.ndarray
    byteorder: str = "little"
    decoded: dict[str, np.ndarray] = field(default_factory=dict)

    def elements(self, dtype: str) -> np.ndarray:
        """All elements of the record: shape (count,)."""
        if dtype not in self.decoded:
            self.decoded[dtype] = decode(self.data, dtype, self.byteorder)
        return self.decoded[dtype]


@dataclass(frozen=True)
class Storage:
    """A range of elements (of bytes, if ``dtype`` is None) of a record: the meaning of a persistent id."""

    record: Record
    dtype: str | None
    start: int
    length: int

    def __post_init__(self) -> None:
        end = (self.start + self.length) * (itemsize(self.dtype) if self.dtype else 1)
        if end > self.record.data.size:
            raise FileFormatError(f"truncated: a storage needs {end} bytes, and the file has {self.record.data.size}")

    def elements(self, dtype: str | None) -> np.ndarray:
        """The elements as one-dimensional array; an untyped storage is read as ``dtype``."""
        if self.dtype is not None:
            return self.record.elements(self.dtype)[self.start : self.start + self.length]
        if dtype is None:
            raise FileFormatError("damaged pickle: a tensor of an untyped storage without a dtype")
        return self.record.elements(dtype)[: self.length // itemsize(dtype)]


@dataclass(frozen=True)
class StorageId:
    """A persistent id, checked: ``("storage", class, key, device, length[, view])``."""

    dtype: str | None
    key: str
    length: int
    view: tuple[str, int, int] | None  # only in the legacy format: its key, start and length

    @classmethod
    def parse(cls, value: Any) -> StorageId:
        """Read the argument of the pickle's BINPERSID.

        Raises:
            FileFormatError: if it is anything but the description of a storage.
        """
        if type(value) is not tuple or len(value) not in (5, 6) or value[0] != "storage":
            raise FileFormatError("refused: its pickle refers to something outside that is not a tensor's storage")
        _, kind, key, _, length = value[:5]
        view = value[5] if len(value) == 6 else None
        if type(kind) is not StorageType or type(key) is not str or not _is_count(length):
            raise FileFormatError("damaged pickle: a storage without class, key or length")
        if view is not None:
            if type(view) is not tuple or len(view) != 3:
                raise FileFormatError("damaged pickle: a view of a storage that is not described by three parts")
            if type(view[0]) is not str or not _is_count(view[1]) or not _is_count(view[2]):
                raise FileFormatError("damaged pickle: a view of a storage without key, start or length")
        return cls(kind.dtype, key, length, view)

    def storage(self, record: Record) -> Storage:
        """The storage that this id describes, in its record."""
        whole = Storage(record, self.dtype, 0, self.length)
        if self.view is None:
            return whole
        _, start, length = self.view
        if start + length > self.length:
            raise FileFormatError(f"damaged pickle: a view {start}+{length} of a storage of {self.length} elements")
        return Storage(record, self.dtype, start, length)


def strided(elements: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """A view of ``elements``: element (i, j, ...) lies at ``offset + i * stride[0] + j * stride[1] + ...``.

    Raises:
        FileFormatError: unless every element lies inside ``elements``.
    """
    if not (_is_count(offset) and _are_counts(size) and _are_counts(stride) and len(size) == len(stride)):
        raise FileFormatError("refused: a tensor with a negative or missing size, stride or offset")
    count = math.prod(size)
    if count == 0:
        if max(size) > MAX_EXPANDED_ELEMENTS:
            raise FileFormatError("refused: an empty tensor of absurd shape")
        return np.empty(size, elements.dtype)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if last >= elements.size:
        raise FileFormatError(
            f"refused: a tensor of shape {shown(size)} would reach element {last} of a storage with {elements.size}"
        )
    if count > max(elements.size, MAX_EXPANDED_ELEMENTS):
        raise FileFormatError(f"refused: a tensor of shape {shown(size)} repeats {elements.size} stored elements")
    if count == last - offset + 1 and stride == _row_major(size):
        return elements[offset : offset + count].reshape(size)
    steps = [step * elements.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(elements[offset:], size, steps)


def _row_major(size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _are_counts(values: Any) -> bool:
    return type(values) is tuple and len(values) <= MAX_DIMENSIONS and all(map(_is_count, values))


# ---- what the pickle may call ------------------------------------------------------------------------------


def tensor_calls(wrap: Callable[[np.ndarray], Any]) -> dict[str, Call]:
    """The functions that rebuild tensors, by name.

    Whether a tensor required a gradient, its hooks and its Python attributes are not restored: loaded tensors
    are data.

    Args:
        wrap: makes the tensor from an array, without copying it.
    """

    def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any, dtype: str | None = None) -> Any:
        if type(storage) is not Storage:
            raise FileFormatError(f"damaged pickle: a tensor over a {type(storage).__name__} instead of a storage")
        return wrap(strided(storage.elements(dtype), offset, size, stride))

    def rebuild_tensor_v3(
        storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
    ) -> Any:
        if type(dtype) is not str or not dtype.startswith("torch."):
            raise FileFormatError("damaged pickle: a tensor without a dtype")
        return rebuild_tensor(storage, offset, size, stride, dtype=dtype.removeprefix("torch."))

    def rebuild_parameter(data: Any, *_: Any) -> Any:
        return data

    calls = {
        "torch._utils._rebuild_tensor": Call(rebuild_tensor),
        "torch._utils._rebuild_tensor_v2": Call(rebuild_tensor),
        "torch._utils._rebuild_tensor_v3": Call(rebuild_tensor_v3),
        "torch._utils._rebuild_parameter": Call(rebuild_parameter),
        "torch._utils._rebuild_parameter_with_state": Call(rebuild_parameter),
    }
    plain = frozenset(calls.values())

    def rebuild_from_type(call: Any, kind: Any, arguments: Any, state: Any) -> Any:
        """A tensor with Python attributes, or of a subclass: the tensor in it."""
        if call not in plain or type(arguments) is not tuple:
            raise FileFormatError("refused: its pickle rebuilds something that is not a plain tensor")
        return call.function(*arguments)

    return {**calls, "torch._tensor._rebuild_from_type_v2": Call(rebuild_from_type)}


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    if type(items) not in (tuple, list) or items:
        raise FileFormatError("damaged pickle: an ordered dictionary that is filled while it is made")
    return OrderedDict()


def _set_ordered_dict(target: OrderedDict[Any, Any], state: Any) -> None:
    """Keep the versions that ``state_dict()`` attaches as ``_metadata``; other attributes are not data."""
    if type(target) is not OrderedDict or type(state) is not dict:
        raise FileFormatError("damaged pickle: an ordered dictionary with an unexpected state")
    if isinstance(state.get("_metadata"), dict):
        target._metadata = state["_metadata"]  # type: ignore[attr-defined]


def _counter(counts: Any = None) -> Counter[Any]:
    """The type in which PyTorch's MultiStepLR keeps its milestones."""
    if counts is not None and type(counts) is not dict:
        raise FileFormatError("damaged pickle: a counter made of something else than counts")
    return Counter(counts)


def _set(items: Any = ()) -> set[Any]:
    """Members come as a list, whose elements the machine has not checked as keys."""
    if type(items) is not list or not all(type(item) in (str, int, float, bool) for item in items):
        raise FileFormatError("damaged pickle: a set of something else than text and numbers")
    return set(items)


def _size(sides: Any) -> tuple[Any, ...]:
    if not _are_counts(sides):
        raise FileFormatError("damaged pickle: a size with a negative or missing side")
    return sides


def _device(kind: Any, index: Any = None) -> str:
    if type(kind) is not str or not (index is None or type(index) is int):
        raise FileFormatError("damaged pickle: a device without a name")
    return kind if index is None else f"{kind}:{index}"


def _layout(name: Any) -> Any:
    return name


def _bytes() -> bytes:
    """How protocol 2 pickles the empty bytes; others go through ``_codecs.encode``."""
    return b""


def _bytearray(data: Any = b"") -> bytearray:
    if type(data) is not bytes:
        raise FileFormatError("damaged pickle: a bytearray made of something else than bytes")
    return bytearray(data)


BUILTINS = {"set": Call(_set), "bytes": Call(_bytes), "bytearray": Call(_bytearray)}
CONTAINER_NAMES: dict[str, Any] = {
    "collections.OrderedDict": Call(_ordered_dict),
    "collections.Counter": Call(_counter),
    "torch.Size": Call(_size),
    "torch.device": Call(_device),
    "torch.serialization._get_layout": Call(_layout),
    "torch.Tensor": "torch.Tensor",
    "torch.nn.parameter.Parameter": "torch.nn.Parameter",
    **{f"torch.{dtype}": f"torch.{dtype}" for dtype in NAMED_DTYPES},
    **{f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    "torch.storage.UntypedStorage": StorageType(None),
    "torch.storage._UntypedStorage": StorageType(None),
    **{f"{module}.{name}": call for module in ("builtins", "__builtin__") for name, call in BUILTINS.items()},
    **numpy_pickle.NAMES,
}
BUILDERS: dict[type, Callable[[Any, Any], None]] = {
    OrderedDict: _set_ordered_dict,
    **numpy_pickle.BUILDERS,
}
