"""Whose is what: a class's submissions by the form in which a platform lets them be downloaded.

Only what the platform wrote decides, no student's own file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from ...serialization.source import shown
from ..manifest import Homework
from .contents import meant
from .unpacking import ARCHIVES, UNREADABLE, Budget, Limits, Refused, Tree, is_archive

METADATA = "submission_metadata.yml"  # Gradescope's
TIMESTAMP = "timestamp.txt"  # nbgrader's
SUBMITTED = (".py", ".ipynb", *ARCHIVES, *UNREADABLE)  # what is somebody's work; other files may be the teacher's
OWN_LIMITS = Limits(single=1 << 30, total=1 << 30)  # of what a platform wrote: it has all that programs printed

# What a platform makes of a student's name and numbers, at the beginning of the names in its download. In Canvas's
# content_zipper.rb the second number is the file's, which grows with time; in Moodle's locallib.php the name has no _.
CANVAS = (
    r"(?:(?P<name>(?!anon_|LATE_).+?)_)?(?P<late>LATE_|late_)?(?:anon_)?(?P<canvas>(?<=anon_)\w+?|\d+)_"
    r"(?:(?P<file>\d{1,20})_(?P<rest>.+)|(?P<page>(?:text|link)\.html))"
)
MOODLE = r"(?P<name>.+?)_(?P<moodle>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)"
PATTERNS = {"Moodle": re.compile(MOODLE, re.DOTALL), "Canvas": re.compile(CANVAS, re.DOTALL)}
GITHUB_NAME = r"[A-Za-z0-9](?:-?[A-Za-z0-9])*"


@dataclass(frozen=True)
class Group:
    """One student's part of what was given, before anybody has looked into it."""

    tree: Tree
    source: str
    name: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    submitted_at: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""


def groups(tree: Tree, path: Path, homework: Homework) -> Iterator[Group]:
    """Who handed what in, by the form of the whole."""
    path = path.resolve()
    label = path.name if path.is_dir() else re.sub(r"(\.tar)?\.\w+$", "", path.name)
    under = ""
    while True:
        tops = _tops(tree)
        platform = _platform(tops)
        if METADATA in tree.files:
            yield from _gradescope(tree, under)
        elif platform:
            yield from _by_pattern(tree, tops, platform, under, homework)
        elif _is_single(tree, tops, homework) or (path.is_file() and not is_archive(path.name)):
            yield Group(tree, under.rstrip("/") or path.name, ids={"folder": label})
        elif folder := _wrapper(tree, tops):
            tree, under = tree.below(folder), f"{under}{folder}/"
            label = folder if path.is_dir() else label
            continue
        else:
            yield from _by_folder(tree, tops, under, homework, nbgrader="submitted/" in (f"{path.name}/", under[-10:]))
        return


def _tops(tree: Tree) -> dict[str, list[str]]:
    """The names in a tree by their first part."""
    tops: dict[str, list[str]] = {}
    for name in sorted((*tree.files, *tree.faults)):
        tops.setdefault(name.partition("/")[0], []).append(name)
    return tops


def _platform(tops: Mapping[str, list[str]]) -> str:
    """Whose pattern most of the names at the top have."""
    for platform, pattern in PATTERNS.items():
        if 2 * sum(pattern.fullmatch(top) is not None for top in tops) > len(tops):
            return platform
    return ""


def _wrapper(tree: Tree, tops: Mapping[str, list[str]]) -> str:
    """The folder that everything is in, or what an nbgrader course was handed."""
    folders = tops.keys() - tree.files.keys() - tree.faults.keys()
    if "submitted" in folders and (len(tops) == 1 or {"source", "release", "autograded"} & folders):
        return "submitted"
    return next(iter(folders)) if len(tops) == len(folders) == 1 else ""


def _is_single(tree: Tree, tops: Mapping[str, list[str]], homework: Homework) -> bool:
    """Whether this is one student's: the homework's files at the top, or its folder, or a whole course."""
    means_stub = partial(meant, homework=homework)
    own = [top for top in tops if top in tree.files and (means_stub(top) or top.endswith(".ipynb"))]
    others = [top for top in tops if is_archive(top) or (top not in tree.files and any(map(means_stub, tops[top])))]
    return bool(own and len(others) < 2) or bool({"assignments", homework.folder} & tops.keys())


def _gradescope(tree: Tree, under: str) -> Iterator[Group]:
    known = _metadata(tree)
    tops = _tops(tree)
    for folder in dict.fromkeys((*tops, *known)):
        people, created = known.get(folder, ([], ""))
        if not people and (folder not in tops or (folder in tree.files and not folder.endswith(SUBMITTED))):
            continue
        part = tree.only(tops.get(folder, ()))
        part = part if folder in part.files else part.below(folder)
        for person in people or [{"folder": folder}]:
            others = [each.get("name", "?") for each in people if each is not person]
            notes = [f"handed in together with {', '.join(others)}"] if others else []
            notes += [] if people else [f"{METADATA} does not say whose {shown(folder)} is"]
            ids = {kind: value for kind, value in person.items() if kind != "name" and value}
            yield Group(part, under + folder, person.get("name", ""), ids, created, tuple(notes))


def _metadata(tree: Tree) -> dict[str, tuple[list[dict[str, str]], str]]:
    """Submitters and time by folder. Only lines at the depths where Gradescope writes them count: what students'
    programs printed is in this file, too, but further in."""
    found: dict[str, tuple[list[dict[str, str]], str]] = {}
    people: list[dict[str, str]] = []
    section = folder = ""
    for line in tree.read(METADATA, Budget(OWN_LIMITS)).decode("utf-8", errors="replace").splitlines():
        if top := re.fullmatch(r"(['\"]?)(\S+?)\1:\s*", line):
            folder, section, people = top[2], "", []
            found[folder] = people, ""
        elif key := re.fullmatch(r"  :(\w+):\s*(.*)", line):
            section = key[1]
            if section == "created_at" and folder:
                found[folder] = people, _moment(_scalar(key[2]))
        elif section == "submitters" and (entry := re.fullmatch(r"(?:  |    )(- |  )?:(\w+):\s*(.*)", line)):
            if entry[1] == "- ":
                people.append({})
            if people and entry[2] in ("name", "sid", "email"):
                people[-1][entry[2].replace("sid", "gradescope")] = _scalar(entry[3])
    return found


def _scalar(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text.strip('"')
    return text[1:-1].replace("''", "'") if text.startswith("'") else "" if text in ("null", "~") else text


def _by_pattern(
    tree: Tree, tops: Mapping[str, list[str]], platform: str, under: str, homework: Homework
) -> Iterator[Group]:
    """Canvas and Moodle put who it is before each name; several entries may be one student's."""
    parts: dict[tuple[str, str], list[tuple[re.Match[str], str]]] = {}
    for top in tops:
        if match := PATTERNS[platform].fullmatch(top):
            key = match[platform.lower()]
            parts.setdefault((key, match["name"] if platform == "Moodle" else ""), []).append((match, top))
        elif top.endswith(SUBMITTED) or top not in tree.files:
            yield _stray(tree, tops[top], under + top)
    for (number, _), entries in parts.items():
        mine, notes = Tree(), list[str]()
        entries.sort(key=lambda entry: int(entry[0].groupdict().get("file") or 0))
        for match, top in entries:
            given = tree.only(tops[top])
            inside = given.below(top)
            found = match.groupdict()
            name = found["rest"] or found.get("page") or top
            if platform == "Canvas" and given.files:
                name = _without_number(name, homework, notes, mine)
            mine.files |= inside.files | ({name: given.files[top]} if top in given.files else {})
            mine.faults |= inside.faults | ({name: given.faults[top]} if top in given.faults else {})
        first = entries[0][0].groupdict()
        notes += ["Canvas marks it as late"] if first.get("late") else []
        name = "" if (first["name"] or "").casefold() in ("", "participant") else first["name"]
        yield Group(mine, under + entries[0][1], name, {platform.lower(): number}, notes=tuple(notes))


def _without_number(name: str, homework: Homework, notes: list[str], mine: Tree) -> str:
    """Canvas calls a file ``resnet-1.py`` that was handed in again; the entries come in order, the newest last."""
    plain = re.sub(r"-\d+(?=\.\w+$)", "", name)
    if plain in mine.files:
        notes.append(f"{shown(name)} is the newest {shown(plain)}, the older one is left out")
    elif plain != name and plain in [f"{stem}.py" for stem in homework.modules]:
        notes.append(f"{shown(name)} is taken for {plain}")
    else:
        return name
    return plain


def _by_folder(
    tree: Tree, tops: Mapping[str, list[str]], under: str, homework: Homework, nbgrader: bool
) -> Iterator[Group]:
    """A folder or archive a student: as teachers sort them, as nbgrader collects them, as GitHub Classroom clones."""
    folders = [top for top in tops if top not in tree.files and top not in tree.faults]
    stamps = {top: [name for name in tops[top] if re.fullmatch(rf"[^/]+/[^/]+/{TIMESTAMP}", name)] for top in folders}
    nbgrader = nbgrader or (bool(folders) and all(stamps.values()))
    prefix = _repository_prefix(tops, folders)
    for top, names in tops.items():
        if top not in folders:
            if is_archive(top):
                yield Group(tree.only(names), under + top, ids={"folder": re.sub(r"(\.tar)?\.\w+$", "", top)})
            elif top.endswith(SUBMITTED) or top in tree.faults:
                yield _stray(tree, names, under + top)
            continue
        part, when = tree.only(names).below(top), ""
        if nbgrader:
            handed_in = {name.split("/")[1] for name in names if name.count("/") > 1}
            this = [each for each in handed_in if each in (homework.id, homework.folder)] or sorted(handed_in)
            stamp = f"{this[0]}/{TIMESTAMP}" if len(this) == 1 else ""
            part = part.below(this[0]) if len(this) == 1 else part
            when = _stamp(tree, f"{top}/{stamp}") if stamp else ""
        github = top.removeprefix(prefix) if prefix else ""
        ids = {"nbgrader": top} if nbgrader else {"github": github} if github else {"folder": top}
        yield Group(part, under + top, ids=ids, submitted_at=when)


def _repository_prefix(tops: Mapping[str, list[str]], folders: list[str]) -> str:
    """``hw4-`` where all folders are ``hw4-<GitHub name>`` and one at least holds a repository."""
    prefix = re.sub(r"[^-]*$", "", os.path.commonprefix(folders)) if len(folders) > 1 else ""
    signs = re.compile(r"[^/]+/(assignments/|\.git)")
    repositories = any(signs.match(name) for folder in folders for name in tops[folder])
    named = all(re.fullmatch(GITHUB_NAME, folder.removeprefix(prefix)) for folder in folders)
    return prefix if prefix and repositories and named else ""


def _stray(tree: Tree, names: list[str], source: str) -> Group:
    why = "" if tree.faults.keys() & set(names) else "it lies beside the students' own, and nothing says whose it is"
    return Group(tree.only(names), source, ids={"folder": Path(source).stem}, refused=why)


def _stamp(tree: Tree, name: str) -> str:
    try:
        return _moment(tree.read(name).decode("utf-8", errors="replace").strip())
    except (KeyError, Refused):
        return ""


def _moment(text: str) -> str:
    """A time as Gradescope (``2026-10-01 10:00:00.123456789 -07:00``) and nbgrader (``... UTC``) write it, as ISO 8601;
    nothing for one without a zone."""
    pattern = r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d|[A-Z]\w*(?:/\w+)*)"
    if not (match := re.fullmatch(pattern, text)):
        return ""
    day, clock, zone = match.groups()
    try:
        if zone[0] in "+-":
            return datetime.fromisoformat(f"{day}T{clock}{zone}").isoformat()
        moment = datetime.fromisoformat(f"{day}T{clock}")
        return moment.replace(tzinfo=UTC if zone in ("Z", "UTC") else ZoneInfo(zone)).isoformat()
    except (ValueError, KeyError, OSError):  # KeyError for a zone that there is not
        return ""
