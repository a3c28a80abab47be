"""What every format has, and the tools that several share: tables, matching of people, files for each student."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import FileFormatError
from ....serialization.atomic import replacing
from ..grades import Grades, Result
from ..guarding import cell, foreign_cell

JSON_LIMIT = 1_000_000  # bytes of a result that a platform takes
LENGTHS = (20_000, 2_000, 200, 0)  # characters of each message, from the most generous


@dataclass(frozen=True)
class Options:
    """What an export may be told.

    Attributes:
        template: the platform's own table, which is filled.
        assignment: what the platform calls the homework, e.g. ``"Homework 4 (123)"`` in Canvas.
        create: let the platform make a new assignment.
        due: when the homework was due, ISO 8601.
        context: what a continuous integration knows of the run, e.g. ``{"COMMIT_URL": …}``.
    """

    template: Path | None = None
    assignment: str = ""
    create: bool = False
    due: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """The files that were written, and what a person has to know or do about them, one sentence each."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One format. ``folder``: it writes a folder with files for each student, and not one file for the class."""

    name: str
    what: str
    folder: bool
    write: Callable[[Grades, Path, Options], Exported]


def points(value: float) -> str:
    """Points with two decimals, as gradebooks show them."""
    return f"{value:.2f}"


def shown(value: float) -> str:
    """Points as people write them: 87, 86.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def left_out(grades: Grades) -> tuple[str, ...]:
    """The sentence about those who have no grade in a file of grades."""
    counts = Counter(each.state for each in grades.ungraded)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return (f"without a grade, and left empty: {told}; see batch.json",) if told else ()


def write_text(path: Path, text: str) -> Path:
    """Write a file whole, with Unix newlines; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Path(temporary).write_bytes(text.encode())
    return path


def write_table(path: Path, rows: Iterable[Iterable[object]], raw: bool = False) -> Path:
    """Write a CSV file: UTF-8, commas, every cell in quotes. Cells are guarded, unless ``raw`` says that they are."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([value if raw else cell(value) for value in row] for row in rows)
    return write_text(path, buffer.getvalue())


def as_json(value: object) -> str:
    """JSON text without NaN."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)


def cut_off(text: str, length: int) -> str:
    """The text, or its beginning and how much is missing."""
    return text if len(text) <= length else f"{text[:length]} … ({len(text) - length} more characters)"


def within_limit(payload: Callable[[int], Any], limit: int = JSON_LIMIT) -> str:
    """The JSON of ``payload(length of a message)`` with the longest messages that the platform takes."""
    for length in LENGTHS:
        text = as_json(payload(length))
        if len(text.encode()) <= limit:
            return text
    raise ValueError(f"expected a result of at most {limit} bytes, got {len(text.encode())} without its messages")


def each_student(name: str, text: Callable[[Result, Options], str]) -> Callable[[Grades, Path, Options], Exported]:
    """A writer of ``OUT/<student>/<name>`` for each student."""

    def write(grades: Grades, out: Path, options: Options) -> Exported:
        files = [write_text(out / result.student / name, text(result, options)) for result in grades.results]
        return Exported(tuple(files), left_out(grades))

    return write


@dataclass
class Sheet:
    """A platform's table that is to be filled: its header, and its rows as they are."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    delimiter: str

    @classmethod
    def read(cls, path: Path, needed: Mapping[str, str]) -> Sheet:
        """Read a table.

        Args:
            needed: the columns that it must have, and what each is for.

        Raises:
            FileFormatError: if it is no such table.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
            first = text.partition("\n")[0]
            delimiter = ";" if first.count(";") > first.count(",") else ","
            header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            raise FileFormatError(f"{path}: expected a CSV table in UTF-8, {error}") from error
        if missing := [f"{name!r} ({what})" for name, what in needed.items() if name not in header]:
            raise FileFormatError(f"{path}: expected the columns {', '.join(missing)}, got {header}")
        width = len(header)
        if wrong := [number for number, row in enumerate(rows, 2) if len(row) not in (0, width)]:
            raise FileFormatError(f"{path}: row {wrong[0]}: expected {width} cells, as in the header")
        return cls(path, header, rows, delimiter)

    def get(self, row: Sequence[str], column: str) -> str:
        return row[self.header.index(column)].strip() if row and column in self.header else ""

    def set(self, row: list[str], column: str, text: str) -> None:
        row[self.header.index(column)] = text

    def write(self, path: Path, exact: Iterable[str]) -> Path:
        """Write it again. What a spreadsheet would run is guarded, but in the columns ``exact``, which find people."""
        kept = {self.header.index(column) for column in exact if column in self.header}
        rows = [[c if at in kept else foreign_cell(c) for at, c in enumerate(row)] for row in self.rows]
        return write_table(path, [self.header, *rows], raw=True)


class People:
    """Finds the result of a student by what a platform calls them, each result once."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results
        self.taken: set[str] = set()
        self.by: dict[tuple[str, str], list[Result]] = {}
        for result in results:
            known = {**result.ids, "student": result.student, "name": _bare(result.name)}
            for kind, value in known.items():
                if value.strip():
                    self.by.setdefault((kind, value.strip().casefold()), []).append(result)

    def find(self, names: Iterable[tuple[str, str]]) -> Result | None:
        """The result that the first of these (kind, value) belongs to that belongs to one result only."""
        for kind, value in names:
            found = self.by.get((kind, (_bare(value) if kind == "name" else value).strip().casefold()), [])
            if value.strip() and len(found) == 1 and found[0].student not in self.taken:
                self.taken.add(found[0].student)
                return found[0]
        return None

    def unmatched(self, where: str) -> Iterator[str]:
        """A sentence about each student who was not found."""
        for result in self.results:
            if result.student not in self.taken:
                yield f"{result.student} ({result.name}) has {shown(result.total)} points and is not in {where}"


def _bare(name: str) -> str:
    """``"Lovelace, Ada"`` and ``"Ada  Lovelace"`` as one."""
    last, comma, first = name.partition(",")
    return re.sub(r"\s+", " ", f"{first} {last}" if comma else name).strip()
