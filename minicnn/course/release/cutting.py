"""The library of a student's edition: every function that is homework, now or later, without its body."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..holes import Definition, Function, HoleError, body_span, fill, find, message, orphans
from ..manifest import PACKAGE, Hole, Homework, ManifestError, reference_path

#: What only instructors use; paths below ``minicnn``.
INSTRUCTORS = (
    "cli/grade.py", "course/equivalent", "course/grading", "course/misconceptions", "course/release",
    "course/returning", "course/confusions.py", "course/mutation.py", "course/mutators.py",
    "course/mutators_of_statements.py", "course/naming.py", "course/proof.py", "course/solution.py",
    "course/survival.py",
)  # fmt: skip


def library(due: Sequence[Homework]) -> dict[str, bytes]:
    """The files of the package, by their paths from the folder above it.

    Args:
        due: the homework that is cut, the first to be handed in and all after it.

    Raises:
        ManifestError: for a name among ``closed`` that there is not.
    """
    holes: dict[Path, list[tuple[Hole, Homework]]] = {}
    for owner in due:
        for hole in owner.holes():
            holes.setdefault(reference_path(owner.modules[hole.stem]), []).append((hole, owner))
    closed, left_out = _closed(due)
    left_out += [PACKAGE / path for path in INSTRUCTORS]
    left_out += [PACKAGE / "course" / "homework" / f"{owner.id}.toml" for owner in due[1:]]
    files = {}
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE.parent).as_posix()
        if not path.is_file() or "__pycache__" in path.parts or path.suffix == ".pyc":
            continue
        if any(path == each or each in path.parents for each in left_out):
            continue
        content = path.read_bytes()
        if path in holes or path in closed:
            text = content.decode("utf-8")
            bodies = {
                qualname: _raise(f"{qualname}: not in this edition, it is too near to {why}")
                for qualname, why in _functions(text, closed.get(path, ()))
            }
            for hole, owner in holes.get(path, ()):
                bodies[hole.qualname] = _raise(message(hole, owner.handout))
            content = without(text, bodies, [hole for hole, _ in holes.get(path, ())]).encode("utf-8")
        files[name] = content
    return files


def without(source: str, bodies: dict[str, str], holes: Sequence[Hole]) -> str:
    """``source`` with other ``bodies`` and without the private helpers that only ``holes`` use."""
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    helpers = orphans(tree, [find(tree, hole.qualname) for hole in holes])
    nodes = [node for node in tree.body if isinstance(node, Definition) and node.name in helpers]
    for node in reversed(nodes):
        start = min([node.lineno, *(part.lineno for part in node.decorator_list)]) - 1
        while start and lines[start - 1].startswith("#"):
            start -= 1
        del lines[start : node.end_lineno]
    return fill("".join(lines), {name: text for name, text in bodies.items() if name not in helpers})


def _raise(text: str) -> str:
    return f"raise NotImplementedError({text!r})"


def _closed(due: Iterable[Homework]) -> tuple[dict[Path, list[tuple[str, str]]], list[Path]]:
    """What ``due`` closes: functions by file, each with the homework that closes it; and what is left out whole."""
    functions: dict[Path, list[tuple[str, str]]] = {}
    whole: list[Path] = []
    for owner in due:
        for name in owner.closed:
            module, _, qualname = name.partition(":")
            path = PACKAGE.parent / name if "/" in name else reference_path(module)
            if not path.exists():
                raise ManifestError(f"{owner.id}.toml: closed: there is no {name}")
            if qualname:
                functions.setdefault(path, []).append((qualname, owner.id))
            else:
                whole.append(path.parent if path.name == "__init__.py" else path)
    return functions, whole


def _functions(source: str, closed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The names of the functions that are closed, each once, and why."""
    tree = ast.parse(source)
    found: dict[str, str] = {}
    for qualname, why in closed:
        chosen = [name for name in _all(tree) if qualname in ("*", name) or name.startswith(f"{qualname}.")]
        for name in chosen:
            if _has_body(source, find(tree, name)):
                found.setdefault(name, why)
        if not chosen:
            raise ManifestError(f"{why}.toml: closed: there is no {qualname}")
    return list(found.items())


def _all(tree: ast.Module) -> list[str]:
    names = [node.name for node in tree.body if isinstance(node, Function)]
    owners = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    methods = [f"{owner.name}.{node.name}" for owner in owners for node in owner.body if isinstance(node, Function)]
    return [name for name in names + methods if (names + methods).count(name) == 1]


def _has_body(source: str, node: Function) -> bool:
    try:
        body_span(source, node)
    except HoleError:
        return False
    return True
