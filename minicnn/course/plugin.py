"""The autograder as a pytest plugin: ``pytest tests/test_resnet.py`` grades ``assignments/hw4_resnet``.

``pyproject.toml`` names this module. A test made by ``checks.points`` asks for the fixture ``grade``; the verdict
replaces pytest's traceback, and a table per homework ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from .checks import Check
from .execution import State, execute
from .judging import Verdict, judge
from .loading import Modules, student_modules
from .manifest import find_task, homework_ids
from .naming import identify
from .results import CheckResult, by_homework, table, write

# What a state is called in pytest's counts, its letter, and its word in a verbose run. WRONG, ERROR and TIMEOUT are
# failures, told in full; the others are told by the table alone.
SHOWN = {
    State.PASS: ("passed", ".", "PASS"),
    State.WRONG: ("failed", "F", "WRONG"),
    State.ERROR: ("failed", "F", "ERROR"),
    State.TIMEOUT: ("failed", "F", "TIMEOUT"),
    State.IMPORT_ERROR: ("not importable", "i", "IMPORT ERROR"),
    State.NOT_ATTEMPTED: ("not attempted", "-", "NOT ATTEMPTED"),
    State.BLOCKED: ("blocked", "b", "BLOCKED"),
}


class NotPassed(Exception):
    """Carries the verdict on a check from the test to the report."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the autograder."""
    group = parser.getgroup("homework")
    group.addoption("--impl", default="assignments", metavar="DIR", help="grade the homework in DIR (assignments)")
    group.addoption("--task", metavar="ID", help="only this task or homework, e.g. hw4.2 or hw4")
    group.addoption("--case", type=int, metavar="N", help="only case N of each check")
    group.addoption("--case-seed", type=int, default=0, metavar="S", help="draw the cases from another seed")
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
    """Keep the checks of the task that was asked for."""
    if task := config.getoption("task"):
        kept = [item for item in items if _belongs(_check(item), task)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _check(item: pytest.Item) -> Check | None:
    return getattr(getattr(item, "function", None), "check", None)


def _belongs(check: Check | None, name: str) -> bool:
    return check is not None and name in (check.task_id, check.task_id.partition(".")[0])


@pytest.fixture(scope="session")
def grade(pytestconfig: pytest.Config) -> Callable[[Check], None]:
    """Grade one check; raises ``NotPassed`` unless it passes."""
    impl = _impl(pytestconfig)
    seed, only = pytestconfig.getoption("case_seed"), pytestconfig.getoption("case")
    loaded: dict[str, Modules] = {}

    def grade(check: Check) -> None:
        owner = check.homework
        if owner.id not in loaded:
            loaded[owner.id] = student_modules(owner, impl)
        verdict = judge(check, loaded[owner.id], impl, seed, only)
        if verdict.state in (State.WRONG, State.ERROR):
            verdict = explain(check, verdict, loaded[owner.id], seed, pytestconfig)
        if verdict.state is not State.PASS:
            raise NotPassed(verdict)

    return grade


def explain(check: Check, verdict: Verdict, modules: Modules, seed: int, config: pytest.Config) -> Verdict:
    """The verdict with the name of the mistake, if it is a known one, and the way on."""
    mistake = identify(check, [execute(check, modules, case) for case in check.draw(seed)], seed)
    lines = [verdict.message]
    if mistake is not None:
        known = f"This is a known mistake, {mistake.name}: " if mistake.planted else ""
        lines += [f"  {known}{mistake.diagnosis}", *([f"  Hint: {mistake.hint}"] if mistake.hint else [])]
    options = "" if config.getoption("impl") == "assignments" else f" --impl {config.getoption('impl')}"
    options += f" --case-seed {seed}" if seed else ""
    lines.append(f"  again: pytest {check.homework.tests}::{check.name} --case {verdict.case}{options}")
    lines.append(f"  read:  {check.homework.handout}{check.task.anchor}")
    return Verdict(verdict.state, verdict.points, "\n".join(lines), verdict.case, mistake, verdict.blocked_by)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Put the verdict on the report in place of a traceback."""
    report = yield
    check = _check(item)
    if check is None or call.when != "call":
        return report
    if call.excinfo is None:
        verdict = Verdict(State.PASS, check.points)
    elif isinstance(call.excinfo.value, NotPassed):
        verdict = call.excinfo.value.verdict
        report.longrepr = verdict.message
    else:
        return report  # the check itself is at fault: pytest tells it in full
    mistake = verdict.mistake.name if verdict.mistake else None
    report.homework = asdict(
        CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            verdict.message, verdict.case, mistake, verdict.blocked_by or None,
        )
    )  # fmt: skip
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The state in pytest's counts."""
    homework = getattr(report, "homework", None)
    return SHOWN[State(homework["state"])] if homework else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The tables, and the JSON file."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    reports = [report for report in reports if getattr(report, "homework", None)]
    reports.sort(key=lambda report: report.location[1] or 0)  # as the file has them: workers finish in any order
    results = [CheckResult(**report.homework) for report in reports]
    impl = config.getoption("impl")
    if results:
        terminalreporter.section("homework")
        for owner, tasks in by_homework(results).items():
            for line in table(owner, tasks, impl):
                terminalreporter.write_line(line)
    if path := config.getoption("result"):
        write(path, results, impl, config.getoption("case_seed"))
        terminalreporter.write_line(f"result written to {path}")
