"""The manifests: ``homework/hwN.toml`` says which functions of which reference modules a student writes, and as what.

A hole is named ``stem:qualname``: the stub file (without ``.py``) and the function or method in it. ``[modules]`` maps
each stub file to the reference module that it is cut from::

    [modules]
    resnet = "minicnn.models.resnet"

    [[task]]
    id = "hw4.2"
    title = "The basic block"
    points = 16
    holes = ["resnet:BasicBlock.forward"]

``closed`` names what else would answer the homework: while it is due, a student's edition has it without its bodies
(``"module:*"``, ``"module:qualname"``) or not at all (``"module"``, or the path of a file or folder). In the variant of
a term that is called NAME, ``[variants.NAME] holes`` puts other functions into a task.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import minicnn

from .edition import EDITION

FOLDER = Path(__file__).parent / "homework"
POINTS = 100  # of every homework
PACKAGE = Path(minicnn.__file__).parent


class ManifestError(ValueError):
    """A manifest that contradicts itself or the reference; the message starts with the file's name."""


@dataclass(frozen=True)
class Hole:
    """One function that a student writes: ``qualname`` in the stub file ``stem``; ``scaffold`` is left as comments."""

    stem: str
    qualname: str
    task: str
    scaffold: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.stem}:{self.qualname}"


@dataclass(frozen=True)
class Task:
    """An hour's work: one or a few holes, what they are worth, and the tasks whose code they build on."""

    id: str
    title: str
    points: int
    minutes: int
    holes: tuple[Hole, ...]
    needs: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Where the handout explains it: the heading ``## hw4.2 The basic block`` as a link."""
        kept = (c for c in f"{self.id} {self.title}".lower() if c.isalnum() or c in " -_")
        return "#" + "".join(kept).replace(" ", "-")


@dataclass(frozen=True, eq=False)
class Homework:
    """One assignment. ``modules`` maps stub files to reference modules, ``tests`` is the file that grades it."""

    id: str
    folder: str
    title: str
    lecture: tuple[str, ...]
    tests: str
    modules: Mapping[str, str]
    tasks: tuple[Task, ...]
    closed: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()  # the tasks in which a variant has other holes

    @property
    def handout(self) -> str:
        """The path of the handout, from the top of the course."""
        return f"assignments/{self.folder}/README.md"

    def task(self, name: str) -> Task:
        """The task called ``name`` (``"hw4.2"``). Raises ValueError for one that is not here."""
        for task in self.tasks:
            if task.id == name:
                return task
        raise ValueError(f"{self.id} has no task {name!r}; it has {', '.join(task.id for task in self.tasks)}")

    def holes(self, stem: str | None = None) -> tuple[Hole, ...]:
        """All holes, or those in one stub file."""
        return tuple(hole for task in self.tasks for hole in task.holes if stem in (None, hole.stem))


def reference_path(module: str) -> Path:
    """The file of a reference module. Those of minicnn are found by name alone, without an import.

    Raises:
        ManifestError: if there is no such module.
    """
    package, *rest = module.split(".")
    if package == "minicnn":
        path = PACKAGE.joinpath(*rest)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    else:
        spec = importlib.util.find_spec(module)
        path = Path(spec.origin if spec is not None and spec.origin else module)
    if not path.is_file():
        raise ManifestError(f"there is no module {module!r}")
    return path


def reference_source(module: str) -> str:
    """The text of a reference module with absolute imports, for it is cut and run outside its package."""
    path = reference_path(module)
    text = path.read_text(encoding="utf-8")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = re.sub(r"\bfrom\s+[.\w]+", f"from {name}", line, count=1)
    return "".join(lines)


def homework_ids() -> list[str]:
    """``["hw1", "hw2", ...]``."""
    return sorted(path.stem for path in FOLDER.glob("hw*.toml"))


def all_homework() -> Iterator[Homework]:
    """Every homework, in order."""
    return map(homework, homework_ids())


_variant = EDITION.variant if EDITION else ""


def check_variant(name: str) -> None:
    """Raises ValueError for what cannot be a variant's name: it stands in a version and in names of folders."""
    if re.search(r"[^A-Za-z0-9.-]", name):
        raise ValueError(f"expected letters, digits, dots and hyphens for a variant, got {name!r}")


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Inside, the course is as in the variant ``name``: its cases and its holes. ``""``: as it stands."""
    global _variant
    before, _variant = _variant, name
    try:
        yield
    finally:
        _variant = before


def public_seed() -> int:
    """The seed of the cases that students see, another one for each variant."""
    return crc32(_variant.encode())


def homework(name: str) -> Homework:
    """The homework called ``name``, always the same object.

    Raises:
        ValueError: for an unknown name, with the nearest one.
        ManifestError: for a manifest that does not fit together.
    """
    if name not in homework_ids():
        near = difflib.get_close_matches(name, homework_ids(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(homework_ids())}"
        raise ValueError(f"there is no homework {name!r}; {hint}")
    return _read(name, _variant)


@lru_cache
def _read(name: str, variant: str) -> Homework:
    path = FOLDER / f"{name}.toml"
    try:
        return _homework(tomllib.loads(path.read_text(encoding="utf-8")), name, variant)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ManifestError(f"{path.name}: {reason}") from error


def find_task(name: str) -> tuple[Homework, Task]:
    """The task called ``name``, e.g. ``"hw4.2"``, and its homework. Raises ValueError for an unknown name."""
    where = homework(name.partition(".")[0])
    return where, where.task(name)


def _homework(data: dict[str, Any], name: str, variant: str) -> Homework:
    keys = {"id", "folder", "title", "lecture", "tests", "modules", "task", "closed", "variants"}
    _only(data, "the manifest", keys)
    if data["id"] != name or not data["folder"].startswith(f"{name}_"):
        raise ValueError(f"id (={data['id']!r}) and folder (={data['folder']!r}) must be {name!r} and '{name}_...'")
    changed = data.get("variants", {}).get(variant, {})
    _only(changed, f"variants.{variant}", {"holes"})
    others = dict(changed.get("holes", {}))
    entries = [_changed(entry, others.pop(entry["id"])) if entry["id"] in others else entry for entry in data["task"]]
    tasks = tuple(_task(entry, data["modules"]) for entry in entries)
    if others:  # each has been taken
        raise ValueError(f"variants.{variant}: holes for {sorted(others)}, which are no tasks of {name}")
    names = [task.id for task in tasks]
    if names != [f"{name}.{number}" for number in range(1, len(tasks) + 1)]:
        raise ValueError(f"the tasks must be called {name}.1, {name}.2 ... in order, got {names}")
    for task in tasks:
        if unknown := set(task.needs) - set(names) | {task.id} & set(task.needs):
            raise ValueError(f"{task.id} needs {sorted(unknown)}, which are no other tasks of {name}")
    if (total := sum(task.points for task in tasks)) != POINTS:
        raise ValueError(f"the tasks' points must add up to {POINTS}, got {total}")
    holes = [str(hole) for task in tasks for hole in task.holes]
    if twice := {hole for hole in holes if holes.count(hole) > 1}:
        raise ValueError(f"a hole belongs to one task, these are in two: {sorted(twice)}")
    return Homework(
        name, data["folder"], data["title"], tuple(data["lecture"]), data["tests"], dict(data["modules"]), tasks,
        tuple(data.get("closed", ())), frozenset(changed.get("holes", ())),
    )  # fmt: skip


def _changed(entry: dict[str, Any], holes: list[str]) -> dict[str, Any]:
    """A task with other holes; of its scaffold what is for one of them."""
    names = {hole.partition(":")[2] for hole in holes}
    scaffold = {name: text for name, text in entry.get("scaffold", {}).items() if name in names}
    return {**entry, "holes": holes, "scaffold": scaffold}


def _task(data: dict[str, Any], modules: Mapping[str, str]) -> Task:
    name = data["id"]
    _only(data, name, {"id", "title", "points", "minutes", "holes", "needs", "scaffold"})
    scaffold = dict(data.get("scaffold", {}))
    holes = []
    for spelled in data["holes"]:
        stem, _, qualname = spelled.partition(":")
        if stem not in modules or not qualname:
            raise ValueError(
                f"{name}: expected a hole 'stem:name' with a stem among {sorted(modules)}, got {spelled!r}"
            )
        lines = scaffold.pop(qualname, "").strip("\n").splitlines()
        holes.append(Hole(stem, qualname, name, tuple(lines)))
    if scaffold:
        raise ValueError(f"{name}: a scaffold for {sorted(scaffold)}, which are not its holes")
    return Task(name, data["title"], data["points"], data["minutes"], tuple(holes), tuple(data.get("needs", ())))


def _only(data: Mapping[str, Any], where: str, known: set[str]) -> None:
    if unknown := set(data) - known:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}; known are {sorted(known)}")
