"""The cache of results: under which key one is kept, and how it is written and read.

A kept result is right as long as nothing that it was computed from has changed. So the key is a digest of the settings
and of the code: the figure's module, without the functions that only tabulate and draw; the modules of ``lecture`` that
it imports, directly or not; all of the library below ``lecture`` but what draws, since a figure that trains a network
runs most of it; and with ``--mine`` the student's files. A change to the drawing alone needs no new computation.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Collection, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..serialization.atomic import replacing

LECTURE = Path(__file__).parent
PACKAGE = LECTURE.parent
ABOVE = ("lecture", "cli", "course")  # parts of the package of which a figure needs some modules or none
DRAWING = ("utils/style.py", "training/curves.py")


def key(source: Path, presentation: Collection[str], asked: Collection[str]) -> str:
    """The digest under which a result is kept.

    Args:
        source: the figure's module.
        presentation: names of its functions that do not change the result.
        asked: everything else on which the result depends, as text.
    """
    parts = [_library(), np.__version__, *asked, _without(source.read_text(encoding="utf-8"), presentation)]
    parts += [path.read_text(encoding="utf-8") for path in sorted(shared_modules(source) - {source})]
    parts += [path.read_bytes().hex() for path in _replacements()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def shared_modules(source: Path) -> set[Path]:
    """The modules of ``lecture`` that the one at ``source`` imports, those that these import, and so on."""
    found: set[Path] = set()
    unread = [source]
    while unread:
        for path in _imported(unread.pop()):
            if path.is_file() and path not in found:
                found.add(path)
                unread.append(path)
    return found


def _imported(source: Path) -> Iterator[Path]:
    """Where the modules of ``lecture`` would be that a module imports from: ``a/b.py`` for ``from .a.b import c``.

    And ``a/b/c.py``, in case that ``c`` is a module itself.
    """
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = node.module.split(".") if node.module else []
            folder = source.parents[node.level - 1] if node.level else PACKAGE.parent
            for path in (folder.joinpath(*names), *(folder.joinpath(*names, alias.name) for alias in node.names)):
                if LECTURE in path.parents:
                    yield path.with_suffix(".py")


def _without(source: str, functions: Collection[str]) -> str:
    """The code of a module, without comments and without some of its functions."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in functions)]
    return ast.dump(tree)


@cache
def _library() -> str:
    """A digest of all code below ``lecture``, kernels of the GPU included, without what draws."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] in ABOVE or relative.as_posix() in DRAWING:
            continue
        if path.suffix in (".py", ".cu", ".cuh"):
            digest.update(f"{relative.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _replacements() -> list[Path]:
    """The files from elsewhere that now replace modules of the library, with those in their folders."""
    loaded = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    files = [Path(file) for name, file in loaded if file and name.partition(".")[0] == PACKAGE.name]
    return sorted({beside for file in files if PACKAGE not in file.parents for beside in file.parent.glob("*.py")})


def fingerprint(data: str) -> str:
    """What identifies a data set of the command line: its name, and the size and time of each of its files."""
    kind, _, folder = data.partition(":")
    if not folder:
        return kind
    root = Path(folder).expanduser().resolve()
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*")) if path.is_file())
    return "\n".join([f"{kind}:{root}", *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)])


def write(path: Path, data: Any, compressed: bool = False) -> None:
    """Write a dataclass of arrays, numbers and strings to ``path``."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(data, field.name)) for field in fields(data)}
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def read(path: Path, result: type) -> Any:
    """Read what ``write`` wrote. Numbers and strings keep their type, sequences become arrays."""
    with np.load(path) as arrays:
        return result(**{name: array if array.ndim else array.item() for name, array in arrays.items()})
