"""How the commands tell misuse from failure, and both in one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ..errors import AutogradError, DeviceError, FileFormatError, ShapeError


class UsageError(Exception):
    """The command cannot do what it was asked for: exit status 2."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with a word on how to go on: exit status 130."""


class Parser(argparse.ArgumentParser):
    """argparse with its errors as UsageError, so that they are told in one line like all others."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=28))
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


@contextmanager
def misuse() -> Iterator[None]:
    """What goes wrong in this block, while the arguments are being looked at, is the arguments' fault."""
    try:
        yield
    except (ValueError, OSError, DeviceError) as error:
        raise UsageError(told(error)) from error


def told(error: BaseException) -> str:
    """The message of an error without Python's decoration."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


# Errors whose message says all there is to say; others may be a fault of minicnn itself.
_EXPECTED = (AutogradError, DeviceError, FileFormatError, OSError, ShapeError, UsageError)


def one_line(error: BaseException) -> str:
    """An error as one line for the shell."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "stopped"
    if isinstance(error, MemoryError):
        return f"error: out of memory. {error}".rstrip()
    lines = told(error).strip().splitlines() or ["(no message)"]
    more = f" ... ({len(lines) - 1} more lines with --debug)" if len(lines) > 1 else ""
    # NotImplementedError and RecursionError are RuntimeErrors too: only a plain or a named one speaks for itself.
    if isinstance(error, _EXPECTED) or type(error).__module__.startswith("minicnn."):
        return f"error: {lines[0]}{more}"
    return f"error: {type(error).__name__}: {lines[0]}{more} (--debug shows where)"
