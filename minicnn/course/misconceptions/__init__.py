"""Planted wrong solutions: the mistakes that students make, written down as small changes of the reference.

They prove the checks (each must lose points in its own task) and they teach: a wrong answer that equals one of them
is called by its name. ``hwN.toml`` beside this file::

    [[mistake]]
    task = "hw4.2"
    name = "relu-before-addition"
    diagnosis = "The last ReLU comes before the addition, so the block can only add to its input."
    hint = "Figure 2 of the paper: F(x) + x first, then the ReLU."
    hole = "resnet:BasicBlock.forward"
    edits = [["old text", "new text"]]  # each old text once in the hole; or body = "the whole new body"
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from ..build import answer
from ..holes import fill, find
from ..loading import Unloadable, load, module_name
from ..manifest import Hole, Homework, ManifestError, find_task, homework

FOLDER = Path(__file__).parent
KEYS = {"task", "name", "diagnosis", "hint", "hole", "edits", "body"}


@dataclass(frozen=True)
class Mistake:
    """One planted mistake. ``edits`` are replacements in the hole's text; ``body``, if not None, is all of its body."""

    task: str
    name: str
    diagnosis: str
    hint: str
    hole: Hole
    edits: tuple[tuple[str, str], ...]
    body: str | None

    def __str__(self) -> str:
        return f"{self.task} {self.name}"


def mistakes(homework_id: str) -> tuple[Mistake, ...]:
    """All planted mistakes of a homework; in a variant, those in functions that are still to be written.

    Raises:
        ManifestError: for an entry that does not fit the manifest.
    """
    return _mistakes(homework(homework_id))


@lru_cache
def _mistakes(owner: Homework) -> tuple[Mistake, ...]:
    path = FOLDER / f"{owner.id}.toml"
    if not path.exists():
        return ()
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mistake"]
    written = {(hole.task, str(hole)) for hole in owner.holes()}
    entries = [
        each for each in entries if each.get("task") not in owner.changed or (each["task"], each.get("hole")) in written
    ]
    found = tuple(_mistake(entry, owner, path.name) for entry in entries)
    names = [mistake.name for mistake in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ManifestError(f"{path.name}: two mistakes have one name: {sorted(twice)}")
    return found


def _mistake(entry: dict[str, Any], owner: Homework, file: str) -> Mistake:
    name = entry.get("name", "a mistake without a name")
    if unknown := set(entry) - KEYS:
        raise ManifestError(f"{file}: {name}: unknown keys {sorted(unknown)}; known are {sorted(KEYS)}")
    if missing := KEYS - {"edits", "body"} - set(entry):
        raise ManifestError(f"{file}: {name}: missing {sorted(missing)}")
    if ("edits" in entry) == ("body" in entry):
        raise ManifestError(f"{file}: {name}: expected either edits or body")
    holes = {str(hole): hole for hole in owner.holes()}
    if entry["hole"] not in holes or holes[entry["hole"]].task != entry["task"]:
        raise ManifestError(f"{file}: {name}: {entry['task']} has no hole {entry['hole']!r}")
    edits = tuple((old, new) for old, new in entry.get("edits", ()))
    return Mistake(
        entry["task"], name, entry["diagnosis"], entry["hint"], holes[entry["hole"]], edits, entry.get("body")
    )


def planted_source(mistake: Mistake) -> str:
    """What a student hands in who makes one mistake: the stub with the reference's bodies, and the mistake in one.

    Raises:
        ManifestError: for an edit whose old text is not exactly once in the hole, or that gives no Python.
    """
    owner, _ = find_task(mistake.task)
    source = answer(owner, mistake.hole.stem)
    if mistake.body is not None:
        changed = fill(source, {mistake.hole.qualname: mistake.body})
    else:
        lines = source.splitlines(keepends=True)
        node = find(ast.parse(source), mistake.hole.qualname)
        start, stop = node.lineno - 1, node.end_lineno or node.lineno
        text = "".join(lines[start:stop])
        for old, new in mistake.edits:
            if text.count(old) != 1:
                raise ManifestError(
                    f"{mistake}: expected once in {mistake.hole}, found {text.count(old)} times: {old!r}"
                )
            text = text.replace(old, new)
        changed = "".join([*lines[:start], text, *lines[stop:]])
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise ManifestError(f"{mistake}: line {error.lineno}: {error.msg}") from error
    return changed


def load_source(source: str, owner: Homework, stem: str) -> ModuleType | Unloadable:
    """Import a text as a student's file. Numba does not compile it: it is run a few times and thrown away."""
    with TemporaryDirectory() as folder, _interpreted():
        path = Path(folder) / f"{stem}.py"
        path.write_text(source, encoding="utf-8")
        module = load(owner, stem, path)
    sys.modules.pop(module_name(path), None)  # hundreds of them are planted, each to be used and forgotten
    return module


@contextmanager
def _interpreted() -> Iterator[None]:
    """``@njit`` gives back the Python function inside the block."""
    import numba

    config: Any = numba.config

    before, config.DISABLE_JIT = config.DISABLE_JIT, True
    try:
        yield
    finally:
        config.DISABLE_JIT = before


__all__ = ["Mistake", "load_source", "mistakes", "planted_source"]
