"""PyTorch's names for its compiler, so that model code written with them runs as it is. Nothing is compiled.

Marks such as ``@unused`` concern only what PyTorch compiles: they return the function they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Marked = TypeVar("Marked", bound=Callable[..., Any])


def is_scripting() -> bool:
    """False: code always runs as Python."""
    return False


def is_tracing() -> bool:
    """False: nothing records a run for compilation."""
    return False


def unused(fn: Marked) -> Marked:
    """Mark a method that compiled code never calls."""
    return fn


def ignore(drop: bool | Marked = False, **kwargs: Any) -> Any:
    """Mark a method that stays Python in compiled code: ``@ignore`` or ``@ignore(drop=True)``."""
    return drop if callable(drop) else unused


def export(fn: Marked) -> Marked:
    """Mark a method to compile although ``forward`` does not call it."""
    return fn


def _overload_method(func: Marked) -> Marked:
    """Mark a signature of a method that has several; as in Python, the last definition counts."""
    return func


__all__ = ["export", "ignore", "is_scripting", "is_tracing", "unused"]
