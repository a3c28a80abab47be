"""What crosses between the grader and the process that runs a student's code: numbers, strings, arrays and lists of
them, as bytes that can be read without trusting the writer. Nothing is ever unpickled.

A message is a header in JSON, followed by the arrays' bytes::

    <length of all> <length of the header> <header> <array> <array> ...

JSON knows no tuples, no dicts with other keys than strings, and no arrays: each of these is an object with one key
that says what it is.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import IO, Any

import numpy as np

LARGEST = 256 * 2**20  # bytes of a message
LONGEST = 2**20  # bytes of a header: JSON becomes fifty times as large when it is read
DEEPEST = 50  # levels of lists in lists
_LENGTHS = struct.Struct("<II")


class WireError(ValueError):
    """Bytes that are no message, or a value that cannot be sent: what, and what was expected."""


def send(stream: IO[bytes], value: Any) -> None:
    """Write a value as one message.

    Raises:
        WireError: for a value that is or holds anything but None, numbers, strings, arrays, and tuples, lists and
            dicts of these; for one that is too large or too deep.
    """
    arrays: list[np.ndarray] = []
    header = json.dumps(_flat(value, arrays, DEEPEST)).encode()
    total = len(header) + sum(array.nbytes for array in arrays)
    if total > LARGEST:
        raise WireError(f"expected at most {LARGEST >> 20} MB, got {total >> 20} MB")
    if len(header) > LONGEST:
        raise WireError(f"expected at most {LONGEST >> 20} MB beside arrays, got {len(header) >> 20} MB")
    stream.write(_LENGTHS.pack(total, len(header)) + header)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read the next message; arrays come as copies of their own.

    Raises:
        EOFError: where the stream ends.
        WireError: for bytes that are no message.
    """
    total, length = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if not length <= total <= LARGEST or length > LONGEST:
        raise WireError(f"expected a message of at most {LARGEST >> 20} MB, got the lengths {total} and {length}")
    body = memoryview(_read(stream, total))
    try:
        value, rest = _Unflatten(body[length:]).whole(json.loads(bytes(body[:length])))
    except Exception as error:  # NumPy alone raises five kinds for what is no dtype
        raise WireError(f"expected a message, got something else ({type(error).__name__}: {error})") from error
    if rest:
        raise WireError(f"expected the message to end, got {rest} more bytes")
    return value


def _read(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the stream has ended")
    return data


def _flat(value: Any, arrays: list[np.ndarray], depth: int) -> Any:
    """``value`` as JSON can hold it; arrays are put into ``arrays``."""
    if depth == 0:
        raise WireError(f"expected at most {DEEPEST} lists in lists")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        if isinstance(value, np.generic):
            return {"number": [value.dtype.str, value.item()]}
        arrays.append(value)
        return {"array": [value.dtype.str, list(value.shape)]}
    if isinstance(value, (list, tuple)):
        parts = [_flat(part, arrays, depth - 1) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, dict):
        return {"dict": [[_flat(part, arrays, depth - 1) for part in pair] for pair in value.items()]}
    raise WireError(f"expected numbers, strings, arrays, or lists of them, got {type(value).__name__}")


class _Unflatten:
    """The way back, with the arrays' bytes taken from ``data`` in their order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._kinds: dict[str, Callable[[Any], Any]] = {
            "array": self._array,
            "number": lambda content: _dtype(content[0]).type(content[1]),
            "tuple": lambda parts: tuple(map(self._value, parts)),
            "dict": lambda pairs: {self._value(key): self._value(part) for key, part in pairs},
        }

    def whole(self, flat: Any) -> tuple[Any, int]:
        """The value, and how many bytes are left."""
        return self._value(flat), len(self._data)

    def _value(self, flat: Any) -> Any:
        if isinstance(flat, list):
            return [self._value(part) for part in flat]
        if isinstance(flat, dict):
            ((kind, content),) = flat.items()
            return self._kinds[kind](content)
        return flat

    def _array(self, content: Any) -> np.ndarray:
        name, shape = content
        dtype = _dtype(name)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise WireError(f"expected a shape, got {shape}")
        count = math.prod(shape) * dtype.itemsize
        array = np.frombuffer(self._data[:count], dtype).reshape(shape).copy()
        self._data = self._data[count:]
        return array


def _dtype(name: Any) -> np.dtype:
    dtype = np.dtype(str(name))
    if dtype.kind not in "biuf":
        raise WireError(f"expected the dtype of a number, got {dtype}")
    return dtype
