"""A student's functions in the library itself, where a student's edition has its own cut.

A network of homework 3 calls ``minicnn.cat``, which is homework too. So in an edition the library calls what the
student wrote: its functions stay the objects they are, for others have imported them, and call the student's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from .manifest import Hole

ADOPTED = "__adopted__"  # in a module: the student's functions by their names
OWN = (
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__qualname__",
    "__firstlineno__",
    "__slots__",
)


def adopt(library: ModuleType, student: ModuleType, holes: Sequence[Hole]) -> None:
    """Let ``library`` call the definitions of ``student`` that hold holes, where the student's file has them."""
    for name in dict.fromkeys(hole.qualname.partition(".")[0] for hole in holes):
        own, theirs = getattr(library, name, None), getattr(student, name, None)
        if isinstance(own, type) and isinstance(theirs, type):
            _adopt_class(own, theirs)
        elif isinstance(own, FunctionType) and callable(theirs) and theirs is not own:
            if own.__closure__:  # a decorator's: what it decorates cannot be exchanged
                setattr(library, name, theirs)
            else:
                _call(own, name, theirs)
    for name, value in vars(student).items():  # what Numba compiled, and what of it calls a hole
        if "numba" in sys.modules and type(value).__module__.startswith("numba.") and hasattr(value, "py_func"):
            setattr(library, name, value)


def _adopt_class(own: type, theirs: type) -> None:
    """Every attribute of the student's class, for methods call each other; but what cannot be moved to another."""
    for name, value in vars(theirs).items():
        with suppress(AttributeError, TypeError):
            _adopt_attribute(own, theirs, name, value)


def _adopt_attribute(own: type, theirs: type, name: str, value: Any) -> None:
    if isinstance(value, (staticmethod, classmethod)) and isinstance(value.__func__, FunctionType):
        setattr(own, name, type(value)(_inside(value.__func__, own, theirs)))
    elif name not in OWN and not isinstance(value, (MemberDescriptorType, GetSetDescriptorType)):  # slots
        setattr(own, name, _inside(value, own, theirs) if isinstance(value, FunctionType) else value)


def _inside(function: FunctionType, own: type, theirs: type) -> FunctionType:
    """A method of ``theirs`` as a method of ``own``: its ``super()`` begins there."""
    closure = tuple(CellType(own) if _holds(cell, theirs) else cell for cell in function.__closure__ or ())
    moved = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)
    moved.__kwdefaults__, moved.__doc__ = function.__kwdefaults__, function.__doc__
    moved.__annotations__, moved.__qualname__ = function.__annotations__, function.__qualname__
    return moved


def _holds(cell: CellType, value: type) -> bool:
    try:
        return cell.cell_contents is value
    except ValueError:  # not set yet
        return False


def _call(function: FunctionType, name: str, other: Callable[..., Any]) -> None:
    """Make ``function`` call ``other``."""
    function.__globals__.setdefault(ADOPTED, {})[name] = other
    made: dict[str, Any] = {}
    exec(f"def forward(*args, **kwargs):\n    return {ADOPTED}[{name!r}](*args, **kwargs)\n", made)
    function.__code__ = made["forward"].__code__
    function.__defaults__ = function.__kwdefaults__ = None
