"""What CuPy has, and how it wants to be called: ``record_surface`` has written it down."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SURFACE_FILE = Path(__file__).parent / "cupy_surface.json"
SURFACE = json.loads(SURFACE_FILE.read_text())


def signature_of(parameters: str) -> inspect.Signature:
    """Of a function with those parameters, written as in Python."""
    return inspect.signature(eval(f"lambda {parameters}: None"))


def operands(ufunc: str) -> tuple[int, int]:
    """How many inputs and outputs it has: "ff->f bb->b" has two and one."""
    inputs, outputs = SURFACE["ufuncs"][ufunc].split()[0].split("->")
    return len(inputs), len(outputs)


@cache
def _signature(kind: str, name: str) -> inspect.Signature:
    if kind == "methods":
        return signature_of(f"self, {SURFACE[kind][name]}")
    if kind == "functions":
        return signature_of(SURFACE[kind][name])
    inputs, outputs = operands(name)
    given = [f"x{i}" for i in range(inputs)] + [f"out{i}=None" for i in range(outputs)]
    return signature_of(", ".join([*given, "/, *, out=None, casting=None, dtype=None"]))


def check_call(kind: str, name: str, args: Any, kwargs: Any) -> None:
    """Refuse what CuPy's function, ufunc or method does not take.

    Raises:
        TypeError: for arguments that it does not have, or has elsewhere.
        AxisError: for an axis of a single number, which NumPy allows.
    """
    try:
        given = _signature(kind, name).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"cupy's {name}() {error}") from None
    single = args and getattr(args[0], "ndim", None) == 0 and name != "expand_dims"
    if single and (axis := given.get("axis")) not in (None, ()):
        raise np.exceptions.AxisError(axis[0] if isinstance(axis, tuple) else axis, 0)
