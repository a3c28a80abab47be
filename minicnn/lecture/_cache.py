"""Results of figures that are kept: under which key, and how.

A kept result is right as long as nothing that it was computed from has changed. So the key is a digest of the code, as
well as of what was asked for: the figure's module, less what only tabulates and draws; the modules of ``lecture`` that
it imports, directly or not; all of the library below ``lecture``, since a figure that trains a network runs most of it;
and with ``--mine`` the student's files. To draw a figure anew costs no new computation.
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
ABOVE = ("lecture", "cli", "course")  # the parts of the package whose code no figure's numbers depend on as a whole


def key(source: Path, presentation: Collection[str], asked: Collection[str]) -> str:
    """The digest under which a result is kept.

    Args:
        source: the figure's module.
        presentation: names of its functions that do not touch the result.
        asked: everything else that decides the result, as text.
    """
    parts = [_library(), np.__version__, *asked, _without(source.read_text(encoding="utf-8"), presentation)]
    parts += [path.read_text(encoding="utf-8") for path in sorted(shared_modules(source) - {source})]
    parts += [path.read_bytes().hex() for path in _replacements()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def shared_modules(source: Path) -> set[Path]:
    """The modules of ``lecture`` that the one at ``source`` imports, those that these import, and so on."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        for name in _imported(waiting.pop().read_text(encoding="utf-8")):
            path = LECTURE / f"{name}.py"
            if path.is_file() and path not in found:
                found.add(path)
                waiting.append(path)
    return found


def _imported(source: str) -> Iterator[str]:
    """The names in ``lecture`` that a module imports from, wherever it does: ``x`` of ``from .x import y``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            inside, _, name = (node.module or "").partition("minicnn.lecture")
            if node.level == 1 and node.module:
                yield node.module
            elif node.level == 1 or (node.level == 0 and not inside and node.module == "minicnn.lecture"):
                yield from (alias.name for alias in node.names)
            elif node.level == 0 and not inside and name.startswith("."):
                yield name[1:]


def _without(source: str, functions: Collection[str]) -> str:
    """The code of a module, without comments and without some of its functions."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in functions)]
    return ast.dump(tree)


@cache
def _library() -> str:
    """A digest of all code below ``lecture``, kernels of the GPU included."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] not in ABOVE and path.suffix in (".py", ".cu", ".cuh"):
            digest.update(f"{relative.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _replacements() -> list[Path]:
    """The files from elsewhere that stand for modules of the library now, with those beside them."""
    loaded = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    files = [Path(file) for name, file in loaded if file and name.partition(".")[0] == PACKAGE.name]
    return sorted({beside for file in files if PACKAGE not in file.parents for beside in file.parent.glob("*.py")})


def fingerprint(data: str) -> str:
    """What tells a data set of the command line from another: its name, and the size and time of each of its files."""
    kind, _, folder = data.partition(":")
    if not folder:
        return kind
    root = Path(folder).expanduser().resolve()
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*")) if path.is_file())
    return "\n".join([f"{kind}:{root}", *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)])


def write(path: Path, data: Any) -> None:
    """Keep a dataclass of arrays, numbers and strings."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(data, field.name)) for field in fields(data)}
        np.savez(file, **arrays)


def read(path: Path, result: type) -> Any:
    """What ``write`` kept. Numbers and strings come back as such, sequences as arrays."""
    with np.load(path) as arrays:
        return result(**{name: array if array.ndim else array.item() for name, array in arrays.items()})
