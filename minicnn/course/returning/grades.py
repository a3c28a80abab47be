"""A folder of grades: ``batch.json``, which lists the class, and one result for each graded submission."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...errors import FileFormatError
from .guarding import plain

BATCH, RESULT = "minicnn/grade-batch/1", "minicnn/grade/1"
PASS = "PASS"
T = TypeVar("T")


class LatePolicy(Protocol):
    """What lateness costs: the points that are left, what was taken off, and the sentence that says so."""

    def apply(
        self, points: float, max_points: float, submitted_at: str, extension: Any
    ) -> tuple[float, float, str]: ...


@dataclass(frozen=True)
class Check:
    """One check of a task, and ``what`` it checks. ``hidden``: it failed, but only on cases that are not shown."""

    test: str
    what: str
    points: float
    max_points: float
    state: str
    hidden: bool
    message: str
    mistake: str | None

    @property
    def told(self) -> str:
        """What the student reads about it: of a hidden check the property and nothing else, whatever the message is."""
        if self.state == PASS:
            return ""
        return f"Fails on cases that are not shown: {plain(self.what)}." if self.hidden else plain(self.message)


@dataclass(frozen=True)
class Task:
    """One task, with its checks."""

    id: str
    title: str
    points: float
    max_points: float
    state: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Result:
    """The grade of one submission. ``late`` is what lateness took off, ``written`` the points of written questions."""

    student: str
    name: str
    ids: Mapping[str, str]
    submitted_at: str
    digest: str
    key: str
    source: str
    notes: tuple[str, ...]
    flags: tuple[str, ...]
    points: float
    max_points: float
    seconds: float
    tasks: tuple[Task, ...]
    own_stack: Mapping[str, Any] | None = None
    late: float = 0
    late_sentence: str = ""
    written: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # question -> points, of how many

    @property
    def total(self) -> float:
        """All points: the checks', less what lateness costs, and the written questions'."""
        return self.points - self.late + sum(points for points, _ in self.written.values())

    @property
    def max_total(self) -> float:
        return self.max_points + sum(most for _, most in self.written.values())

    @property
    def checks(self) -> Iterator[tuple[Task, Check]]:
        return ((task, check) for task in self.tasks for check in task.checks)


@dataclass(frozen=True)
class Ungraded:
    """Somebody without a grade: ``refused``, ``infrastructure`` or ``missing``, and why."""

    student: str
    state: str
    why: str = ""
    name: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grades:
    """A class: ``void`` says why no grade of the batch may be used, and is empty if they may."""

    homework: str
    title: str
    max_points: float
    sandbox: str
    void: str
    results: tuple[Result, ...]
    ungraded: tuple[Ungraded, ...]
    variant: str = ""
    hidden: bool = False  # whether there were hidden cases

    @property
    def max_total(self) -> float:
        """The most that somebody can have, the written questions included."""
        return max((result.max_total for result in self.results), default=self.max_points)


def read(folder: str | Path) -> Grades:
    """Read a folder of grades.

    Raises:
        FileNotFoundError: if it has no ``batch.json``, or not a result that this lists.
        FileFormatError: for a file that is damaged, or of something else.
    """
    root = Path(folder)
    if not (root / "batch.json").is_file():
        raise FileNotFoundError(f"{root}: expected a folder that `minicnn grade` wrote, with a batch.json in it")
    batch = _Entry(_load(root / "batch.json", BATCH), "batch.json")
    homework = batch.get("homework", str)
    results = []
    for student, place in batch.get("graded", dict).items():
        path = (root / str(place)).resolve()
        if root.resolve() not in path.parents or student in ("", ".", "..") or set(student) & set("/\\\0"):
            raise FileFormatError(
                f"batch.json: graded: expected a name and a file below {root}, got {student!r}: {place!r}"
            )
        entry = _Entry(_load(path, RESULT), str(place))
        result = _result(entry)
        for what, expected, got in (
            ("homework", homework, entry.get("homework", str)),
            ("student", student, result.student),
        ):
            if expected != got:
                raise FileFormatError(f"{place}: expected the {what} {expected!r}, as in batch.json, got {got!r}")
        results.append(result)
    ungraded = [
        Ungraded(e.get("student", str), state, e.get("why", str), e.get("name", str, ""), e.get("ids", dict, {}))
        for state in ("refused", "infrastructure")
        for e in batch.entries(state)
    ]
    ungraded += [Ungraded(str(student), "missing") for student in batch.get("missing", list)]
    return Grades(
        homework,
        batch.get("title", str),
        batch.number("max_points"),
        batch.get("sandbox", str),
        batch.get("void", str),
        tuple(sorted(results, key=lambda result: result.student)),
        tuple(ungraded),
        batch.get("variant", str, ""),
        batch.entry("case_seeds").get("hidden", bool),
    )


def with_lateness(grades: Grades, policy: LatePolicy, extensions: Mapping[str, Any] | None = None) -> Grades:
    """The grades after a late policy; ``extensions`` maps students to what the policy takes as an extension."""

    def late(result: Result) -> Result:
        extension = (extensions or {}).get(result.student)
        left, _, sentence = policy.apply(result.points, result.max_points, result.submitted_at, extension)
        return replace(result, late=result.points - left, late_sentence=sentence)

    return replace(grades, results=tuple(map(late, grades.results)))


def _load(path: Path, schema: str) -> dict[str, Any]:
    def refuse(word: str) -> float:
        raise ValueError(f"{word} is no number")

    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path.name}: expected JSON, {error}") from error
    if not isinstance(data, dict) or data.get("schema") != schema:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise FileFormatError(f"{path.name}: expected the schema {schema!r}, got {found!r}")
    return data


class _Entry:
    """A JSON object whose values are read with their types; errors name the file and the key."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self.data.get(key, default)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise FileFormatError(f"{self.where}: {key}: expected {kind.__name__}, got {value!r:.80}")
        return value

    def number(self, key: str, most: float = 1e9) -> float:
        """A number of points or seconds, from 0 to ``most``."""
        value = self.data.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= most:
            raise FileFormatError(f"{self.where}: {key}: expected a number from 0 to {most:g}, got {value!r:.80}")
        return value

    def entries(self, key: str) -> list[_Entry]:
        values = self.get(key, list)
        if not all(isinstance(value, dict) for value in values):
            raise FileFormatError(f"{self.where}: {key}: expected a list of objects, got {values!r:.80}")
        return [_Entry(value, f"{self.where}: {key}[{number}]") for number, value in enumerate(values)]

    def entry(self, key: str) -> _Entry:
        return _Entry(self.get(key, dict), f"{self.where}: {key}")

    def texts(self, key: str) -> Any:
        return tuple(map(str, self.get(key, list)))

    def text_or_none(self, key: str) -> str | None:
        return None if self.data.get(key) is None else self.get(key, str)


def _result(entry: _Entry) -> Result:
    student, submission, most = entry.entry("student"), entry.entry("submission"), entry.number("max_points")
    return Result(
        student=student.get("id", str),
        name=student.get("name", str),
        ids={str(key): str(value) for key, value in student.get("ids", dict).items()},
        submitted_at=submission.get("submitted_at", str),
        digest=submission.get("digest", str),
        key=entry.get("key", str),
        source=submission.get("source", str),
        notes=submission.texts("notes"),
        flags=submission.texts("flags"),
        points=entry.number("points", most),
        max_points=most,
        seconds=entry.number("seconds"),
        tasks=tuple(map(_task, entry.entries("tasks"))),
        own_stack=None if entry.data.get("own_stack") is None else _own_stack(entry.entry("own_stack")),
    )


def _own_stack(entry: _Entry) -> dict[str, Any]:
    first = entry.text_or_none("first_divergence")
    return {"points": entry.number("points"), "with": entry.texts("with"), "first_divergence": first}


def _task(entry: _Entry) -> Task:
    most = entry.number("max_points")
    title, points, state = entry.get("title", str), entry.number("points", most), entry.get("state", str)
    return Task(entry.get("id", str), title, points, most, state, tuple(map(_check, entry.entries("checks"))))


def _check(entry: _Entry) -> Check:
    most = entry.number("max_points")
    return Check(
        test=entry.get("test", str),
        what=entry.get("property", str),
        points=entry.number("points", most),
        max_points=most,
        state=entry.get("state", str),
        hidden=entry.get("hidden", bool, False),
        message=entry.get("message", str),
        mistake=entry.text_or_none("mistake"),
    )
