"""One driver on one case: what it answered, or what went wrong on the way.

A student's code is run by ``worker`` in a process of its own, the reference and ``--here`` run in this one.
"""

from __future__ import annotations

import linecache
import os
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import minicnn

from .checks import Case, Check
from .comparison import Answers, as_answers, same
from .deadline import TimeIsUp
from .drivers import CASE_DTYPE, Unusable
from .loading import Modules, Unloadable

# What a check may cost. ``supervision`` enforces it.
CPU_SECONDS = 5.0  # of computing, where the reference needs milliseconds; as long without computing
REFERENCE_FACTOR = 20  # or this many times what the reference needed, where that is more
WALL_FACTOR = 20  # by the clock, on a busy machine
MEMORY = 4 * 2**30  # bytes, beyond what the process had before; and at most half of what is free
OUTPUT = 32 * 2**20  # bytes that it may print

FRAMES = 6  # of a student's, that are shown; an endless recursion has a thousand
TEXT = 400  # characters of an exception's message that are shown


class State(StrEnum):
    """What became of a check or a task."""

    PASS = "PASS"
    WRONG = "WRONG"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    MEMORY = "MEMORY"
    CRASH = "CRASH"
    IMPORT_ERROR = "IMPORT ERROR"
    NOT_ATTEMPTED = "NOT ATTEMPTED"
    BLOCKED = "BLOCKED"
    NOT_RUN = "NOT RUN"


#: A task is what the worst of its checks is.
SEVERITY = (
    State.IMPORT_ERROR, State.CRASH, State.MEMORY, State.ERROR, State.TIMEOUT, State.WRONG, State.NOT_ATTEMPTED,
    State.BLOCKED, State.NOT_RUN, State.PASS,
)  # fmt: skip

#: What became of a check says nothing of the answers.
STOPPED = (State.BLOCKED, State.IMPORT_ERROR, State.TIMEOUT, State.MEMORY, State.CRASH, State.NOT_ATTEMPTED)


@dataclass(frozen=True)
class Failure:
    """A driver that did not get to its answers. ``kind`` and ``text`` are the exception's; ``frames`` the student's."""

    state: State
    text: str
    kind: str = ""
    frames: tuple[str, ...] = ()
    unwritten: str = ""  # the task whose stub was called
    error: BaseException | None = field(default=None, compare=False)  # where the driver ran in this process


Outcome = Answers | Failure


@dataclass(frozen=True)
class Name:
    """What a wrong answer is called. ``planted``: whether by a planted mistake's name, or by a sentence of a mutant."""

    name: str
    diagnosis: str
    hint: str
    planted: bool


def execute(check: Check, modules: Modules, case: Case) -> Outcome:
    """Run the driver of ``check`` on ``modules``, on copies of the values of ``case``.

    Whatever the code under test raises becomes a ``Failure``, but for the user's own Ctrl-C.
    """
    needed = {stem: modules[stem] for stem in check.stems}
    for module in needed.values():
        if isinstance(module, Unloadable):
            return Failure(State.IMPORT_ERROR, module.message, "ImportError")
    given = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    minicnn.manual_seed(0)
    token = CASE_DTYPE.set(_float_dtype(case))
    try:
        with np.errstate(all="ignore"):
            answers = as_answers(check.driver(**needed, **given))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return failure(error, needed)
    finally:
        CASE_DTYPE.reset(token)
    if changed := [name for name, value in case.items() if not _equal(value, given[name])]:
        return Failure(
            State.WRONG, f"the argument {', '.join(changed)} was written into: compute in a new array", "Write"
        )
    return answers


def failure(error: BaseException, needed: Modules) -> Failure:
    """What an exception says, with those of its frames that lie beside the modules under test.

    Without any, the code under test has returned, and the driver could not use its result: that is a wrong answer.
    """
    text, kind = _text(error), type(error).__name__
    if isinstance(error, Unusable):
        return Failure(State.WRONG, text, kind, error=error)
    frames = student_frames(
        [(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)],
        folders(needed),
    )
    if isinstance(error, NotImplementedError) and (unwritten := re.match(r"(hw\d+\.\d+) ", text)):
        return Failure(State.BLOCKED, text, kind, frames, unwritten[1], error)
    if isinstance(error, TimeIsUp):
        return Failure(State.TIMEOUT, text, kind, frames, error=error)
    if isinstance(error, MemoryError):
        return Failure(State.MEMORY, text or "it asked for more memory than there is", kind, frames, error=error)
    if frames or not isinstance(error, Exception):  # exit() and the like are never the driver's
        return Failure(State.ERROR, text, kind, frames, error=error)
    return Failure(State.WRONG, _unusable(error, text, kind, needed), kind, error=error)


def student_frames(frames: Sequence[tuple[str, int, str]], where: Sequence[str]) -> tuple[str, ...]:
    """``file:line in function: code`` for the frames (file, line, function) in one of the folders, not too many."""
    shown = [
        f"{file}:{line} in {function}: {linecache.getline(file, line).strip()}".removesuffix(": ")
        for file, line, function in frames
        if os.path.dirname(file) in where
    ]
    if len(shown) > FRAMES:
        half = FRAMES // 2
        shown[half:-half] = [f"... {len(shown) - FRAMES} more frames ..."]
    return tuple(shown)


def folders(modules: Modules) -> list[str]:
    """The folders of the files under test."""
    files = (module.__file__ for module in modules.values() if isinstance(module, ModuleType))
    return sorted({os.path.dirname(file) for file in files if file})


def _text(error: BaseException) -> str:
    """The first line of an exception's message."""
    try:
        text = str(error)
    except Exception as broken:  # a student's own exception class
        return f"(its message cannot be read: {type(broken).__name__})"
    line = text.partition("\n")[0]
    return line if len(line) <= TEXT else f"{line[:TEXT]} ..."


def _unusable(error: Exception, text: str, kind: str, needed: Modules) -> str:
    """Why a driver could not go on: the function is missing, it takes other arguments, or it gave something odd."""
    if isinstance(error, AttributeError) and any(error.obj is module for module in needed.values()):
        file = Path(str(getattr(error.obj, "__file__", ""))).name
        return f"{file} has no {error.name!r} any more: was it renamed or deleted?"
    if isinstance(error, TypeError) and re.match(r"[\w.<>]+\(\) (takes|missing|got)", text):
        return f"it cannot be called as its docstring says: {text}"
    return f"what came back could not be used ({kind}: {text})"


def _float_dtype(case: Case) -> str:
    for value in case.values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return value.dtype.name
    return "float64"


def _equal(before: Any, after: Any) -> bool:
    return not isinstance(before, np.ndarray) or np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def alike(one: Sequence[Outcome], other: Sequence[Outcome]) -> bool:
    """Whether two implementations did the same in every case: equal answers, or the same failure word for word."""
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, Failure) or isinstance(other, Failure):
        if not isinstance(one, Failure) or not isinstance(other, Failure):
            return False
        return (one.state, one.kind, one.text) == (other.state, other.kind, other.text)
    return same(one, other)
