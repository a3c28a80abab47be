"""Modes of the tape, per thread: whether operations are recorded, and whether they are checked for NaN."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .stepwise import Decorated, Decorator, around


class _Switches(threading.local):
    grad_enabled = True
    anomaly = False
    autocast: Any = None  # what ``minicnn.autocast`` has put in force: it casts the arguments of operations
    recorder: Any = None  # every operation is reported to it; ``minicnn.compiler`` sets it while it records a model


SWITCHES = _Switches()


class Switch(Decorator):
    """Sets one switch for a block or a decorated function, and restores the old value whenever that ends or yields."""

    name: str
    value: Any
    _before: dict[int, list[Any]]  # by thread: each thread has its own switches

    if not TYPE_CHECKING:  # a type checker is to look at Decorator.__new__

        def __init__(self) -> None:
            self._before = {}

    def __enter__(self) -> None:
        self._before.setdefault(threading.get_ident(), []).append(getattr(SWITCHES, self.name))
        setattr(SWITCHES, self.name, self.value)

    def __exit__(self, *exc_info: object) -> None:
        setattr(SWITCHES, self.name, self._before[threading.get_ident()].pop())


class no_grad(Switch):  # noqa: N801  (PyTorch's name)
    """Record nothing: ``with no_grad():`` or ``@no_grad()``. Results do not require a gradient."""

    name, value = "grad_enabled", False


class enable_grad(Switch):  # noqa: N801
    """Record again inside a ``no_grad`` block."""

    name, value = "grad_enabled", True


class set_grad_enabled(Switch):  # noqa: N801
    """``set_grad_enabled(mode)``: acts at once, like PyTorch's, and inside a ``with`` until its end."""

    name = "grad_enabled"

    def __init__(self, mode: bool) -> None:
        self.value, self._outside = bool(mode), SWITCHES.grad_enabled
        SWITCHES.grad_enabled = self.value

    def __enter__(self) -> None:
        SWITCHES.grad_enabled = self.value

    def __exit__(self, *exc_info: object) -> None:
        SWITCHES.grad_enabled = self._outside

    def __call__(self, function: Decorated) -> Decorated:
        SWITCHES.grad_enabled = self._outside  # a decorator changes nothing before the function runs
        return around(enable_grad if self.value else no_grad, function)


class detect_anomaly(Switch):  # noqa: N801
    """Check every result and every gradient for NaN and infinity, and name the operation and module of the first."""

    name, value = "anomaly", True


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return SWITCHES.grad_enabled
