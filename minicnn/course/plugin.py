"""The autograder as a pytest plugin: ``pytest tests/test_resnet.py`` grades ``assignments/hw4_resnet``.

``pyproject.toml`` names this module. A test made by ``checks.points`` asks for the fixture ``grade``; the verdict
replaces pytest's traceback, and a table per homework ends the run. The student's code runs in another process
(``supervision``), or with ``--here`` in this one, where a debugger can look at it.
"""

from __future__ import annotations

import bdb
import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from .checks import Check, checks_of
from .execution import Failure, State, execute
from .judging import Name, Verdict, conclude, reference_seconds, untouched_holes
from .loading import Modules, student_modules
from .manifest import find_task, homework_ids
from .naming import identify
from .results import CheckResult, by_homework, collected, table, write
from .supervision import Run, Supervisor

# What a state is called in pytest's counts, its letter, and its word in a verbose run. Failures are told in full, the
# others by the table alone.
SHOWN = {
    State.PASS: ("passed", ".", "PASS"),
    State.WRONG: ("failed", "F", "WRONG"),
    State.ERROR: ("failed", "F", "ERROR"),
    State.TIMEOUT: ("failed", "F", "TIMEOUT"),
    State.MEMORY: ("failed", "F", "MEMORY"),
    State.CRASH: ("failed", "F", "CRASH"),
    State.IMPORT_ERROR: ("not importable", "i", "IMPORT ERROR"),
    State.NOT_ATTEMPTED: ("not attempted", "-", "NOT ATTEMPTED"),
    State.BLOCKED: ("blocked", "b", "BLOCKED"),
}
AT_A_TERMINAL = bool(sys.__stdin__ and sys.__stdin__.isatty())  # now: pytest is about to take the keyboard away
CHOSEN = pytest.StashKey[Iterable[CheckResult]]()
DEBUGGER = ("Breakpoint", "BdbQuit")  # what a worker says of code that asks for one


class NotPassed(pytest.fail.Exception):  # type: ignore[name-defined]
    """Carries the verdict on a check from the test to the report; pytest makes no traceback of it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message, pytrace=False)
        self.verdict = verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the autograder."""
    group = parser.getgroup("homework")
    group.addoption("--impl", default="assignments", metavar="DIR", help="grade the homework in DIR (assignments)")
    group.addoption("--task", metavar="ID", help="only this task or homework, e.g. hw4.2 or hw4")
    group.addoption("--case", type=int, metavar="N", help="only case N of each check")
    group.addoption("--case-seed", type=int, default=0, metavar="S", help="draw the cases from another seed")
    group.addoption("--here", action="store_true", help="run the student's code in this process, for a debugger")
    group.addoption("--result", metavar="FILE", help="write the result of the homework to FILE as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything runs."""
    _impl(config)
    if task := config.getoption("task"):
        try:
            known = task in homework_ids() or find_task(task)
        except ValueError as error:
            raise pytest.UsageError(f"--task: {error}") from error
        assert known


def _impl(config: pytest.Config) -> Path:
    """The folder under test: as given, or from the top of the checkout."""
    given = Path(config.getoption("impl"))
    for path in (given, config.rootpath / given):
        if path.is_dir():
            return path.resolve()
    if str(given) == "assignments":  # the default: only the homework's tests ask for it
        return config.rootpath / given
    raise pytest.UsageError(f"--impl: there is no folder {str(given)!r}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the checks of the task that was asked for, and those that have the case that was asked for."""
    task, case = config.getoption("task"), config.getoption("case")
    if task is not None:
        _keep(config, items, lambda item: _belongs(_check(item), task))
    if case is not None:
        sizes = {check.name: check.size for item in items if (check := _check(item))}
        _keep(config, items, lambda item: 0 <= case < sizes.get(getattr(_check(item), "name", ""), 0))
        if not items:
            told = ", ".join(f"{name} has cases 0 to {size - 1}" for name, size in list(sizes.items())[:3])
            raise pytest.UsageError(f"--case {case}: {told or 'no check was chosen'}")


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which checks are to run, so that none is missing from the table."""
    checks = [check for item in session.items if (check := _check(item))]
    session.config.stash[CHOSEN] = [
        CheckResult(check.task_id, check.name, check.what, 0, check.points, str(State.NOT_RUN)) for check in checks
    ]


def _check(item: pytest.Item) -> Check | None:
    return getattr(getattr(item, "function", None), "check", None)


def _belongs(check: Check | None, name: str) -> bool:
    return check is not None and name in (check.task_id, check.task_id.partition(".")[0])


@pytest.fixture(scope="session")
def grade(pytestconfig: pytest.Config) -> Iterator[Callable[[Check], None]]:
    """Grade one check; raises ``NotPassed``, or what the student's code raised here, unless it passes."""
    grader = Grader(pytestconfig)
    yield grader.grade
    grader.close()


class Grader:
    """Runs the checks of one session, each homework in its own worker, or all in this process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._impl = _impl(config)
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
        lines.append(f"  again: {self._command(check, verdict)}")
        lines.append(f"  read:  {_from_here(self._config, check.homework.handout)}{check.task.anchor}")
        return replace(verdict, message="\n".join(lines), mistake=name)

    def _command(self, check: Check, verdict: Verdict) -> str:
        """What runs the case again, from the folder where this run was started."""
        words = ["pytest", f"{_from_here(self._config, check.file)}::{check.name}", "--case", str(verdict.case)]
        if (impl := self._config.getoption("impl")) != "assignments":
            words += ["--impl", impl]
        if self._seed:
            words += ["--case-seed", str(self._seed)]
        return shlex.join(words)


def _show(printed: dict[int, str], verdict: Verdict) -> None:
    """Print what the student's code printed, up to the case that is told: pytest keeps it beside the check."""
    for number, text in printed.items():
        if text:
            print(f"case {number}:\n{text}" if len(printed) > 1 else text)
        if number == verdict.case:
            return


def _is_debugged() -> bool:
    """Whether a debugger is attached to this process; coverage, which traces too, is none."""
    tracer = sys.gettrace()
    return isinstance(getattr(tracer, "__self__", None), bdb.Bdb) or bool(tracer and "pydevd" in sys.modules)


def _from_here(config: pytest.Config, path: str | Path) -> str:
    """A path of the course as seen from the folder where pytest was started."""
    return os.path.relpath(config.rootpath / path, config.invocation_params.dir)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Put the verdict on the report in place of a traceback."""
    report = yield
    check = _check(item)
    if check is None or call.when == "teardown" or (call.when == "setup" and call.excinfo is None):
        return report
    verdict = Verdict(State.PASS, check.points)
    if call.excinfo is not None:
        verdict = getattr(call.excinfo.value, "verdict", None) or Verdict(State.ERROR, 0, _told(call.excinfo.value))
        if hasattr(call.excinfo.value, "verdict"):  # else the check itself is at fault: pytest tells it in full
            report.longrepr = verdict.message
    mistake = verdict.mistake.name if verdict.mistake else None
    report.homework = asdict(
        CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            verdict.message, verdict.case, mistake, verdict.blocked_by or None,
        )
    )  # fmt: skip
    return report


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The state in pytest's counts."""
    homework = getattr(report, "homework", None)
    return SHOWN[State(homework["state"])] if homework and report.outcome != "rerun" else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The tables, and the JSON file."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    reports = [report for report in reports if getattr(report, "homework", None)]
    reports.sort(key=lambda report: report.location[1] or 0)  # as the file has them: workers finish in any order
    ran = [(report.nodeid, CheckResult(**report.homework)) for report in reports]
    results = collected(ran, config.stash.get(CHOSEN, ()))
    impl = config.getoption("impl")
    if results:
        terminalreporter.section("homework")
        for owner, tasks in by_homework(results).items():
            for line in table(owner, tasks, impl):
                terminalreporter.write_line(line)
    if path := config.getoption("result"):
        write(path, results, impl, config.getoption("case_seed"))
        terminalreporter.write_line(f"result written to {path}")
