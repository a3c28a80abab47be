"""A limit on the computing of code that is trusted and may yet loop: a mutant of the reference, a planted mistake.

A student's code is limited from outside (``supervision``).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TimeIsUp(BaseException):
    """Raised by the alarm; no ``except Exception`` stops it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise ``TimeIsUp`` in the block after so many seconds of computing.

    Where signals do not reach (Windows, another thread) the block runs without a limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeIsUp(f"it was stopped after {seconds:g} s of computing")

    handler = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
