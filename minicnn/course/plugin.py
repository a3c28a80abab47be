"""The autograder as a pytest plugin: ``pytest tests/test_resnet.py`` grades ``assignments/hw4_resnet``.

``pyproject.toml`` names this module. A test made by ``checks.points`` asks for the fixture ``grade``; the verdict
replaces pytest's traceback, and a table per homework ends the run. The student's code runs in another process
(``supervision``), or with ``--here`` in this one, where a debugger can look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from ..terminal import fill
from .checks import Check
from .execution import State
from .grader import Grader, folder_under_test
from .judging import Verdict
from .manifest import find_task, homework_ids, public_seed
from .results import CheckResult, by_homework, collected, table, write

# What a state is called in pytest's counts, its letter, and its word in a verbose run. Failures are shown in full, the
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
CHOSEN = pytest.StashKey[Iterable[CheckResult]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the autograder."""
    group = parser.getgroup("homework")
    group.addoption("--impl", default="assignments", metavar="DIR", help="grade the homework in DIR (assignments)")
    group.addoption("--task", metavar="ID", help="only this task or homework, e.g. hw4.2 or hw4")
    group.addoption("--case", type=int, metavar="N", help="only case N of each check")
    group.addoption("--case-seed", type=int, default=public_seed(), metavar="S", help="draw the cases from S")
    group.addoption("--here", action="store_true", help="run the student's code in this process, for a debugger")
    group.addoption("--result", metavar="FILE", help="write the result of the homework to FILE as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything runs."""
    folder_under_test(config)
    if task := config.getoption("task"):
        try:
            known = task in homework_ids() or find_task(task)
        except ValueError as error:
            raise pytest.UsageError(f"--task: {error}") from error
        assert known


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the checks of the task that was asked for, and those that have the case that was asked for."""
    task, case = config.getoption("task"), config.getoption("case")
    if task is not None:
        _keep(config, items, lambda item: _belongs(_check(item), task))
    if case is not None:
        sizes = {check.name: check.size for item in items if (check := _check(item))}
        _keep(config, items, lambda item: 0 <= case < sizes.get(getattr(_check(item), "name", ""), 0))
        if not items:
            ranges = ", ".join(f"{name} has cases 0 to {size - 1}" for name, size in list(sizes.items())[:3])
            raise pytest.UsageError(f"--case {case}: {ranges or 'no check was chosen'}")


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which checks are to run, so that none is missing from the table."""
    checks = [check for item in session.items if (check := _check(item))]
    if len(checks) == len(session.items):  # Hypothesis would be imported in the end only to say that it did nothing
        session.config.pluginmanager.unregister(name="hypothesispytest")
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
            report.longrepr = "\n".join(map(_in_columns, verdict.message.splitlines()))
    mistake = verdict.mistake.name if verdict.mistake else None
    report.homework = asdict(
        CheckResult(
            check.task_id, check.name, check.what, verdict.points, check.points, str(verdict.state),
            verdict.message, verdict.case, mistake, verdict.blocked_by or None,
        )
    )  # fmt: skip
    return report


def _in_columns(line: str) -> str:
    """A line of a verdict for a terminal; a command and an address stay on one line, so that they can be copied."""
    return line if line.startswith(("  again:", "  read:")) else fill(line)


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
    impl, markup = config.getoption("impl"), config.get_terminal_writer().markup
    if results:
        terminalreporter.section("homework")
        for owner, tasks in by_homework(results).items():
            for line in table(owner, tasks, impl, lambda text, color: markup(text, **{color: True})):
                terminalreporter.write_line(line)
    if path := config.getoption("result"):
        write(path, results, impl, config.getoption("case_seed"))
        terminalreporter.write_line(f"result written to {path}")
