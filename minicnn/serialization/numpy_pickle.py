"""The NumPy part of what a pickle may call: arrays and scalars of plain numbers.

Checkpoints hold such objects besides their tensors (the best accuracy so far is often a NumPy scalar). NumPy's
own functions are called only with arguments that were checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError

from .pickle_machine import Call

# Kinds and sizes: bool, integers, floats. Not "O", whose elements are objects, nor text, dates and records.
DTYPE_CODES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
# What NumPy saves of a plain dtype after its version and byte order: no fields, names, metadata or flags.
PLAIN_DTYPE = (None, None, None, -1, -1, 0)
NDARRAY = Call(lambda *_: _refuse("numpy.ndarray"))  # stands for the type, as an argument of _reconstruct


def _refuse(what: str) -> None:
    raise FileFormatError(f"refused: its pickle calls {what} directly")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype:
    """A new dtype for every call, because ``_set_dtype`` changes it."""
    if type(code) is not str or code not in DTYPE_CODES:
        raise FileFormatError("refused: it holds a NumPy array or scalar that is not made of plain numbers")
    return np.dtype(code, align=False, copy=True)


def _set_dtype(dtype: np.dtype, state: Any) -> None:
    if (
        type(state) is not tuple
        or len(state) != 8
        or state[0] != 3
        or not (type(state[1]) is str and state[1] in ("<", ">", "|"))
        or state[2:] != PLAIN_DTYPE
    ):
        raise FileFormatError("refused: it holds a NumPy dtype that is not one of plain numbers")
    dtype.__setstate__(state)  # type: ignore[attr-defined]


def _scalar(dtype: Any, data: Any) -> Any:
    return _from_bytes(data, dtype, ())[()]


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """An empty array that ``_set_array`` fills: NumPy pickles arrays in these two steps."""
    if kind is not NDARRAY:
        raise FileFormatError("refused: it holds a subclass of a NumPy array")
    return np.empty(0, np.uint8)


def _set_array(array: np.ndarray, state: Any) -> None:
    if type(state) is not tuple or len(state) != 5:
        raise FileFormatError("damaged pickle: a NumPy array without its five parts")
    _, shape, dtype, fortran_order, data = state
    if type(fortran_order) is not bool:
        raise FileFormatError("damaged pickle: a NumPy array without its order of axes")
    checked = _from_bytes(data, dtype, shape)  # raises an error before NumPy gets wrong arguments
    array.__setstate__((1, checked.shape, dtype, fortran_order, checked.tobytes()))  # type: ignore[arg-type]


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C", axis_order: Any = None) -> np.ndarray:
    if order not in ("C", "F"):
        raise FileFormatError("refused: it holds a NumPy array with permuted axes")
    flat = _from_bytes(data, dtype, shape).reshape(-1)
    return flat.reshape(shape, order=order)


def _from_bytes(data: Any, dtype: Any, shape: Any) -> np.ndarray:
    """A writable array over a copy of ``data``, which must have exactly the bytes that the shape needs."""
    data = data.encode("latin1") if type(data) is str else data  # as Python 2 pickled bytes
    if (
        type(data) not in (bytes, bytearray)
        or not isinstance(dtype, np.dtype)
        or dtype.str[1:] not in DTYPE_CODES
        or type(shape) is not tuple
        or not all(type(side) is int and side >= 0 for side in shape)
        or math.prod(shape) * dtype.itemsize != len(data)
    ):
        raise FileFormatError("damaged pickle: a NumPy array or scalar whose bytes, dtype and shape do not agree")
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes into pickles that Python 2 can read."""
    if type(text) is not str or encoding != "latin1":
        raise FileFormatError("damaged pickle: bytes in an unexpected encoding")
    return text.encode("latin1")


MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
FUNCTIONS = {"scalar": Call(_scalar), "_reconstruct": Call(_reconstruct), "_frombuffer": Call(_frombuffer)}
NAMES: dict[str, Any] = {
    "numpy.dtype": Call(_dtype),
    "numpy.ndarray": NDARRAY,
    "_codecs.encode": Call(_encode),
    **{f"{module}.{name}": call for module in MODULES for name, call in FUNCTIONS.items()},
}
BUILDERS: dict[type, Callable[[Any, Any], None]] = {np.ndarray: _set_array, np.dtype: _set_dtype}
