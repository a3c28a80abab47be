"""``minicnn hw``, for students: what there is to do, how much is done, whether it is right, what the answer is."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..terminal import Painted, fill, painter, table
from ._errors import UsageError, misuse

if TYPE_CHECKING:
    from ..course.manifest import Homework

HELP = "homework: list it, check a task, see how far you are, read the solution"
WATCH_SECONDS = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    parser.usage = "minicnn hw list | status | check TASK [--watch] | solution TASK"
    parser.add_argument("verb", choices=("list", "status", "check", "solution"), help="what to do")
    parser.add_argument("name", nargs="?", metavar="TASK", help="a task or a whole homework, e.g. hw4.2 or hw4")
    parser.add_argument("--impl", default="assignments", metavar="DIR", help="whose work (default: assignments)")
    parser.add_argument("--watch", action="store_true", help="check again whenever a file is saved")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    if args.watch and args.verb != "check":
        raise UsageError(f"--watch goes with `minicnn hw check`, not with `hw {args.verb}`")
    if args.verb in ("check", "solution") and args.name is None:
        raise UsageError(f"which task? For example `minicnn hw {args.verb} hw4.2`; `minicnn hw list` names them")
    with misuse():
        chosen = _chosen(args.name)
        if args.verb in ("status", "check"):
            _ready()
            args.impl = _impl(args.impl)
    return {"list": _list, "status": _status, "check": _check, "solution": _solution}[args.verb](chosen, args)


def _ready() -> None:
    """Raises FileNotFoundError outside of a course, UsageError without pytest."""
    from ..course.build import course_root

    course_root()
    if importlib.util.find_spec("pytest") is None:
        raise UsageError('pytest is missing: pip install -e ".[student]"')


def _impl(given: str) -> str:
    """The folder of ``--impl`` for a process that runs at the top of the course: as given, if that works there."""
    from ..course.build import course_root

    here, there = Path(given).expanduser(), course_root() / given
    if not (here.is_dir() or there.is_dir()):
        raise UsageError(f"--impl: there is no folder {given!r}, neither here nor in {course_root()}")
    return given if there.is_dir() else str(here.resolve())


def _chosen(name: str | None) -> list[Homework]:
    """The homework that is meant: all of it, or the one that ``name`` belongs to."""
    from ..course.build import course_root
    from ..course.edition import EDITION
    from ..course.manifest import all_homework, find_task, homework

    if name is None:
        everything = list(all_homework())
        return [each for each in everything if (course_root() / each.tests).is_file()] if EDITION else everything
    return [find_task(name)[0] if "." in name else homework(name)]


def _list(chosen: list[Homework], args: argparse.Namespace) -> int:
    for owner in chosen:
        print(fill(f"{owner.id}  {owner.title}  ({', '.join(owner.lecture)}; {owner.handout})", hang="     "))
        rows = [(task.id, f"{task.points} points", f"{task.minutes} min", task.title) for task in owner.tasks]
        print(*table(rows, "<>><", "  "), sep="\n")
    return 0


def _status(chosen: list[Homework], args: argparse.Namespace) -> int:
    from ..course.execution import State
    from ..course.judging import state_of_task
    from ..course.results import COLORS

    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        tests = [owner.tests for owner in chosen]
        done = _pytest([*tests, "-q", "--tb=no", f"--result={result}"], args, capture=True)
        if not result.exists():
            said = (done.stderr or done.stdout).decode(errors="replace")  # in whatever encoding
            raise RuntimeError(f"pytest could not run: {said.strip()}")
        outcome = json.loads(result.read_text(encoding="utf-8"))
    rows = []
    for owner in outcome["homework"]:
        states = [State(task["state"]) for task in owner["tasks"]]
        summary = ", ".join(f"{states.count(state)} {state.lower()}" for state in dict.fromkeys(states))
        worst = state_of_task(states)
        rows.append(
            (owner["id"], f"{owner['points']}/{owner['max_points']}", owner["title"], Painted(summary, COLORS[worst]))
        )
    print(*table(rows, "<><<", paint=painter()), sep="\n")
    return 0


def _check(chosen: list[Homework], args: argparse.Namespace) -> int:
    owner = chosen[0]
    command = [owner.tests, "-q", "--no-header", "--disable-warnings", f"--task={args.name}"]
    if not args.watch:
        return 1 if _pytest(command, args).returncode else 0
    from ..course.build import course_root

    folder = course_root() / args.impl / owner.folder
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    seen: dict[str, tuple[int, ...]] | None = None
    while True:
        now = _saved(folder)
        if now != seen:
            time.sleep(WATCH_SECONDS / 3)  # an editor may still be replacing the file
            seen = _saved(folder)
            print(f"\n--- {time.strftime('%H:%M:%S')}  {args.name} in {folder} (Ctrl-C ends)", flush=True)
            _pytest(command, args)
        time.sleep(WATCH_SECONDS)


def _saved(folder: Path) -> dict[str, tuple[int, ...]]:
    """The Python files of a folder, with a stamp that changes when one is saved. Hidden ones are an editor's own."""
    found: dict[str, tuple[int, ...]] = {}
    for path in folder.glob("[!.]*.py"):
        with suppress(FileNotFoundError):  # removed since it was listed: it is being saved
            stat = path.stat()
            found[path.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def _solution(chosen: list[Homework], args: argparse.Namespace) -> int:
    import ast

    from ..course.edition import EDITION
    from ..course.holes import find
    from ..course.manifest import reference_path

    owner = chosen[0]
    if EDITION and EDITION.is_cut(owner.id):
        raise UsageError(f"the solution of {owner.id} comes when the homework is over: it is not in this edition")
    tasks = [owner.task(args.name)] if "." in args.name else list(owner.tasks)
    for task in tasks:
        print(f"# {task.id} {task.title}; explained in solutions/{owner.folder}/README.md")
        for hole in task.holes:
            path = reference_path(owner.modules[hole.stem])
            source = path.read_text(encoding="utf-8")
            node = find(ast.parse(source), hole.qualname)
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            print(f"\n# {owner.modules[hole.stem]}, line {first}")
            print("\n".join(source.splitlines()[first - 1 : node.end_lineno]))
        print()
    return 0


def _pytest(
    arguments: list[str], args: argparse.Namespace, capture: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run pytest at the top of the course, in a separate process, because a student's code may break it.

    Hypothesis's plugin is left out: it would import Hypothesis, which takes longer than the check of a task.
    """
    from ..course.build import course_root

    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *arguments, f"--impl={args.impl}"]
    environment = {**os.environ, "NO_COLOR": "1"} if capture else None
    return subprocess.run(command, cwd=course_root(), env=environment, capture_output=capture)
