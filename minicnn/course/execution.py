"""One driver on one case: what it answered, or what went wrong on the way."""

from __future__ import annotations

import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Any

import numpy as np

import minicnn

from .checks import Case, Check
from .comparison import Answers, as_answers
from .drivers import CASE_DTYPE, Unusable
from .loading import Modules, Unloadable

CPU_SECONDS = 10.0  # a case takes milliseconds; a loop that ends takes less than this
WALL_FACTOR = 4  # on a busy machine, and for code that sleeps


class State(StrEnum):
    """What became of a check or a task."""

    PASS = "PASS"
    WRONG = "WRONG"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    IMPORT_ERROR = "IMPORT ERROR"
    NOT_ATTEMPTED = "NOT ATTEMPTED"
    BLOCKED = "BLOCKED"


#: A task is what the worst of its checks is.
SEVERITY = (
    State.IMPORT_ERROR, State.ERROR, State.TIMEOUT, State.WRONG, State.NOT_ATTEMPTED, State.BLOCKED, State.PASS,
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A driver that did not get to its answers. ``kind`` and ``text`` are the exception's; ``frames`` the student's."""

    state: State
    text: str
    kind: str = ""
    frames: tuple[str, ...] = ()
    unwritten: str = ""  # the task whose stub was called


Outcome = Answers | Failure


class _TimeIsUp(BaseException):
    """Raised by the alarm; no ``except Exception`` stops it."""


def execute(check: Check, modules: Modules, case: Case) -> Outcome:
    """Run the driver of ``check`` on ``modules``, on copies of the values of ``case``."""
    needed = {stem: modules[stem] for stem in check.stems}
    for module in needed.values():
        if isinstance(module, Unloadable):
            return Failure(State.IMPORT_ERROR, module.message, "ImportError")
    given = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    files = {str(module.__file__) for module in needed.values() if isinstance(module, ModuleType)}
    minicnn.manual_seed(0)
    token = CASE_DTYPE.set(_float_dtype(case))
    try:
        with _deadline(), np.errstate(all="ignore"):
            answers = as_answers(check.driver(**needed, **given))
    except _TimeIsUp:
        return Failure(State.TIMEOUT, f"it was stopped after {CPU_SECONDS:g} s of computing", "Timeout")
    except Unusable as error:
        return Failure(State.WRONG, str(error), "Unusable")
    except NotImplementedError as error:
        unwritten = re.match(r"(hw\d+\.\d+) ", str(error))
        if unwritten:
            return Failure(State.BLOCKED, str(error), "NotImplementedError", unwritten=unwritten[1])
        return _error(error, files)
    except Exception as error:
        return _error(error, files)
    finally:
        CASE_DTYPE.reset(token)
    if changed := [name for name, value in case.items() if not _equal(value, given[name])]:
        return Failure(
            State.WRONG, f"the argument {', '.join(changed)} was written into: compute in a new array", "Write"
        )
    return answers


def _error(error: Exception, files: set[str]) -> Failure:
    """An exception, with the frames that lie in the module under test.

    Without any, the code under test has returned, and what it gave was of no use to the driver: that is a wrong answer.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    told = tuple(f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames)
    text, kind = str(error).split("\n")[0], type(error).__name__
    if told:
        return Failure(State.ERROR, text, kind, told)
    return Failure(State.WRONG, f"what came back could not be used ({kind}: {text})", kind)


def _float_dtype(case: Case) -> str:
    for value in case.values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return value.dtype.name
    return "float64"


def _equal(before: Any, after: Any) -> bool:
    return not isinstance(before, np.ndarray) or np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


@contextmanager
def _deadline() -> Iterator[None]:
    """Raise ``_TimeIsUp`` in the block after ``CPU_SECONDS`` of computing, or four times that by the clock.

    Where signals do not reach (Windows, another thread) the block runs without a limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise _TimeIsUp

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, CPU_SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, None))
    handlers = {name: signal.signal(name, ring) for _, name, _ in timers}
    started = time.monotonic()
    before = [signal.setitimer(timer, seconds or CPU_SECONDS * WALL_FACTOR) for timer, _, seconds in timers]
    try:
        yield
    finally:
        passed = time.monotonic() - started
        for (timer, name, _), (left, interval) in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(name, handlers[name])
            if left:  # somebody else's alarm (pytest-timeout) goes on
                signal.setitimer(timer, max(left - passed, 0.001), interval)
