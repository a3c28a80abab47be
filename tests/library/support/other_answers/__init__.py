"""Right answers to the homework by other algorithms: ``loops`` and ``whole_arrays``.

A file holds what its author wrote for one stub: functions that are named as the holes, whose bodies count, and the
imports and helpers that these need. The bodies are put into today's stub, and the rest is written below it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from minicnn.course.build import stub
from minicnn.course.holes import body, fill
from minicnn.course.manifest import Homework

AUTHORS = ("loops", "whole_arrays")


def written(owner: Homework, stem: str, author: str) -> str:
    """One file of a homework as the author hands it in."""
    answer = (Path(__file__).parent / author / owner.folder / f"{stem}.py").read_text(encoding="utf-8")
    holes = [hole.qualname for hole in owner.holes(stem)]
    filled = fill(stub(owner, stem), {name: body(answer, name) for name in holes})
    return filled + _helpers(answer, {name.partition(".")[0] for name in holes})


def hand_in(top: Path, owner: Homework, author: str) -> Path:
    """Write a homework into ``top/hwN_topic``, which is returned."""
    folder = top / owner.folder
    folder.mkdir(parents=True)
    for stem in owner.modules:
        (folder / f"{stem}.py").write_text(written(owner, stem, author), encoding="utf-8")
    return folder


def _helpers(answer: str, holes: set[str]) -> str:
    """The author's own imports and functions, without their comments."""
    _docstring, *statements = ast.parse(answer).body
    future = [part for part in statements if isinstance(part, ast.ImportFrom) and part.module == "__future__"]
    own = [part for part in statements if getattr(part, "name", "") not in holes and part not in future]
    return "".join(f"\n\n{ast.unparse(statement)}\n" for statement in own)
