"""Ctrl-C in the ``minicnn`` command: one line and exit status 130, from the first import to the last line.

Imported before everything else, because those imports take the first moments. In any other program it does nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

STATUS = 128 + signal.SIGINT


def stop(*_: Any) -> None:
    """End the process now. Files are written whole or not at all, so nothing is lost."""
    os.write(2, b"minicnn: stopped\n")
    os._exit(STATUS)


def end() -> None:
    """End the process, if it is the command, after Ctrl-C was handled.

    When Python ends in the usual way after an interrupt that passed through an ``exec``, it kills itself by the signal,
    and the exit status would be another one.
    """
    if signal.getsignal(signal.SIGINT) is stop:
        with contextlib.suppress(OSError):  # a closed pipe
            sys.stdout.flush()
        os._exit(STATUS)


def raise_once(*_: Any) -> None:
    """Raise KeyboardInterrupt, to be handled; a second Ctrl-C meanwhile ends the process at once."""
    signal.signal(signal.SIGINT, stop)
    raise KeyboardInterrupt


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """In this block Ctrl-C raises KeyboardInterrupt, once; only if it would otherwise stop the process."""
    ours = signal.getsignal(signal.SIGINT) is stop
    if ours:
        signal.signal(signal.SIGINT, raise_once)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, stop)


def _is_command() -> bool:
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return program.partition(".")[0] == "minicnn" or (program == "-m" and "minicnn" in sys.orig_argv)


# A shell without job control makes background commands ignore Ctrl-C: that is not changed.
if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, stop)
