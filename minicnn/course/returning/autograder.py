"""The grader as an archive for a platform that runs it: Gradescope's autograder, and a workflow for GitHub Classroom.

On the platform ``run_autograder`` starts this module, which lets ``minicnn grade`` judge the one submission and writes
``results/results.json``. If anything goes wrong there, that file says so and has no score: a platform that finds none
says that the autograder failed, where a 0 would be a grade.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...serialization.atomic import replacing
from ..build import course_root
from ..manifest import Homework, check_variant
from .formats import github, gradescope
from .formats.form import as_json, write_text
from .grades import Grades, Result, read
from .guarding import plain

TEMPLATES = Path(__file__).parent / "platforms"
PLATFORMS = {
    "gradescope": {"setup.sh": "setup.sh", "run_autograder": "run_autograder"},
    "github": {"setup.sh": "setup.sh", "run_autograder": "run_autograder", "classroom.yml": "classroom.yml"},
}
SCRIPTS = {"setup.sh", "run_autograder"}
SEED = "case-seed"  # the file with the secret of the hidden cases
SECONDS = 9 * 60  # Gradescope's own limit is 10 minutes, after which nothing could be said any more
WORKFLOW = ("GITHUB_", "ACTIONS_", "RUNNER_")  # variables that are no business of what is graded


def autograder(
    homework: Homework,
    out: str | Path,
    platform: str = "gradescope",
    variant: str = "",
    secret: str = "",
    root: Path | None = None,
) -> Path:
    """Write the archive that a platform takes: its scripts at the top, the course in ``course/``.

    Args:
        variant: this term's name.
        secret: of the hidden cases; none without it. It lies in a file of its own in the archive, which nobody but the
            grader's user may read, and stands on no command line.
        root: the top of the course.

    Raises:
        ValueError: for an unknown platform, and a variant that is no name.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"there is no autograder for {platform!r}; expected one of {', '.join(PLATFORMS)}")
    check_variant(variant)
    arguments = ("--variant", variant) if variant else ()
    files: dict[str, bytes] = {}
    for name, template in PLATFORMS[platform].items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        filled = text.replace("@homework@", homework.id).replace("@arguments@", shlex.join(arguments))
        files[name] = filled.replace(" \n", "\n").encode()
    if secret:
        files[SEED] = f"{secret}\n".encode()
    top = root or course_root()
    files |= {f"course/{path.relative_to(top).as_posix()}": path.read_bytes() for path in _course(top, homework)}
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # of 1980, so that the same course makes the same archive
            entry.external_attr = (0o100000 | _mode(name)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def _mode(name: str) -> int:
    return 0o755 if name in SCRIPTS else 0o600 if name == SEED else 0o644


def _course(top: Path, homework: Homework) -> Iterator[Path]:
    """What grading needs: the package with its build file, and the homework's stubs, handout and tests."""
    yield from (top / name for name in ("pyproject.toml", "README.md", "LICENSE", homework.tests))
    yield from (top / "tests" / name for name in ("__init__.py", "conftest.py") if (top / "tests" / name).is_file())
    for folder in (top / "minicnn", top / "assignments" / homework.folder):
        yield from (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


class Failed(RuntimeError):
    """There is no grade, and why; a student may read it."""


def run(root: Path, homework: str, arguments: Sequence[str] = (), command: Callable[..., Any] | None = None) -> int:
    """Grade ``root/submission`` and write ``root/results/results.json``; the exit status is 0 if there is a grade.

    Args:
        command: what runs ``minicnn grade`` instead, with the arguments of ``subprocess.run``.
    """
    place = root / "results" / "results.json"
    try:
        result = _grade(root, homework, arguments, command or subprocess.run)
        text = gradescope.text(result)
        _tell_github(result)
    except Exception as error:  # whatever it is, the platform has to be told; what may hold a secret seed is not
        why = str(error) if isinstance(error, Failed) else f"{type(error).__name__}, see the log"
        print(f"minicnn: {why}", file=sys.stderr)
        write_text(place, as_json(gradescope.failed(why)))
        return 1
    write_text(place, text)
    return 0


def _grade(root: Path, homework: str, arguments: Sequence[str], command: Callable[..., Any]) -> Result:
    who = _metadata(root / "submission_metadata.json")
    with tempfile.TemporaryDirectory() as room:
        handed_in, out = Path(room) / "submissions", Path(room) / "grades"
        no_git = shutil.ignore_patterns(".git", ".github")
        shutil.copytree(root / "submission", handed_in / "submission", symlinks=True, ignore=no_git)
        argv = [
            sys.executable,
            "-P",
            "-m",
            "minicnn",
            "grade",
            str(handed_in),
            "--homework",
            homework,
            "--out",
            str(out),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(WORKFLOW)}
        try:
            done = command(
                [*argv, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"it took longer than {SECONDS} seconds") from None
        _log(f"{done.stdout}\n{done.stderr}")
        if not (out / "batch.json").is_file():
            raise Failed(f"`minicnn grade` ended with status {done.returncode} and wrote no grades")
        result = _only(read(out))
    return replace(result, name=who.get("name", result.name), submitted_at=who.get("created_at", result.submitted_at))


def _log(text: str) -> None:
    """Print it; a workflow takes no command from it."""
    mark = secrets.token_hex(16)
    framed = f"::stop-commands::{mark}\n{plain(text)}\n::{mark}::" if "GITHUB_OUTPUT" in os.environ else plain(text)
    print(framed, flush=True)


def _only(grades: Grades) -> Result:
    if grades.void:
        raise Failed(f"the grader found itself at fault: {grades.void}")
    if len(grades.results) != 1:
        why = "; ".join(each.why for each in grades.ungraded if each.why) or "there is no submission of this homework"
        raise Failed(why)
    return grades.results[0]


def _metadata(path: Path) -> dict[str, str]:
    """What Gradescope says of the submission: its students' names and its time."""
    if not path.is_file():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    names = ", ".join(str(user.get("name", "")) for user in data.get("users", ()))
    return {"name": names, "created_at": str(data.get("created_at", ""))}


def _tell_github(result: Result) -> None:
    """Put ``result=`` out where a workflow runs; what a student printed has no way there."""
    if place := os.environ.get("GITHUB_OUTPUT"):
        with open(place, "a", encoding="utf-8") as file:
            file.write(github.output_line(result))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
