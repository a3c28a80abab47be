"""A class of seven as an instructor has it: Gradescope's download of six submissions, a roster, Canvas's gradebook."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minicnn.course.build import answer, stub
from minicnn.course.manifest import homework
from minicnn.course.misconceptions import mistakes, planted_source

OWNER = homework("hw4")
EXPORT = "assignment_4711_export"
IN_TIME, LATE = "2026-10-01 12:00:00.000000000 +02:00", "2026-10-03 12:00:00.000000000 +02:00"
CHEAT = "\n\nimport os\n\nos._exit(0)\n"


@dataclass(frozen=True)
class Student:
    """One of the class; ``files`` is None for who handed in nothing."""

    id: str
    name: str
    files: Mapping[str, bytes] | None
    created: str = IN_TIME


def students() -> list[Student]:
    """Right answers, mistakes with a name, one of them late, the untouched stubs, a cheat, half a zip, and nothing."""
    return [
        Student("ada", "Ada Lovelace", _right()),
        Student("ben", "Ben Okafor", _wrong("relu-before-addition")),
        Student("chen", "Chen Wei", _wrong("stride-in-both"), LATE),
        Student("dora", "Dora Novak", _files({stem: stub(OWNER, stem) for stem in OWNER.modules})),
        Student("emil", "Emil Hansen", _files({stem: answer(OWNER, stem) + CHEAT for stem in OWNER.modules})),
        Student("fay", "Fay Ito", {"hw4.zip": b"PK\x03\x04 and then the connection broke"}),
        Student("gus", "Gus Meyer", None),
    ]


def write(folder: Path) -> None:
    """Write ``submissions.zip``, ``roster.csv`` and ``gradebook.csv`` into ``folder``."""
    everybody = students()
    metadata = ["---"]
    with zipfile.ZipFile(folder / "submissions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, student in enumerate(everybody, 1):
            if student.files is None:
                continue
            metadata += [f"submission_{number}:", "  :submitters:", f"  - :name: {student.name}"]
            metadata += [f"    :sid: '{900 + number}'", f"    :email: {student.id}@example.edu"]
            metadata += [f"  :created_at: {student.created}"]
            for name, content in student.files.items():
                archive.writestr(f"{EXPORT}/submission_{number}/{name}", content)
        archive.writestr(f"{EXPORT}/submission_metadata.yml", "\n".join(metadata) + "\n")
    numbered = list(enumerate(everybody, 1))
    roster = [["id", "name", "sid", "email"]]
    roster += [[each.id, each.name, str(900 + number), f"{each.id}@example.edu"] for number, each in numbered]
    _table(folder / "roster.csv", roster)
    most = str(sum((100, 10, 10, 10)))
    gradebook = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Residual networks (4711)"]]
    gradebook += [["    Points Possible", "", "", "", "", most]]
    for number, each in numbered:
        first, last = each.name.split()
        gradebook.append([f"{last}, {first}", str(50 + number), str(900 + number), each.id, "Monday", ""])
    _table(folder / "gradebook.csv", gradebook)


def mark(sheet: Path) -> None:
    """Fill in a rubric's sheet, as a person does: half of the points for everybody."""
    with open(sheet, newline="", encoding="utf-8") as file:
        head, told, *rows = csv.reader(file)
    half = [str(int(column.rpartition("(")[2].rstrip(")")) / 2) for column in head[2:]]
    _table(sheet, [head, told, *([*row[:2], *half] for row in rows)])


def _right() -> dict[str, bytes]:
    return _files({stem: answer(OWNER, stem) for stem in OWNER.modules})


def _wrong(name: str) -> dict[str, bytes]:
    (mistake,) = (each for each in mistakes(OWNER.id) if each.name == name)
    return {**_right(), f"{mistake.hole.stem}.py": planted_source(mistake).encode()}


def _files(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {f"{stem}.py": text.encode() for stem, text in texts.items()}


def _table(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
