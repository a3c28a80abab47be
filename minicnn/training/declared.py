"""Compare what was read from a file with what was declared; the error names the first difference."""

from __future__ import annotations

import sys
from types import UnionType
from typing import Any, get_args

import numpy as np

from ..tensors import Tensor

WORDS = {str: "text", int: "an integer", float: "a finite number", bool: "true or false", type(None): "null"}


def check(value: Any, expected: Any, name: str = "") -> None:
    """Raise ValueError, with the ``name`` of the entry, for a value that is not built like ``expected``.

    ``expected`` is an example of the value; instead of an example it may be a type of ``WORDS`` or a union of these. A
    dictionary must have the same keys, a list the same length, text must be the same; arrays and tensors need the same
    shape and dtype. No number may be infinite or NaN.
    """
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            raise _differs(name, "a table of names and values", value)
        for key in expected.keys() ^ value.keys():
            raise ValueError(f"{name or 'it'} {'lacks' if key in expected else 'has an unknown'} {short(key)}")
        for key, inner in expected.items():
            check(value[key], inner, f"{name}.{key}" if name else str(key))
    elif isinstance(expected, (list, tuple)):
        if type(value) is not type(expected) or len(value) != len(expected):
            raise _differs(name, f"a {type(expected).__name__} of {len(expected)} entries", value)
        for index, (item, inner) in enumerate(zip(value, expected, strict=True)):
            check(item, inner, f"{name}[{index}]")
    elif isinstance(expected, (Tensor, np.ndarray)):
        if not isinstance(value, type(expected)) or _layout(value) != _layout(expected):
            raise _differs(name, _layout(expected), value)
        if not np.isfinite(value.detach().cpu().numpy() if isinstance(value, Tensor) else value).all():
            raise ValueError(f"{name} has numbers that are not finite")
    elif isinstance(expected, (type, UnionType)):
        kinds = get_args(expected) or (expected,)
        if not any(_is(value, kind) for kind in kinds):
            raise _differs(name, " or ".join(WORDS[kind] for kind in kinds), value)
    elif isinstance(expected, str):
        if value != expected:
            raise _differs(name, repr(expected), value)
    else:
        check(value, type(expected), name)


def short(value: Any, limit: int = 60) -> str:
    """A value as it may stand in a message: printable, in one line, not too long."""
    text = _layout(value) if isinstance(value, (Tensor, np.ndarray)) else " ".join(ascii(value).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _layout(array: Tensor | np.ndarray) -> str:
    return f"a {type(array).__name__} {tuple(array.shape)} of {array.dtype}"


def _differs(name: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{name or 'it'} must be {expected}, got {short(value)}")
