"""The line of code behind a step, and the text of each module's ``forward``."""

from __future__ import annotations

import inspect
import linecache
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

from ..nn import Module

PACKAGE = Path(__file__).resolve().parent.parent
# What runs between a line of a network and the operation: it is not shown.
MACHINERY = tuple(
    f"minicnn.{name}" for name in ("nn", "ops", "autograd", "tensors", "creation", "utils.checkpoint", "hooks")
)
OURS = "minicnn.explore"
WRAPPERS = frozenset({"guarded", "<lambda>", "method", "rewrite", "apply", "__call__", "_run_hooks"})


@dataclass(frozen=True)
class Line:
    """A line of code: the file as it may be shown, the number, and the text."""

    file: str
    number: int
    text: str


@dataclass(frozen=True)
class Call:
    """A call that a network's code makes.

    Attributes:
        line: where it stands; None if there is no such line, as for a ``Sequential`` called from a shell.
        frame: of the function called; the same object for all operations of one call.
        name: of that function.
        code: the function in which the line stands, and ``owner`` its first argument.
    """

    line: Line | None
    frame: FrameType | None
    name: str
    code: CodeType | None
    owner: Any


def calling(frame: FrameType | None) -> Call:
    """The call of a layer or function, seen from an operation inside it: from ``frame`` outwards.

    Its line is the innermost one in a method of a module, so that of a helper function is shown where the module calls
    it. In a container that no other module calls, it is the line of the container's own ``forward``.
    """
    while frame is not None and _name(frame).startswith(OURS):
        frame = frame.f_back
    inner, name, container = None, "", None
    while frame is not None and _name(frame).startswith(MACHINERY):
        if frame.f_code.co_name in ("__call__", "forward"):
            name = type(_owner(frame)).__name__
        elif frame.f_code.co_name not in WRAPPERS:
            name = frame.f_code.co_name
        if container is None and _name(frame) == "minicnn.nn.containers":
            container = frame
        inner, frame = frame, frame.f_back
    outside = frame if frame is not None and not _name(frame).startswith(OURS) else None
    method = outside
    while method is not None and not _name(method).startswith(OURS):
        if isinstance(_owner(method), Module) and not _name(method).startswith(MACHINERY):
            break
        method = method.f_back
    else:
        method = outside or container
    if method is None:
        return Call(None, inner, name, None, None)
    return Call(_line(method), inner, name, method.f_code, _owner(method))


def _name(frame: FrameType) -> str:
    return frame.f_globals.get("__name__") or ""


def _owner(frame: FrameType) -> Any:
    """The first argument of the running function, ``self`` in a method."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _line(frame: FrameType) -> Line:
    file, number = frame.f_code.co_filename, frame.f_lineno
    return Line(shown(file), number, linecache.getline(file, number, frame.f_globals).strip())


def shown(file: str) -> str:
    """A file's name for a page that may be given away: below this package or the working folder, or the name alone."""
    path = Path(file)
    for folder in (PACKAGE, Path.cwd()):
        if path.is_absolute() and path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return os.path.basename(file)


@dataclass(frozen=True)
class Source:
    """A function's text, the number of its first line, its file, and the line at which its class begins."""

    file: str
    line: int
    text: str
    first: int


def source_of(module: Module, codes: Counter[CodeType] | None) -> Source | None:
    """The function of ``module`` in which most of its steps are called, or else its ``forward``; None if it is lost."""
    function: Any = codes.most_common(1)[0][0] if codes else type(module).forward
    found, kind = _lines(function), _lines(cast(Any, type(module)))
    if found is None:
        return None
    file, lines, first = found
    return Source(shown(file), first if kind is None else kind[2], _dedented(lines), first)


@cache
def _lines(object_: Any) -> tuple[str, list[str], int] | None:
    """The file of a function or class, its lines, and the number of the first; None if they are lost."""
    try:
        lines, first = inspect.getsourcelines(object_)
        return inspect.getsourcefile(object_) or "", lines, first
    except (OSError, TypeError):
        return None


def _dedented(lines: list[str]) -> str:
    """The lines without the margin of the first one."""
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "".join(line.removeprefix(margin) for line in lines).rstrip()
