"""Proof that a homework's checks are worth something: every planted mistake and every cheat against them.

For each homework: the untouched stubs are NOT ATTEMPTED and never WRONG; the reference has all points; every planted
mistake, and every cheat that needs no thought (None, the input, zeros, ones, noise of the right shape), loses points
in a check of its own task; and a mistake handed in by a student is called by its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from .. import Tensor
from .answers import expected_outcomes
from .build import answer, stub
from .checks import checks_of
from .execution import State, alike
from .judging import judge
from .loading import Unloadable, reference_modules
from .manifest import Hole, Homework
from .misconceptions import Mistake, load_source, mistakes
from .naming import identify, suspect_outcomes

SEED = 0  # of the cases
PATIENCE = 60.0  # seconds to look for a name in
CHEATS = ("None", "the input", "zeros", "ones", "noise")


@dataclass(frozen=True)
class Finding:
    """One wrong solution and what the checks of its task made of it. ``caught_by`` are the checks it failed."""

    task: str
    what: str
    caught_by: tuple[str, ...]
    named: bool = False


def stub_modules(homework: Homework) -> dict[str, ModuleType | Unloadable]:
    """The homework as it is handed out."""
    return {stem: load_source(stub(homework, stem), homework, stem) for stem in homework.modules}


def prove_stubs(homework: Homework) -> list[str]:
    """The checks that an untouched homework does not show as not attempted, each as a sentence."""
    modules = stub_modules(homework)
    found = []
    for task in homework.tasks:
        for check in checks_of(task.id):
            verdict = judge(check, modules)
            if verdict.state not in (State.NOT_ATTEMPTED, State.BLOCKED):
                found.append(f"{check.name}: the untouched stub is {verdict.state}: {verdict.message}")
    return found


def prove_mistake(homework: Homework, mistake: Mistake) -> Finding:
    """Which checks of its task catch a planted mistake, and whether it is called by its name among all planted ones."""
    outcomes = {check: suspect_outcomes((mistake,), check, SEED) for check in checks_of(mistake.task)}
    caught = [check for check in outcomes if not alike(outcomes[check], expected_outcomes(check, SEED))]
    names = {identify(check, outcomes[check], SEED, outcomes, PATIENCE, by_mutants=False) for check in caught} - {None}
    named = {name.name for name in names if name is not None} == {mistake.name}
    return Finding(mistake.task, mistake.name, tuple(check.name for check in caught), named)


def prove_cheats(homework: Homework, hole: Hole) -> Iterator[Finding]:
    """The first check that catches a hole which returns something without looking."""
    checks = checks_of(hole.task)
    for cheat in CHEATS:
        modules = cheating(homework, hole, cheat)
        if modules is not None:
            caught = tuple(islice((check.name for check in checks if judge(check, modules).state is not State.PASS), 1))
            if caught or cheat in ("None", "the input") or _gives_anything(modules[hole.stem], hole):
                yield Finding(hole.task, f"{hole.qualname} returns {cheat}", caught)


def _gives_anything(module: ModuleType, hole: Hole) -> bool:
    """Whether a cheat replaced a value: a hole that only changes its object has none, and "None" is its cheat."""
    cheated: Any = module
    for name in hole.qualname.split("."):
        cheated = getattr(cheated, name)
    return cheated.replaced > 0


def cheating(homework: Homework, hole: Hole, cheat: str) -> dict[str, ModuleType] | None:
    """The reference with one hole replaced by a cheat; None where the cheat makes no sense (a constructor's zeros)."""
    if hole.qualname.endswith("__init__") and cheat != "None":
        return None
    module = load_source(answer(homework, hole.stem), homework, hole.stem)
    assert isinstance(module, ModuleType), module
    owner_path, _, name = hole.qualname.rpartition(".")
    owner: Any = getattr(module, owner_path) if owner_path else module
    static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    takes_self = 1 if owner_path and not static else 0
    wrapped = _cheat(getattr(owner, name), cheat, takes_self)
    setattr(owner, name, staticmethod(wrapped) if static else wrapped)
    return {**reference_modules(homework), hole.stem: module}


def _cheat(function: Callable[..., Any], cheat: str, skip: int) -> Callable[..., Any]:
    @wraps(function)
    def cheated(*args: Any, **kwargs: Any) -> Any:
        cheated.replaced += 1  # type: ignore[attr-defined]
        if cheat == "None":  # and nothing is written either
            return None
        if cheat == "the input":
            inputs = args[skip:] or tuple(kwargs.values())
            return next((x for x in inputs if isinstance(x, (np.ndarray, Tensor))), inputs[0] if inputs else None)
        before = [arg.copy() if isinstance(arg, np.ndarray) else None for arg in args]
        result = function(*args, **kwargs)
        if result is None:  # it writes its result into an argument, or into its object
            written = [arg for arg, old in zip(args, before, strict=True) if old is not None and (arg != old).any()]
            for arg in written:
                arg[...] = _like(arg, cheat)
            cheated.replaced -= not written  # type: ignore[attr-defined]
        return _like(result, cheat)

    cheated.replaced = 0  # type: ignore[attr-defined]
    return cheated


def _like(value: Any, cheat: str) -> Any:
    """Zeros, ones or noise in the shape of ``value``."""
    if isinstance(value, Tensor):
        return Tensor(_like(value.detach().array, cheat))
    if isinstance(value, np.ndarray) or np.isscalar(value) and not isinstance(value, (str, bool)):
        array = np.asarray(value)
        if cheat == "noise":
            filled = np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
        else:
            filled = np.full_like(array, 0 if cheat == "zeros" else 1)
        return filled if isinstance(value, np.ndarray) else type(value)(filled.item())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_like(part, cheat) for part in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_like(part, cheat) for part in value)
    if isinstance(value, dict):
        return {key: _like(part, cheat) for key, part in value.items()}
    return None


def table(findings: Sequence[Finding]) -> list[str]:
    """Markdown rows: the mistake, and the tests that catch it."""
    lines = ["| task | mistake | caught by |", "|---|---|---|"]
    lines += [
        f"| {f.task} | {f.what} | {', '.join(f'`{name}`' for name in f.caught_by) or '**nothing**'} |" for f in findings
    ]
    return lines


def all_mistakes(homework: Homework) -> list[Finding]:
    """Every planted mistake of a homework against its checks."""
    return [prove_mistake(homework, mistake) for mistake in mistakes(homework.id)]
