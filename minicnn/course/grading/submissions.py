"""A class's submissions as people have them: a download of a platform, a folder of folders or zips, one student's file.

``collect`` recognises by content who handed what in (``Group``), finds the stub files in it whatever the nesting and
the names, and makes of each a ``Submission``: text that Python can read, notes on all that was odd, or a reason why a
person has to look at it. One broken submission never spoils the others.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from ...serialization.source import shown
from ..manifest import Homework
from .roster import Roster, Student, safe_name
from .unpacking import ARCHIVES, UNREADABLE, Budget, Limits, Refused, Tree, is_archive, opened

METADATA = "submission_metadata.yml"  # Gradescope's
TIMESTAMP = "timestamp.txt"  # nbgrader's
SUBMITTED = (".py", ".ipynb", *ARCHIVES, *UNREADABLE)  # what is somebody's work; other files may be the teacher's
NESTING = 2  # archives in archives: a student who zips a zip
OWN_LIMITS = Limits(single=1 << 30, total=1 << 30)  # of what a platform wrote: it has all that programs printed
LONGEST_FILE = 1 << 20  # bytes of Python that a person may have written
MOST_HELPERS = 50

# What a platform makes of a student's name and numbers, at the beginning of the names in its download. In Canvas's
# content_zipper.rb the second number is the file's, which grows with time; in Moodle's locallib.php the name has no _.
CANVAS = (
    r"(?:(?P<name>(?!anon_|LATE_).+?)_)?(?P<late>LATE_|late_)?(?:anon_)?(?P<canvas>(?<=anon_)\w+?|\d+)_"
    r"(?:(?P<file>\d{1,20})_(?P<rest>.+)|(?P<page>(?:text|link)\.html))"
)
MOODLE = r"(?P<name>.+?)_(?P<moodle>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)"
PATTERNS = {"Moodle": re.compile(MOODLE, re.DOTALL), "Canvas": re.compile(CANVAS, re.DOTALL)}
GITHUB_NAME = r"[A-Za-z0-9](?:-?[A-Za-z0-9])*"

# What browsers, systems and people add to a file's name.
COPY = r"(?:copy of )?{stem}(?:[ _-]*\(\d+\)|[ _-]\d+|[ _-]+copy(?:[ _-]*\(?\d+\)?)?|[ _-]+final)?\s*\.py(?:\.txt)?"
# Python and pytest read these by themselves.
UNWANTED_HELPERS = sys.stdlib_module_names | {"numpy", "minicnn", "conftest", "setup", "sitecustomize", "usercustomize"}
TEXT_ENCODINGS = re.compile(
    r"utf-?8(-sig)?|(us-)?ascii|latin-?1|iso-?8859-?\d+|(cp|windows-)(125\d|437|850|852|866|932|936|949|950)"
    r"|gbk|gb2312|gb18030|big5|euc-(jp|kr|cn)|shift-jis|koi8-[ru]"
)
CODING = re.compile(rb"\A((?:[ \t\f\r]*(?:#[^\n]*)?\n)??[ \t\f]*#[^\n]*?coding[:=][ \t]*)([-\w.]+)")
BYTE_ORDER_MARKS = {  # the longest first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}

Reader = Callable[[], bytes]


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
        for group in _groups(tree, path, homework):
            made, student = _submission(group, homework, roster)
            who = f"roster {student.id}" if student else _identity(group)
            people.setdefault(who, []).append((made, student))
    chosen = [_newest([made for made, _ in several]) for several in people.values()]
    reserved = {student.id.lower() for several in people.values() for _, student in several if student}
    return sorted(_named(chosen, list(people), reserved), key=lambda each: each.student)


# --- whose is what ----------------------------------------------------------------------------------------------------


def _groups(tree: Tree, path: Path, homework: Homework) -> Iterator[Group]:
    """Who handed what in, by the form of the whole. Only what the platform wrote decides, no student's own file."""
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
    means_stub = partial(_stems, homework=homework)
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


# --- what is in it ----------------------------------------------------------------------------------------------------


def _submission(group: Group, homework: Homework, roster: Roster | None) -> tuple[Submission, Student | None]:
    student, reason = roster.match(group.ids, group.name) if roster else (None, "")
    notes, files, refused = [*group.notes, *filter(None, [reason])], {}, group.refused
    if not refused:
        try:
            files = _contents(group.tree, homework, notes)
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


def _contents(tree: Tree, homework: Homework, notes: list[str]) -> dict[str, bytes]:
    """The stub files and their helpers, as text for Python. Raises Refused when a person has to look at it."""
    readers: dict[str, Reader] = {}
    _flatten(tree, Budget(), readers, notes)
    chosen = {stem: _choose(stem, readers, homework, notes) for stem in homework.modules}
    files = {
        f"{stem}.py": _python(readers[where](), f"{stem}.py", notes)
        for stem, where in chosen.items()
        if where is not None
    }
    if len(files) < len(homework.modules):
        _from_notebooks(readers, homework, files, notes)
    if not files:
        wanted, there = ", ".join(f"{stem}.py" for stem in homework.modules), sorted(readers)
        listed = ", ".join(map(shown, there[:8])) + f" and {len(there) - 8} more" * (len(there) > 8)
        raise Refused(f"none of {wanted} is in it; it holds {listed or 'no file'}" + "".join(f"; {n}" for n in notes))
    notes += [f"{stem}.py is not in it" for stem in homework.modules if f"{stem}.py" not in files]
    _add_helpers(readers, [where for where in chosen.values() if where is not None], files, notes)
    return files


def _flatten(
    tree: Tree, budget: Budget, readers: dict[str, Reader], notes: list[str], at: str = "", deep: int = 0
) -> None:
    """Collect the files of a tree and of the archives in it. An archive that is refused is left out and noted."""
    for name, fault in tree.faults.items():
        others = f" ({len(tree.faults)} such files)" if len(tree.faults) > 1 else ""
        raise Refused(f"{shown(at + name)} {fault}{others}")
    if len(tree.files) + len(readers) > budget.limits.files:
        raise Refused(f"it holds more than {budget.limits.files} files")
    for name in tree.files:
        if is_archive(name) and deep < NESTING:
            try:
                _flatten(tree.unpack(name, budget), budget, readers, notes, f"{at}{name}/", deep + 1)
            except Refused as error:
                notes.append(f"an archive is left out: {error}")
        elif is_archive(name) or name.lower().endswith(UNREADABLE):
            notes.append(f"{shown(at + name)} is not unpacked")
        else:
            readers[at + name] = partial(tree.read, name, budget)


def _stems(name: str, homework: Homework) -> list[str]:
    """The stub files that a file's name may mean."""
    base = _folded(os.path.basename(name)) if ".py" in name.lower() else ""
    return [stem for stem in homework.modules if _odd(stem).fullmatch(base) or _looks_like(base, f"{stem}.py")]


def _odd(stem: str) -> re.Pattern[str]:
    return re.compile(COPY.format(stem=re.escape(stem.casefold())))


def _folded(name: str) -> str:
    """A name as a person sees it: case and invisible characters do not count."""
    return "".join(c for c in name if unicodedata.category(c) not in ("Cf", "Cc")).casefold().strip()


def _looks_like(base: str, wanted: str) -> bool:
    """Whether only letters of other alphabets tell the two apart."""
    pairs = list(zip(base, wanted, strict=False))
    return len(base) == len(wanted) and not base.isascii() and all(a == b or not a.isascii() for a, b in pairs)


def _rank(name: str, stem: str, homework: Homework) -> int | None:
    """How near a file is to where it belongs, 0 is best; None for the library's own and other homework's files."""
    parts = name.split("/")[:-1]
    module = homework.modules[stem].replace(".", "/") + ".py"
    others = (re.fullmatch(r"(hw\d+)(_\w+)?", part) for part in parts)
    if f"/{name}".endswith(f"/{module}") or "solutions" in parts or any(o and o[1] != homework.id for o in others):
        return None
    if parts[-2:] == ["assignments", homework.folder]:
        return 0
    return 1 if parts[-1:] == [homework.folder] else 2 if {homework.folder, homework.id} & set(parts) else 3


def _choose(stem: str, readers: Mapping[str, Reader], homework: Homework, notes: list[str]) -> str | None:
    """Where the file for a stub is; None if it is missing. Raises Refused if two differ and nothing tells which."""
    wanted = f"{stem}.py"
    python = [name for name in readers if ".py" in name.lower()]
    ranked = {name: rank for name in python if (rank := _rank(name, stem, homework)) is not None}
    exact = [name for name in ranked if os.path.basename(name) == wanted]
    alike = [name for name in ranked if name not in exact and stem in _stems(name, homework)]
    pool = exact or alike
    nearest = [name for name in pool if ranked[name] == min(ranked[each] for each in pool)]
    if not nearest:
        return None
    if len(nearest) > 1 and len({readers[name]() for name in nearest}) > 1:
        raise Refused(f"it holds different files for {wanted}: {' and '.join(map(shown, nearest[:4]))}")
    others = [name for name in (*exact, *alike) if name not in nearest and not (exact and _is_helper(name, wanted))]
    if others or not exact:
        not_these = f", not {', '.join(map(shown, others[:4]))}" if others else ""
        notes.append(f"{shown(nearest[0])} is taken for {wanted}{not_these}")
    return nearest[0]


def _is_helper(name: str, wanted: str) -> bool:
    """Whether a file that is called nearly like a stub, ``conv_2.py``, can be a module of its own."""
    base = os.path.basename(name)
    return base.isascii() and base.removesuffix(".py").isidentifier() and base.lower() != wanted.lower()


def _add_helpers(readers: Mapping[str, Reader], stubs: list[str], files: dict[str, bytes], notes: list[str]) -> None:
    """The student's own modules, which lie beside the stub files."""
    folders, names = {os.path.dirname(where) for where in stubs}, {name.lower() for name in files}
    for name in sorted(readers.keys() - set(stubs)):
        folder, base = os.path.split(name)
        stem = base.removesuffix(".py")
        plain = base.endswith(".py") and stem.isascii() and stem.isidentifier()
        if folder not in folders or not plain or base.lower() in names:
            continue
        if stem in UNWANTED_HELPERS or base.lower() in {each.lower() for each in files}:
            notes.append(f"{shown(name)} is left out: Python has a module of this name, or there are two")
        elif len(files) > MOST_HELPERS:
            raise Refused(f"it holds more than {MOST_HELPERS} Python files beside the homework's")
        else:
            files[base] = _python(readers[name](), base, notes)


def _from_notebooks(
    readers: Mapping[str, Reader], homework: Homework, files: dict[str, bytes], notes: list[str]
) -> None:
    """Code cells that define the holes of exactly one stub file become that file."""
    for name in sorted(each for each in readers if each.endswith(".ipynb")):
        try:
            code = _cells(json.loads(readers[name]().decode("utf-8-sig")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            notes.append(f"{shown(name)} is not a notebook that can be read")
            continue
        defined = {
            hole.stem
            for hole in homework.holes()
            if re.search(rf"^(?:async )?(?:def|class) {hole.qualname.partition('.')[0]}\b", code, re.MULTILINE)
        }
        if len(defined) == 1 and not (files.keys() & {f"{stem}.py" for stem in defined}):
            (stem,) = defined
            files[f"{stem}.py"] = _python(code.encode("utf-8", errors="surrogatepass"), f"{stem}.py", notes)
            notes.append(f"{stem}.py is made of the code cells of {shown(name)}")
        else:
            why = f"defines functions of {', '.join(sorted(defined))}" if defined else "defines none of the functions"
            notes.append(f"{shown(name)} is left out: it {why}")


def _cells(notebook: Mapping[str, list[Mapping[str, str | list[str]]]]) -> str:
    """The code of a notebook, without the lines that only Jupyter understands."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    kept = [source for source in sources if not re.match(r"\s*%%(?!time|capture)", source)]
    lines = (line for source in kept for line in (*source.splitlines(), ""))
    return "\n".join(line for line in lines if not re.match(r"\s*[%!?]", line)) + "\n"


def _python(data: bytes, name: str, notes: list[str]) -> bytes:
    """A file as UTF-8 with ``\\n``, and notes on what it was before. Raises Refused for what is no text."""
    if len(data) > LONGEST_FILE:
        raise Refused(f"{name} is too large for a file of Python: {len(data)} bytes")
    coding = CODING.match(data)
    declared = coding[2].decode().lower().replace("_", "-") if coding else "utf-8"
    if not TEXT_ENCODINGS.fullmatch(declared):
        raise Refused(f"{name} declares the encoding {declared!r}, which is not one of text")
    marked = [each for mark, each in BYTE_ORDER_MARKS.items() if data.startswith(mark)][:1]
    halves = {"utf-16-le": data[1::2], "utf-16-be": data[::2]}
    marked = marked or [each for each, zeros in halves.items() if 2 * zeros.count(0) > len(zeros)]
    for encoding in marked or [declared, "utf-8", "cp1252", "latin-1"]:
        try:
            text = data.decode(encoding)
            break
        except (UnicodeDecodeError, LookupError):
            continue
    else:
        raise Refused(f"{name} is not text")
    if "\0" in text:
        raise Refused(f"{name} is not text: it holds NUL bytes")
    odd = [encoding.upper().replace("-SIG", " with a byte order mark")] if marked or not data.isascii() else []
    odd = [each for each in odd if each not in ("UTF-8", "UTF8")]
    odd += ["CRLF line ends" if "\r\n" in text else "CR line ends"] if "\r" in text else []
    if odd:
        notes.append(f"{name} was {' with '.join(odd)} and is read as UTF-8")
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    if not text.strip():
        notes.append(f"{name} is empty")
    return CODING.sub(rb"\1utf-8", plain)


# --- who it is --------------------------------------------------------------------------------------------------------


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
