"""Writes ``assignments/``: the stubs, which are slices of the reference, and the tables of tasks in the handouts.

A file that a student has edited is never written over. ``assignments/stubs.json`` holds the digest of every stub as it
was generated; a file that has another digest has been edited, and the new stub is put beside it as ``NAME.py.new``.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minicnn.serialization.atomic import replacing

from .holes import HoleError, cut, find, has_specification, slice_of
from .manifest import Homework, ManifestError, reference_source

RECORD = "stubs.json"


@dataclass(frozen=True)
class Change:
    """One file that was written (``"written"``), or is not as it should be (``"edited"``, ``"out of date"``)."""

    path: str
    what: str


def course_root(start: Path | None = None) -> Path:
    """The nearest folder, from ``start`` upwards, that holds a course: ``assignments`` and ``tests``.

    Raises:
        FileNotFoundError: if there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "assignments").is_dir() and (folder / "tests").is_dir():
            return folder
    raise FileNotFoundError(
        f"no course here: neither {here} nor a folder above it has assignments/ and tests/; "
        "change into a copy of the minicnn repository"
    )


def stub(owner: Homework, stem: str) -> str:
    """The stub of one module of a homework.

    Raises:
        ManifestError: for a hole that cannot be cut, or whose docstring is missing.
    """
    module, holes = owner.modules[stem], owner.holes(stem)
    source = reference_source(module)
    try:
        text = cut(source, module, holes, owner.handout)
        tree = ast.parse(source)
        for hole in holes:
            if not has_specification(tree, hole.qualname):
                raise HoleError(f"{hole.qualname}: a hole needs a docstring, it is what the student is told")
    except HoleError as error:
        raise ManifestError(f"{owner.id}.toml: {module}: {error}") from error
    return text


def answer(owner: Homework, stem: str) -> str:
    """The stub with the reference's bodies in it, and the private helpers that these call."""
    module = owner.modules[stem]
    return slice_of(reference_source(module), module, owner.holes(stem), with_helpers=True)


def build(root: Path, homework: Sequence[Homework], check: bool = False) -> list[Change]:
    """Bring ``root/assignments`` up to date.

    Args:
        check: write nothing, only tell what is out of date.

    Returns:
        what was written, and what was left alone because it has been edited.
    """
    folder = root / "assignments"
    record_path = folder / RECORD
    record: dict[str, str] = json.loads(record_path.read_text()) if record_path.exists() else {}
    before = dict(record)
    changes: list[Change] = []
    for owner in homework:
        for stem in owner.modules:
            name = f"{owner.folder}/{stem}.py"
            text = stub(owner, stem)
            changes += _bring(folder / name, name, text, record, check)
        changes += _table_of_tasks(folder / owner.folder / "README.md", owner, check)
    if record != before and not check:
        _write(record_path, json.dumps(dict(sorted(record.items())), indent=2) + "\n")
    return changes


def _bring(path: Path, name: str, text: str, record: dict[str, str], check: bool) -> Iterator[Change]:
    """One stub: written if it is not there, or is still as it was generated."""
    current = path.read_text(encoding="utf-8") if path.exists() else None
    if current == text:
        if record.get(name) != _digest(text):
            if check:
                yield Change(f"assignments/{RECORD}", "out of date")
            record[name] = _digest(text)
        return
    if check:
        yield Change(f"assignments/{name}", "out of date")
    elif current is None or record.get(name) == _digest(current):
        _write(path, text)
        record[name] = _digest(text)
        yield Change(f"assignments/{name}", "written")
    else:
        _write(path.with_name(f"{path.name}.new"), text)
        yield Change(f"assignments/{name}", "edited")


def table_of_tasks(owner: Homework) -> str:
    """The handout's table: task, what is to be written in which line of which stub, points, minutes."""
    trees = {stem: ast.parse(stub(owner, stem)) for stem in owner.modules}
    lines = ["| task | what | write | points | minutes |", "|---|---|---|---|---|"]
    for task in owner.tasks:
        places: dict[str, list[str]] = {}
        for hole in task.holes:
            line = find(trees[hole.stem], hole.qualname).lineno
            places.setdefault(hole.stem, []).append(f"`{hole.qualname}` (line {line})")
        write = "; ".join(f"`{stem}.py`: {', '.join(holes)}" for stem, holes in places.items())
        lines.append(f"| [{task.id}]({task.anchor}) | {task.title} | {write} | {task.points} | {task.minutes} |")
    return "\n".join(lines)


def between(text: str, mark: str, new: str) -> str:
    """``text`` with ``new`` between ``<!-- mark -->`` and ``<!-- /mark -->``; as it is without the marks."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if begin not in text or end not in text:
        return text
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{new}\n{end}{rest.partition(end)[2]}"


def _table_of_tasks(path: Path, owner: Homework, check: bool) -> Iterator[Change]:
    yield from rewrite(path, "tasks", table_of_tasks(owner), check)


def rewrite(path: Path, mark: str, new: str, check: bool) -> Iterator[Change]:
    """Put ``new`` between the marks of a page, if it has any."""
    if path.exists():
        current = path.read_text(encoding="utf-8")
        text = between(current, mark, new)
        if text != current:
            if not check:
                _write(path, text)
            yield Change("/".join(path.parts[-3:]), "out of date" if check else "written")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
