"""From bytes to numbers, once for all formats: dtype, byte order, alignment."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from minicnn.errors import FileFormatError

from .source import shown

# How each supported dtype is stored in a file. NumPy has no bfloat16: it is the upper half of a float32.
STORED_AS = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}


def itemsize(dtype: str) -> int:
    """Bytes per element of a dtype in a file.

    Raises:
        FileFormatError: for a dtype that is not in ``STORED_AS``.
    """
    if dtype not in STORED_AS:
        raise FileFormatError(f"tensors of dtype {dtype} are not supported, only {', '.join(STORED_AS)}")
    return int(STORED_AS[dtype][1])


def reshaped(elements: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """``elements`` in ``shape``.

    Raises:
        FileFormatError: for a shape that NumPy cannot hold or that needs another number of elements.
    """
    try:
        return elements.reshape(shape)
    except ValueError as error:
        raise FileFormatError(f"{elements.size} elements do not fit the shape {shown(tuple(shape))}") from error


def decode(data: np.ndarray, dtype: str, byteorder: str = "little") -> np.ndarray:
    """The elements in ``data``, as a one-dimensional array in the machine's byte order.

    The array is a view of ``data`` wherever the machine can compute on the bytes as they are. float16 and
    bfloat16 become float32, which represents all their values.

    Args:
        data: uint8 of shape (n,); remaining bytes that are not a whole element are left out.
        dtype: a key of ``STORED_AS``.
        byteorder: ``"little"`` or ``"big"``.
    """
    size = itemsize(dtype)
    order = ">" if byteorder == "big" else "<"
    stored = data[: data.size // size * size].view(order + STORED_AS[dtype])
    if dtype == "bool":
        return stored != 0  # other bytes than 0 and 1 would be neither True nor False
    if dtype == "float16":
        return stored.astype(np.float32)
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    usable = stored.flags.aligned and (size == 1 or byteorder == sys.byteorder)
    return stored if usable else stored.astype(stored.dtype.newbyteorder("="))
