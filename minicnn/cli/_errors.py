"""How the commands distinguish misuse from failure, and report both in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from ..errors import AutogradError, DeviceError, FileFormatError, ShapeError
from ..terminal import painter, width
from ._arguments import text as any_text


class UsageError(Exception):
    """The arguments ask for something that the command cannot do: exit status 2."""


class RunStopped(Exception):
    """Something outside the program, such as a full disk, stopped the command: exit status 1."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with a message that says how to go on: exit status 130."""


class Parser(argparse.ArgumentParser):
    """argparse with its errors as UsageError, so that they are reported in one line like all others."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", partial(argparse.HelpFormatter, max_help_position=28, width=width() - 2))
        super().__init__(**options)
        self.register("type", None, any_text)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


@contextmanager
def misuse(
    option: str = "", errors: tuple[type[Exception], ...] = (ValueError, OSError, DeviceError)
) -> Iterator[None]:
    """Report errors in this block, which checks arguments, as misuse; with the name of ``option`` if it is given."""
    try:
        yield
    except errors as error:
        raise UsageError(f"{option}: {describe(error)}" if option else describe(error)) from error


def describe(error: BaseException) -> str:
    """The message of an error without Python's decoration."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def printable(text: Any) -> str:
    """Text from files, data or weights as a terminal can safely show it: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def complain(text: str) -> None:
    """Print a line of the command on the standard error, its first word, ``error:`` or ``warning:``, in colour."""
    word, _, rest = text.partition(" ")
    colors = {"error:": "red", "warning:": "yellow"}
    print(f"minicnn: {painter(sys.stderr)(word, colors.get(word, ''))} {rest}".rstrip(), file=sys.stderr)


# Errors whose message is complete; others may be a fault of minicnn itself.
_EXPECTED = (AutogradError, DeviceError, FileFormatError, OSError, ShapeError, UsageError)


def one_line(error: BaseException) -> str:
    """An error as one line for the shell."""
    if isinstance(error, KeyboardInterrupt):
        return printable(error) or "stopped"
    if isinstance(error, MemoryError):
        return f"error: out of memory. {error}".rstrip()
    lines = list(map(printable, describe(error).strip().splitlines())) or ["(no message)"]
    more = f" ... ({len(lines) - 1} more lines with --debug)" if len(lines) > 1 else ""
    # NotImplementedError and RecursionError are RuntimeErrors too, so the type of an unexpected error is shown.
    if isinstance(error, _EXPECTED) or type(error).__module__.startswith("minicnn."):
        return f"error: {lines[0]}{more}"
    return f"error: {type(error).__name__}: {lines[0]}{more} (--debug shows where)"
