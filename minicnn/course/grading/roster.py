"""Who is in the class, who has more time, and what lateness costs: three files as teachers have them."""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

# What a column may be called, in any case and with any separators; the first that is filled names the student.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "studentid", "student", "identifier", "rosteridentifier", "matriculationnumber", "studentnumber"),
    "sis": ("sis", "sisid", "sisuserid", "sid", "idnumber"),
    "login": ("login", "loginid", "sislogin", "sisloginid", "username", "user", "netid"),
    "email": ("email", "emailaddress", "mail"),
    "canvas": ("canvas", "canvasid", "canvasuserid"),
    "moodle": ("moodle", "moodleid", "moodleidentifier", "participant"),
    "gradescope": ("gradescope", "gradescopeid"),
    "github": ("github", "githubusername", "githublogin", "githubid"),
    "nbgrader": ("nbgrader", "nbgraderid"),
}
OTHERS = {"name": ("name", "fullname", "studentname"), "first": ("firstname", "givenname", "first", "forename")}
OTHERS |= {"last": ("lastname", "surname", "familyname", "last"), "section": ("section", "group", "sections")}
OTHERS |= {"extension": ("extension", "extensions", "extradays")}
KINDS = {title: kind for kind, titles in {**COLUMNS, **OTHERS}.items() for title in titles}

# Which columns can hold what a platform knows a student by. A number of one platform means nobody on another.
ACCEPTED: Mapping[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in COLUMNS},
    "sis": ("sis", "id"),
    "email": ("email", "login", "id"),
    "github": ("github", "login"),
    "gradescope": ("gradescope", "sis", "id"),
    "nbgrader": ("nbgrader", "login", "id", "sis", "email"),
    "folder": ("id", "login", "sis", "email", "github", "nbgrader"),
}
ENCODINGS = ("utf-8-sig", "cp1252")
RESERVED = r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)"  # what Windows calls its devices
POINTS_ROW = "pointspossible"  # the row below the header of Canvas's gradebook
DAY = 86_400

Extension = int | date  # more days, or the new due date: a datetime is exact, a date lasts until its end


class RosterError(ValueError):
    """A roster, list of extensions or late policy that cannot be read; the message names the file and the place."""


@dataclass(frozen=True)
class Student:
    """One row: ``id`` names the student in the batch and is safe as a file's name, ``ids`` is as the row has it."""

    id: str
    name: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    section: str = ""
    extension: Extension | None = None


@dataclass(frozen=True)
class Roster:
    """The class. ``problems`` says which rows were left out or share what should be theirs alone."""

    students: tuple[Student, ...] = ()
    problems: tuple[str, ...] = ()

    @cached_property
    def _by_id(self) -> dict[tuple[str, str], list[Student]]:
        index: dict[tuple[str, str], list[Student]] = {}
        for student in self.students:
            for column, value in student.ids.items():
                index.setdefault((column, _key(value)), []).append(student)
        return index

    @cached_property
    def _by_name(self) -> dict[str, list[Student]]:
        index: dict[str, list[Student]] = {}
        for student in self.students:
            for name in _spellings(student.name):
                index.setdefault(name, []).append(student)
        return index

    @classmethod
    def read(cls, path: Path) -> Roster:
        """A roster from a CSV file: comma, semicolon or tab, with a header; Canvas's gradebook is one, too.

        Raises:
            RosterError: if there is no header with a column that can name students.
            OSError: if there is no such file.
        """
        students: dict[str, Student] = {}
        problems = []
        for line, row in _table(path):
            student = _student(row, f"{path.name}:{line}")
            if student is None:
                if any(row.values()) and squeezed(row.get("name", "")) != POINTS_ROW:
                    problems.append(f"line {line} names no student and is left out")
            elif student.id in students:
                problems.append(f"line {line}: {student.id} is in the roster already; the first line counts")
            else:
                students[student.id] = student
        roster = cls(tuple(students.values()))
        for (kind, value), owners in roster._by_id.items():
            if owners[1:]:
                problems.append(f"{' and '.join(owner.id for owner in owners)} share the {kind} {value!r}")
        return replace(roster, problems=tuple(problems))

    def match(self, ids: Mapping[str, str], name: str = "") -> tuple[Student | None, str]:
        """The student that a platform knows by ``ids`` and shows as ``name``, and if there is none, a sentence why.

        Ids come first; then the name, whole and in either order, without regard to case, accents and punctuation.
        """
        columns = [(column, _key(value)) for kind, value in ids.items() if value for column in ACCEPTED.get(kind, ())]
        found = [student for each in columns for student in self._by_id.get(each, ())]
        if not found:
            names = {squeezed(name), squeezed(ids.get("folder", ""))} - {""}
            found = [student for each in names for student in self._by_name.get(each, ())]
        people = list(dict.fromkeys(student.id for student in found))
        if len(people) == 1:
            return found[0], ""
        shown = name or ", ".join(ids.values())
        if people:
            return None, f"{shown!r} may be {' or '.join(people)} of the roster"
        return None, f"{shown!r} is not on the roster"

    def student(self, name: str) -> Student:
        """The student of this id. Raises KeyError if there is none."""
        return {student.id: student for student in self.students}[name]

    def missing(self, handed_in: Iterable[str]) -> list[str]:
        """The ids of those who are not among ``handed_in``, in the roster's order."""
        present = set(handed_in)
        return [student.id for student in self.students if student.id not in present]

    def with_extensions(self, path: Path) -> Roster:
        """The same class with more time for some: a CSV (a column that names students, one ``extension``), or a TOML
        file whose keys, at the top or in ``[extensions]``, name students and whose values are days or dates.

        Raises:
            RosterError: for a student who is not on the roster, and for what is neither days nor a date.
        """
        given: dict[str, Extension] = {}
        for where, ids, name, value in _extensions(path):
            student, reason = self.match(ids, name)
            if student is None:
                raise RosterError(f"{where}: {reason}")
            given[student.id] = extension(value, where)
        students = tuple(replace(each, extension=given.get(each.id, each.extension)) for each in self.students)
        return replace(self, students=students)


@dataclass(frozen=True)
class LatePolicy:
    """What lateness costs, for each day that has begun after ``due`` (which has a time zone).

    ``per_day`` is in points, or with ``percent`` in percent of the most there are; up to ``grace_minutes`` late is in
    time; after ``maximum_days`` nothing counts; within them lateness takes nobody below ``floor``, in the same unit.
    """

    due: datetime | None = None
    per_day: float = 0
    percent: bool = False
    grace_minutes: float = 0
    maximum_days: int | None = None
    floor: float = 0

    @classmethod
    def read(cls, path: Path, homework: str = "") -> LatePolicy:
        """A policy from TOML, for one homework: ``due`` is a time, or a table of times by homework.

        ``policy = "points" | "percent" | "none"``, ``due``, ``zone = "Europe/Paris"`` (for a ``due`` without offset),
        ``per_day``, ``grace_minutes``, ``maximum_days``, ``floor``.

        Raises:
            RosterError: for unknown keys, a due date without a time zone, and numbers that are none.
        """
        data = _toml(path)
        known = {"policy", "due", "zone", "per_day", "grace_minutes", "maximum_days", "floor"}
        if unknown := set(data) - known:
            raise RosterError(f"{path.name}: unknown keys {sorted(unknown)}; known are {sorted(known)}")
        policy = data.pop("policy", "points")
        if policy not in ("points", "percent", "none"):
            raise RosterError(f"{path.name}: policy must be 'points', 'percent' or 'none', got {policy!r}")
        if policy == "none":
            return cls()
        zone, due = data.pop("zone", None), data.pop("due", None)
        if isinstance(due, dict):
            due = due.get(homework)
        try:
            if isinstance(due, datetime) and due.tzinfo is None and zone:
                due = due.replace(tzinfo=ZoneInfo(zone))
            elif isinstance(due, datetime) and zone:
                due = due.astimezone(ZoneInfo(zone))
        except (ValueError, KeyError, OSError) as error:
            raise RosterError(f"{path.name}: there is no time zone {zone!r}") from error
        if not isinstance(due, datetime) or due.tzinfo is None:
            raise RosterError(f"{path.name}: expected due{f' of {homework}' * bool(homework)}, a time with its offset")
        if wrong := [key for key, value in data.items() if type(value) not in (int, float) or not 0 <= value < 1e6]:
            raise RosterError(f"{path.name}: {wrong[0]} must be a number, not negative, got {data[wrong[0]]!r}")
        return cls(due, percent=policy == "percent", **data)

    def apply(
        self, points: float, max_points: float, submitted_at: str, extension: Extension | None = None
    ) -> tuple[float, float, str]:
        """What is left of ``points``, what lateness took, and a sentence for the student ("" where nothing is to say).

        A submission of unknown time loses nothing, and the sentence says so.
        """
        if self.due is None:
            return points, 0, ""
        due = self._due(extension)
        try:
            moment = datetime.fromisoformat(submitted_at)
            late = (moment - due).total_seconds()
        except (ValueError, TypeError):
            return points, 0, "When it was handed in is not known: no penalty."
        until = f"due {due:%Y-%m-%d %H:%M}" + (", extended" if extension is not None else "")
        if late <= 60 * self.grace_minutes:
            return points, 0, f"In time ({until})."
        days = math.ceil(late / DAY)
        said = f"{days} day{'s' * (days > 1)} late ({until})"
        if self.maximum_days is not None and days > self.maximum_days:
            return 0, points, f"{said}: more than {self.maximum_days:g} days, nothing counts."
        unit = max_points / 100 if self.percent else 1
        left = max(points - days * self.per_day * unit, min(points, self.floor * unit), 0)
        left, sign = round(left, 6), " %" if self.percent else ""
        return left, round(points - left, 6), f"{said}: {points - left:g} points less ({self.per_day:g}{sign} a day)."

    def _due(self, extension: Extension | None) -> datetime:
        """Days are added on the calendar: the hour stays when the clocks change."""
        assert self.due is not None
        if isinstance(extension, datetime):
            return extension if extension.tzinfo else extension.replace(tzinfo=self.due.tzinfo)
        if isinstance(extension, date):
            return datetime.combine(extension, time(23, 59, 59), self.due.tzinfo)
        return self.due + timedelta(days=extension or 0)


def extension(value: Any, where: str) -> Extension:
    """``3``, ``"3 days"``, ``"2026-10-05"``, ``"2026-10-05T12:00+02:00"``. Raises RosterError for others."""
    if isinstance(value, date) or (type(value) is int and 0 <= value < 1000):
        return value
    text = str(value).strip()
    if days := re.fullmatch(r"\+?(\d{1,3})(?:\.0+)?\s*(?:d|days?)?", text):
        return int(days[1])
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise RosterError(
            f"{where}: expected an extension as days or a date such as 2026-10-05, got {text!r}"
        ) from None


def squeezed(name: str) -> str:
    """Letters and digits of a name without case and accents: ``"Müller, Zoë"`` is ``"mullerzoe"``."""
    kept = (c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())
    return "".join(kept)


def safe_name(text: str) -> str:
    """``text`` as a name of a file on any system: up to 64 of ``A-Z a-z 0-9 . _ @ + -``, no ``--``, none reserved."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"--+", "-", re.sub(r"[^A-Za-z0-9._@+-]+", "_", ascii_only)).strip("._-+")[:64].rstrip(".")
    return f"{name}_" if re.match(RESERVED, name, re.IGNORECASE) else name or "student"


def _spellings(name: str) -> set[str]:
    last, comma, first = name.partition(",")
    words = f"{first} {last}".split() if comma else name.split()
    turned = [words[start:] + words[:start] for start in range(len(words))]  # Ada King Noel: King Noel, Ada
    return {squeezed("".join(each)) for each in turned} - {""}


def _key(value: str) -> str:
    """An id for comparison. Moodle's ``Participant 123`` is the same as ``123``."""
    value = unicodedata.normalize("NFKC", value).casefold().strip()
    participant = re.fullmatch(r"participant[ _]?(\d+)", value)
    return participant[1] if participant else value


def _student(row: Mapping[str, str], where: str) -> Student | None:
    ids = {kind: row[kind] for kind in COLUMNS if row.get(kind)}
    name = row.get("name") or " ".join(filter(None, (row.get("first"), row.get("last"))))
    if not ids and squeezed(name) in ("", POINTS_ROW):
        return None
    more = extension(row["extension"], where) if row.get("extension") else None
    return Student(safe_name(next(iter(ids.values()), name)), name, ids, row.get("section", ""), more)


def _table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by what their columns are, with their lines; unknown columns are left out."""
    data = path.read_bytes()
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ENCODINGS:
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise RosterError(f"{path.name}: expected text as UTF-8")
    head = text.lstrip().partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=False)
    try:
        header = next((row for row in rows if any(row)), [])
        kinds = [KINDS.get(squeezed(title), "") for title in header]
        titles = [squeezed(title) for title in header]
        if titles[:2] == ["student", "id"]:  # Canvas's gradebook: the name, and Canvas's own number
            kinds[:2] = ["name", "canvas"]
        if not set(kinds) & {*COLUMNS, "name", "last"}:
            raise RosterError(f"{path.name}: expected a header with a column such as id, email or name, got {head!r}")
        return [
            (rows.line_num, {kind: cell.strip() for kind, cell in zip(kinds, row, strict=False) if kind})
            for row in rows
            if any(row)
        ]
    except csv.Error as error:
        raise RosterError(f"{path.name}:{rows.line_num}: {error}") from error


def _extensions(path: Path) -> list[tuple[str, dict[str, str], str, Any]]:
    """Where, ids, name and value of each extension in a file."""
    if path.suffix.lower() == ".toml":
        data = _toml(path)
        given = data.get("extensions", data)
        return [(f"{path.name}: {key}", {"folder": key}, key, value) for key, value in given.items()]
    return [
        (f"{path.name}:{line}", {kind: row[kind] for kind in COLUMNS if kind in row}, row.get("name", ""), value)
        for line, row in _table(path)
        if (value := row.get("extension"))
    ]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RosterError(f"{path.name}: {error}") from error
