"""A class's submissions as people have them: a download of a platform, a folder of folders or zips, one student's file.

``collect`` recognises by content who handed what in (``Group``), finds the stub files in it whatever the nesting and
the names, and makes of each a ``Submission``: text that Python can read, notes on all that was odd, or a reason why a
person has to look at it. One broken submission never spoils the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from ...serialization.source import shown
from ..manifest import Homework
from .contents import contents
from .layouts import Group, groups
from .roster import Roster, Student, safe_name
from .unpacking import Refused, opened


@dataclass(frozen=True)
class Submission:
    """What one student handed in, ready to be graded, or ``refused`` with the reason."""

    student: str  # a name that is safe as a file name and unique in the batch; the roster's id where there is one
    files: Mapping[str, bytes] = field(default_factory=dict)  # "resnet.py" -> UTF-8 with \n: stubs, helpers beside them
    name: str = ""  # as the roster, or else the platform, shows the student
    ids: Mapping[str, str] = field(default_factory=dict)  # what platforms and roster know the student by
    submitted_at: str = ""  # ISO 8601 with offset, where it is known
    source: str = ""  # where it was found, relative to what was given
    notes: tuple[str, ...] = ()  # what was odd and how it was handled, one sentence each
    refused: str = ""  # why no machine can grade it


def collect(path: Path, homework: Homework, roster: Roster | None = None) -> list[Submission]:
    """The submissions in a folder, archive or file, one for each student, in order of the students' names.

    Args:
        path: Gradescope's, Canvas's or Moodle's download, the repositories of a GitHub Classroom, nbgrader's
            ``submitted``, a folder or archive for each student, or what one student handed in.
        homework: whose stub files are looked for.
        roster: who the students are. Without one they are called what the platform calls them.

    Raises:
        Refused: for an archive of a whole class that cannot be read. (A student's is a refused submission.)
        OSError: if ``path`` does not exist.
    """
    with opened(path) as tree:
        people: dict[str, list[tuple[Submission, Student | None]]] = {}
        for group in groups(tree, path, homework):
            made, student = _submission(group, homework, roster)
            who = f"roster {student.id}" if student else _identity(group)
            people.setdefault(who, []).append((made, student))
    chosen = [_newest([made for made, _ in several]) for several in people.values()]
    reserved = {student.id.lower() for several in people.values() for _, student in several if student}
    return sorted(_named(chosen, list(people), reserved), key=lambda each: each.student)


def _submission(group: Group, homework: Homework, roster: Roster | None) -> tuple[Submission, Student | None]:
    student, reason = roster.match(group.ids, group.name) if roster else (None, "")
    notes, files, refused = [*group.notes, *filter(None, [reason])], {}, group.refused
    if not refused:
        try:
            files = contents(group.tree, homework, notes)
        except Refused as error:
            refused = str(error)
    ids = {**(student.ids if student else {}), **{kind: _plain(value) for kind, value in group.ids.items()}}
    label = (
        student.id if student else next((ids[kind] for kind in ("email", "gradescope") if ids.get(kind)), group.name)
    )
    return Submission(
        student=safe_name(label or next(iter(group.ids.values()), "")),
        files=files,
        name=_plain((student.name if student else "") or group.name),
        ids={kind: value for kind, value in ids.items() if kind != "folder"},
        submitted_at=group.submitted_at,
        source=_plain(group.source),
        notes=tuple(map(_plain, notes)),
        refused=_plain(refused),
    ), student


def _identity(group: Group) -> str:
    """What two submissions of one student have in common, where no roster tells."""
    kind, value = next(iter(group.ids.items()), ("source", f"{group.source} {group.name}"))
    return f"{kind} {value if kind == 'canvas' else value.casefold()}"  # Canvas's anonymous ids have both cases


def _newest(several: list[Submission]) -> Submission:
    """One of the submissions of a student: the newest if the times are known, any if they are equal."""
    first, *others = several
    if not others:
        return first
    sources = " and ".join(shown(each.source) for each in several)
    if all(each.submitted_at for each in several):
        newest = max(several, key=lambda each: datetime.fromisoformat(each.submitted_at))
        return replace(newest, notes=(*newest.notes, f"the newest of {sources} is taken"))
    if all(each.files == first.files and not each.refused for each in several):
        return replace(first, notes=(*first.notes, f"{sources} are the same"))
    return replace(first, files={}, refused=f"{sources} are one student's, they differ, and no time says which counts")


def _named(chosen: list[Submission], people: list[str], reserved: set[str]) -> Iterator[Submission]:
    """Give each a name of its own, also where case does not count; those of the roster keep theirs."""
    strangers = Counter(each.student.lower() for each, who in zip(chosen, people, strict=True) if who[:7] != "roster ")
    taken = set(reserved)
    for each, who in zip(chosen, people, strict=True):
        if not who.startswith("roster "):
            name, number = each.student, 1
            if each.ids and (strangers[name.lower()] > 1 or name.lower() in reserved):
                name = f"{name}-{safe_name(next(iter(each.ids.values())))}"
            base = name
            while name.lower() in taken:
                number += 1
                name = f"{base}-{number}"
            taken.add(name.lower())
            each = replace(each, student=name)
        yield each


def _plain(text: str) -> str:
    """Text that can be written as UTF-8, on one line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
