"""One run of the autograder: checks in workers or in this process, verdicts, and what a student reads of them."""

from __future__ import annotations

import bdb
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from .answers import identify, reference_seconds
from .checks import Check, checks_of
from .execution import Failure, Name, State, execute
from .judging import Verdict, changed_outside, conclude, untouched_holes
from .loading import Modules, student_modules
from .manifest import public_seed
from .supervision import Run, Supervisor

AT_A_TERMINAL = bool(sys.__stdin__ and sys.__stdin__.isatty())  # now: pytest is about to take the keyboard away
DEBUGGER = ("Breakpoint", "BdbQuit")  # what a worker says of code that asks for one


class NotPassed(pytest.fail.Exception):  # type: ignore[name-defined]
    """Carries the verdict on a check from the test to the report; pytest makes no traceback of it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message, pytrace=False)
        self.verdict = verdict


class Grader:
    """Runs the checks of one session, each homework in its own worker, or all in this process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._impl = folder_under_test(config)
        self._seed, self._only = config.getoption("case_seed"), config.getoption("case")
        self._here = config.getoption("here") or config.getoption("usepdb", False) or _is_debugged()
        self._supervisors: dict[str, Supervisor] = {}
        self._loaded: dict[str, Modules] = {}
        self._seen: dict[Check, Run] = {}  # what has run in this session
        self._ahead: dict[Check, Run] = {}  # of that, what ran before its turn, to find a name

    def grade(self, check: Check) -> None:
        """Raises ``NotPassed`` unless the check passes."""
        if self._here:
            self._grade_here(check)
            return
        ahead = self._ahead.pop(check, None) if self._only is None else None
        run = ahead or self._run(check, self._numbers(check))
        self._seen[check] = run
        if AT_A_TERMINAL and any(isinstance(o, Failure) and o.kind in DEBUGGER for o in run.outcomes.values()):
            self._grade_here(check)
            return
        verdict = conclude(check, run.outcomes, self._impl, self._seed)
        _show(run.printed, verdict)
        if verdict.state is State.PASS:
            return
        name = self._name(check, run) if verdict.state in (State.WRONG, State.ERROR) else None
        raise NotPassed(self._explained(check, verdict, name))

    def _grade_here(self, check: Check) -> None:
        owner = check.homework
        if owner.id not in self._loaded:
            self._loaded[owner.id] = student_modules(owner, self._impl)
        cases = check.draw(self._seed)
        for number in self._numbers(check):
            outcome = execute(check, self._loaded[owner.id], cases[number])
            verdict = conclude(check, {number: outcome}, self._impl, self._seed)
            if verdict.state is not State.PASS:
                verdict = self._explained(check, verdict, None)
                if isinstance(verdict.error, Exception):
                    verdict.error.verdict = verdict  # type: ignore[attr-defined]
                    raise verdict.error  # pytest --pdb stops where it was raised
                raise NotPassed(verdict)

    def _numbers(self, check: Check) -> list[int]:
        """Of the cases that were asked for."""
        return list(range(check.size)) if self._only is None else [self._only]

    def _run(self, check: Check, numbers: list[int]) -> Run:
        """Run some cases of a check in the worker of its homework; one worker at a time."""
        owner = check.homework
        if owner.id not in self._supervisors:
            self.close()
            self._supervisors[owner.id] = Supervisor(self._impl / owner.folder)
        cases = check.draw(self._seed)
        chosen = {number: cases[number] for number in numbers}
        begun = not untouched_holes(check, self._impl)  # else the reference will hardly be needed
        return self._supervisors[owner.id].run(check, chosen, lambda: reference_seconds(check, self._seed), begun)

    def _name(self, check: Check, run: Run) -> Name | None:
        """The name of the mistake, by all cases of all checks of the task.

        Those that have not run yet run now, and are not run again when it is their turn: what they print is kept.
        """
        if run.ended is None and len(run.outcomes) < check.size:  # --case
            rest = [number for number in range(check.size) if number not in run.outcomes]
            run = Run({**run.outcomes, **self._run(check, rest).outcomes})
        self._seen[check] = run
        for other in checks_of(check.task_id):
            if other not in self._seen:
                self._seen[other] = self._ahead[other] = self._run(other, list(range(other.size)))
        outcomes = {
            other: [self._seen[other].outcomes[number] for number in range(other.size)]
            for other in checks_of(check.task_id)
            if len(self._seen[other].outcomes) == other.size
        }
        return identify(check, outcomes[check], self._seed, outcomes) if check in outcomes else None

    def close(self) -> None:
        """End the workers."""
        for supervisor in self._supervisors.values():
            supervisor.close()
        self._supervisors.clear()

    def _explained(self, check: Check, verdict: Verdict, name: Name | None) -> Verdict:
        """The verdict with the name of the mistake, if it has one, and the way on."""
        if verdict.state in (State.NOT_ATTEMPTED, State.BLOCKED, State.IMPORT_ERROR):
            return verdict
        lines = [verdict.message]
        if name is not None:
            known = f"This is a known mistake, {name.name}: " if name.planted else ""
            lines += [f"  {known}{name.diagnosis}", *([f"  Hint: {name.hint}"] if name.hint else [])]
        lines += [f"  note:  {note}" for note in changed_outside(check, self._impl)]
        lines.append(f"  again: {self._command(check, verdict)}")
        lines.append(f"  read:  {_from_here(self._config, check.homework.handout)}{check.task.anchor}")
        return replace(verdict, message="\n".join(lines), mistake=name)

    def _command(self, check: Check, verdict: Verdict) -> str:
        """What runs the case again, from the folder where this run was started."""
        words = ["pytest", f"{_from_here(self._config, check.file)}::{check.name}", "--case", str(verdict.case)]
        if (impl := self._config.getoption("impl")) != "assignments":
            words += ["--impl", impl]
        if self._seed != public_seed():
            words += ["--case-seed", str(self._seed)]
        return shlex.join(words)


def _show(printed: dict[int, str], verdict: Verdict) -> None:
    """Print what the student's code printed, up to the case of the verdict: pytest keeps it beside the check."""
    for number, text in printed.items():
        if text:
            print(f"case {number}:\n{text}" if len(printed) > 1 else text)
        if number == verdict.case:
            return


def _is_debugged() -> bool:
    """Whether a debugger is attached to this process; coverage, which traces too, does not count."""
    tracer = sys.gettrace()
    return isinstance(getattr(tracer, "__self__", None), bdb.Bdb) or bool(tracer and "pydevd" in sys.modules)


def _from_here(config: pytest.Config, path: str | Path) -> str:
    """A path of the course as seen from the folder where pytest was started."""
    return os.path.relpath(config.rootpath / path, config.invocation_params.dir)


def folder_under_test(config: pytest.Config) -> Path:
    """The folder under test: as given, or from the top of the checkout."""
    given = Path(config.getoption("impl"))
    for path in (given, config.rootpath / given):
        if path.is_dir():
            return path.resolve()
    if str(given) == "assignments":  # the default: only the homework's tests ask for it
        return config.rootpath / given
    raise pytest.UsageError(f"--impl: there is no folder {str(given)!r}")
