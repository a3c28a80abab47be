"""What a batch leaves: a file for each submission, under a key of all that it depends on, and ``batch.json``.

A file is written whole, and never again: a batch that was stopped goes on with those that are missing, and what is
graded anew under other circumstances has another key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import minicnn

from ...serialization.atomic import replacing
from ..checks import checks_of
from ..manifest import PACKAGE, Homework
from ..results import CheckResult, as_json
from .marking import Seeds
from .submissions import Submission

SCHEMA, BATCH = "minicnn/grade/1", "minicnn/grade-batch/1"
KEY_SHOWN = 12  # hexadecimal digits in a file's name


def digest(files: Mapping[str, bytes]) -> str:
    """Of the content of a submission."""
    text = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            text.update(len(part).to_bytes(8, "little") + part)
    return text.hexdigest()


@cache
def _code() -> str:
    """Of all that grades."""
    paths = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in (".py", ".toml")]
    return digest({path.relative_to(PACKAGE).as_posix(): path.read_bytes() for path in paths})


def key(submission: Submission, owner: Homework, seeds: Seeds, others: Sequence[str] = ()) -> str:
    """Of the submission, the homework, its cases, and the code that grades.

    Args:
        others: what else the result depends on.
    """
    tests = {str(check.file): check.file.read_bytes() for task in owner.tasks for check in checks_of(task.id)}
    holes = [str(hole) for hole in owner.holes()]
    parts = [submission.student, digest(submission.files), owner.id, holes, digest(tests), _code(), np.__version__]
    return hashlib.sha256(repr([*parts, seeds, *others]).encode()).hexdigest()


def path(out: Path, submission: Submission, name: str) -> Path:
    """Where the result with the key ``name`` lies."""
    return out / "results" / f"{submission.student}--{name[:KEY_SHOWN]}.json"


def result(
    submission: Submission, owner: Homework, checks: Sequence[CheckResult], name: str, sandbox: str, seconds: float
) -> dict[str, Any]:
    """One submission's result."""
    (graded,) = as_json(checks, "")["homework"]
    return {
        "schema": SCHEMA,
        "homework": owner.id,
        "title": owner.title,
        "minicnn": minicnn.__version__,
        "sandbox": sandbox,
        "key": name,
        "student": {"id": submission.student, "name": submission.name, "ids": dict(submission.ids)},
        "submission": {
            "digest": digest(submission.files),
            "submitted_at": submission.submitted_at,
            "source": submission.source,
            "notes": list(submission.notes),
            "flags": [],
        },
        "points": graded["points"],
        "max_points": graded["max_points"],
        "seconds": round(seconds, 2),
        "tasks": graded["tasks"],
        "own_stack": None,
    }


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file of the batch, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(file) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "backslashreplace"))


def read(file: Path, name: str) -> dict[str, Any] | None:
    """The result with the key ``name``, if it is there and whole."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("key") == name else None


def keep(out: Path, submission: Submission) -> Path:
    """Write what was handed in, as it is graded: ``report`` compares it. Returns its folder."""
    folder = out / "submissions" / submission.student
    for name, content in submission.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder / name) as temporary:
            Path(temporary).write_bytes(content)
    for file in folder.iterdir():
        if file.is_file() and file.name not in submission.files:
            file.unlink()  # of an earlier submission
    return folder
