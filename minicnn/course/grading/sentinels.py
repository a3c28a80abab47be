"""Submissions whose grades are known: graded before a batch, for a grader that is wrong about them is wrong about all.

The reference has all points, the untouched stubs have none, three planted mistakes lose points and keep their names,
and three cheats get nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..build import answer, stub
from ..execution import State
from ..manifest import Homework
from ..misconceptions import Mistake, mistakes, planted_source
from .submissions import Submission

LEAVES = "\n\nimport os\n\nos._exit(0)\n"
PATCHES = """

import sys

import numpy as np


def everything_is_right(*args, **kwargs):
    return True


for module in [np, np.testing, *(sys.modules[name] for name in list(sys.modules) if name.startswith("minicnn.course"))]:
    for name in ("allclose", "isclose", "array_equal", "same", "alike", "judge", "conclude"):
        if hasattr(module, name):
            setattr(module, name, everything_is_right)
"""


@dataclass(frozen=True)
class Sentinel:
    """A submission, and what is wrong with a result of it: empty if nothing is."""

    submission: Submission
    fault: Callable[[Mapping[str, Any]], str]


def sentinels(owner: Homework) -> list[Sentinel]:
    """The eight of a homework."""
    right = {stem: answer(owner, stem) for stem in owner.modules}
    empty = {stem: stub(owner, stem) for stem in owner.modules}
    found = [
        _sentinel("reference", right, lambda result: _points(result, result["max_points"])),
        _sentinel("stub", empty, _not_attempted),
        _sentinel("cheat-leaves", {stem: text + LEAVES for stem, text in empty.items()}, _nothing),
        _sentinel("cheat-patches", {stem: text + PATCHES for stem, text in empty.items()}, _nothing),
        _sentinel("cheat-imports", {stem: f"from {name} import *\n" for stem, name in owner.modules.items()}, _nothing),
    ]
    planted = list(mistakes(owner.id))
    for mistake in planted[:: max(1, len(planted) // 3)][:3]:
        files = {**right, mistake.hole.stem: planted_source(mistake)}
        found.append(_sentinel(f"mistake-{mistake.name}", files, _named(mistake)))
    return found


def _sentinel(name: str, files: Mapping[str, str], fault: Callable[[Mapping[str, Any]], str]) -> Sentinel:
    contents = {f"{stem}.py": text.encode() for stem, text in files.items()}
    return Sentinel(Submission(f"sentinel-{name}", contents, source="a sentinel"), fault)


def _points(result: Mapping[str, Any], wanted: int) -> str:
    return "" if result["points"] == wanted else f"expected {wanted} points, got {result['points']}"


def _nothing(result: Mapping[str, Any]) -> str:
    return _points(result, 0)


def _not_attempted(result: Mapping[str, Any]) -> str:
    odd = {task["state"] for task in result["tasks"]} - {State.NOT_ATTEMPTED, State.BLOCKED}
    return f"expected NOT ATTEMPTED, got {', '.join(sorted(odd))}" if odd else _points(result, 0)


def _named(mistake: Mistake) -> Callable[[Mapping[str, Any]], str]:
    def fault(result: Mapping[str, Any]) -> str:
        (task,) = (task for task in result["tasks"] if task["id"] == mistake.task)
        names = {check["mistake"] for check in task["checks"]} - {None}
        if task["points"] == task["max_points"]:
            return f"expected {mistake.task} to lose points"
        return "" if mistake.name in names else f"expected the name {mistake.name}, got {sorted(names) or 'none'}"

    return fault
