"""The ``minicnn`` command. Each module in this folder whose name has no underscore in front is a command.

A command module has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int`` (the exit status), and
imports what is slow inside ``run``. A new command is a new file.

Exit status: 0 done, 1 failed, 2 misused, 130 stopped by Ctrl-C. Errors are one line on the standard error; ``--debug``
shows the traceback.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from .. import interrupt
from ..terminal import table
from . import _ranks
from ._errors import Parser, Stopped, UsageError, complain, one_line, printable

if TYPE_CHECKING:
    from ..course.witness import Witness

DONE, FAILED, MISUSED, STOPPED, PIPE_CLOSED = 0, 1, 2, interrupt.STATUS, 141  # the last: 128 + SIGPIPE


def command_names() -> list[str]:
    """The names of all commands, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_command(name: str) -> ModuleType:
    """The module of a command. Raises UsageError, with the nearest name, for an unknown command."""
    names = command_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(names)}"
        raise UsageError(f"there is no command {name!r}; {hint}")
    return importlib.import_module(f".{name}", __name__)


def main(argv: Sequence[str] | None = None, mine: Witness | None = None) -> int:
    """Run the command line ``argv`` (the process's own by default) and return the exit status.

    Args:
        mine: records errors of a student's functions, if these have already replaced minicnn's own for ``--mine``.
    """
    status = _main(list(sys.argv[1:] if argv is None else argv), mine)
    if status == STOPPED:
        interrupt.end()
    return status


def _main(argv: list[str], mine: Witness | None) -> int:
    try:
        with interrupt.handled():
            status = _run(argv, mine)
            sys.stdout.flush()  # a closed pipe shows here and not while Python exits
            return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        speak = _ranks.speak(error)
        if speak and "--debug" in argv:
            import traceback

            print(*map(printable, traceback.format_exc().splitlines()), sep="\n", file=sys.stderr)
        theirs = mine.explain(error) if mine else None
        if speak:
            complain(f"error: {printable(theirs)}" if theirs else _ranks.named(one_line(error)))
        return _ranks.end(FAILED if theirs else _status(error))


def _run(argv: list[str], mine: Witness | None) -> int:
    parser = top_parser()
    try:
        if not argv or argv[0].startswith("-"):
            parser.parse_args(argv or ["--help"])
            raise UsageError("a command is missing; `minicnn --help` lists them")
        command = load_command(argv[0])
        parser = parser_of(argv[0])
        args = parser.parse_args(argv[1:])
    except SystemExit as done:  # argparse, after --help and --version
        return int(done.code or 0)
    if mine is None and getattr(args, "mine", None):
        from ._mine import run_with

        return run_with(args, argv)
    return command.run(args)


def parser_of(name: str) -> Parser:
    """The parser of a command."""
    command = load_command(name)
    parser = Parser(prog=f"minicnn {name}", description=command.HELP)
    command.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def top_parser() -> Parser:
    """The parser of the arguments before the command: only ``--help`` and ``--version``."""
    from .. import __version__

    lines = table([(name, load_command(name).HELP) for name in command_names()], "<<", "  ")
    parser = Parser(
        prog="minicnn",
        usage="minicnn [--help] [--version] COMMAND ...",
        description="Convolutional networks to read, train and take apart.",
        epilog="\n".join(["commands:", *lines, "", "`minicnn COMMAND --help` says more about each."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minicnn {__version__}")
    return parser


def _status(error: BaseException) -> int:
    if isinstance(error, UsageError):
        return MISUSED
    return STOPPED if isinstance(error, (KeyboardInterrupt, Stopped)) else FAILED
