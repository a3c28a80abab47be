"""Canvas: a gradebook export that is filled, or a table of the same form, as ``gradebook_importer.rb`` reads it."""

from __future__ import annotations

import re
from pathlib import Path

from ....errors import FileFormatError
from ..grades import Grades
from .form import Exported, Format, Options, People, Sheet, left_out, points, shown, write_table

PEOPLE = {
    "ID": "canvas",
    "SIS User ID": "sis",
    "SIS Login ID": "login",
}  # column -> what a result calls it, surest first
INFO = ["Student", *PEOPLE, "Section"]
POSSIBLE = "Points Possible"
WITH_ID = re.compile(r"(.*\S)\s*\((\d+)\)")


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Write the file to upload in Canvas, with two decimals.

    Raises:
        ValueError: for an assignment that is not there, or that Canvas would have to make without being told to.
        FileFormatError: for a template that is no gradebook export.
    """
    return _fill(grades, out, options, options.template) if options.template else _make(grades, out, options)


def _make(grades: Grades, out: Path, options: Options) -> Exported:
    title = options.assignment or (grades.title if options.create else "")
    if not options.create and not WITH_ID.fullmatch(title):
        raise ValueError(
            f"expected an assignment of Canvas with its number, as in 'Homework 4 (123)', got {title!r}: Canvas would "
            "make a new assignment; give its gradebook export (--template), or let it make one (--create)"
        )
    rows = [[*INFO, title], [f"    {POSSIBLE}", "", "", "", "", points(grades.max_total)]]
    for result in grades.results:
        people = [result.ids.get(kind, "") for kind in PEOPLE.values()]
        rows.append([result.name or result.student, *people, "", points(result.total)])
    made = (f"Canvas will make a new assignment {title!r}",) if not WITH_ID.fullmatch(title) else ()
    return Exported((write_table(out, rows),), (*made, *left_out(grades)))


def _fill(grades: Grades, out: Path, options: Options, template: Path) -> Exported:
    sheet = Sheet.read(template, {"Student": "who", "ID": "Canvas's number", "Section": "the last about the student"})
    column = _column(sheet, options.assignment or grades.title)
    people, notes = People(grades.results), []
    for row in sheet.rows:
        name = sheet.get(row, "Student")
        if POSSIBLE in name:
            _same_points(sheet, column, sheet.get(row, column), grades.max_total)
        elif not sheet.get(row, "ID") and not name:  # blank, or "Manual Posting"
            continue
        elif sheet.get(row, column).upper() == "EX":
            notes.append(f"{name} is excused in Canvas, and stays so")
            people.find(_names(sheet, row))
        elif result := people.find(_names(sheet, row)):
            sheet.set(row, column, points(result.total))
        else:
            notes.append(f"{name} has no grade here; the cell is as it was")
    notes += people.unmatched(str(template))
    return Exported((sheet.write(out, exact=(*PEOPLE, "Section")),), tuple(notes))


def _names(sheet: Sheet, row: list[str]) -> list[tuple[str, str]]:
    ids = [(kind, sheet.get(row, column)) for column, kind in PEOPLE.items()]
    login = sheet.get(row, "SIS Login ID")
    return [
        *ids,
        ("email", login),
        ("student", login),
        ("student", sheet.get(row, "SIS User ID")),
        ("name", sheet.get(row, "Student")),
    ]


def _column(sheet: Sheet, wanted: str) -> str:
    """The column of an assignment, by header, title or number."""
    assignments = [column for column in sheet.header if WITH_ID.fullmatch(column)]
    for column in assignments:
        match = WITH_ID.fullmatch(column)
        if match and wanted in (column, *match.groups()):
            return column
    raise ValueError(
        f"{sheet.path} has no assignment {wanted!r}, and Canvas would make a new one; it has: {', '.join(assignments)}"
    )


def _same_points(sheet: Sheet, column: str, there: str, here: float) -> None:
    if "read only" in there:
        raise FileFormatError(f"{sheet.path}: {column!r} is read only in Canvas")
    if there and float(there.replace(",", ".")) != here:
        raise ValueError(
            f"{column!r} has {there} points in Canvas, and these grades {shown(here)}: change it in Canvas"
        )


FORMAT = Format("canvas", "a gradebook to upload; give Canvas's export as a template", False, write)
