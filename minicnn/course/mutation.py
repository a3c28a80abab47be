"""Mutants: the reference with one small systematic change in a hole (``mutators``), to be run in its place.

A hole's function is changed in a copy of its module by exchanging its code object. That takes a fraction of a
millisecond, so that hundreds can be tried on a check.
"""

from __future__ import annotations

import ast
import copy
import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from .build import answer
from .checks import Case, Check
from .confusions import Function, Scope
from .deadline import TimeIsUp, deadline
from .execution import Failure, Outcome, State, execute
from .holes import find
from .loading import reference_modules
from .manifest import Hole, Homework, find_task, reference_source
from .misconceptions import Mistake, load_source, planted_source
from .mutators import MUTATORS

SKIPPED = (ast.JoinedStr, ast.Assert)  # the text of an error is not graded


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change in one hole. ``key`` says which; unrelated changes of the reference leave it as it is."""

    hole: Hole
    kind: str
    key: str
    sentence: str
    line: int
    scope: Scope
    changes: Mapping[ast.AST, ast.AST]

    def __str__(self) -> str:
        return f"{self.hole}: {self.key}"

    @property
    def function(self) -> Function:
        """The changed function."""
        path = set(self.changes)
        for node in self.changes:
            while node in self.scope.parents:
                node = self.scope.parents[node]
                path.add(node)
        made: Function = _replaced(self.scope.function, self.changes, path)
        return made


Wrong = Mutant | Mistake


@cache
def mutants(hole: Hole) -> tuple[Mutant, ...]:
    """All mutants of a hole whose text differs from the reference's and from each other's, the telling ones first."""
    scope = Scope(reference_function(hole))
    nodes = list(_changeable(scope.function))
    seen: set[Any] = set()
    keys: Counter[str] = Counter()
    found = []
    for kind, mutate in MUTATORS.items():
        for node in nodes:
            for changes, sentence in mutate(node, scope):
                text = frozenset(_changed_text(old, new, scope) for old, new in changes.items())
                key = _key(changes, scope)
                if text in seen or any(was == now for _, was, now in text) or _loses_super(changes):
                    continue
                seen.add(text)
                keys[key] += 1
                key += f" #{keys[key]}" if keys[key] > 1 else ""
                line = min(part.lineno for old in changes for part in ast.walk(old) if hasattr(part, "lineno"))
                found.append(Mutant(hole, kind, key, sentence, line, scope, changes))
    return tuple(found)


def _changed_text(old: ast.AST, new: ast.AST, scope: Scope) -> tuple[ast.AST, str, str]:
    """The smallest statement around ``old``, its text, and its text with ``new`` in it."""
    statement, path = old, {old}
    while not isinstance(statement, ast.stmt):
        statement = scope.parents[statement]
        path.add(statement)
    return statement, ast.unparse(statement), ast.unparse(_replaced(statement, {old: new}, path))


def _key(changes: Mapping[ast.AST, ast.AST], scope: Scope) -> str:
    """``was -> now``, in the surroundings where it is a name or a number only."""
    if len(changes) == 1:
        ((old, new),) = changes.items()
        if isinstance(old, (ast.Name, ast.Constant, ast.UnaryOp)):
            around = scope.parents[old]
            return f"{_headline(around)} -> {_headline(_replaced(around, changes, {old, around}))}"
        if isinstance(old, ast.stmt) and isinstance(new, ast.If):  # a statement before it
            return f"-> {_headline(new.body[0])}"
    return f"{'; '.join(map(_headline, changes))} -> {'; '.join(map(_headline, changes.values()))}"


def _loses_super(changes: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether ``super()`` goes: such code closes over nothing and does not fit, and would fail at once."""
    return any("super()" in ast.unparse(old) and "super()" not in ast.unparse(new) for old, new in changes.items())


def reference_function(hole: Hole) -> Function:
    """The function that fills the hole, without its docstring."""
    owner, _ = find_task(hole.task)
    function = find(ast.parse(reference_source(owner.modules[hole.stem])), hole.qualname)
    if ast.get_docstring(function) is not None:
        del function.body[0]
    return function


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """The function itself (for its statements) and all nodes of its body, but for messages and annotations."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("args", "decorator_list", "annotation", "returns") and not isinstance(node, ast.Call):
            continue
        if isinstance(node, ast.Raise) and field == "exc":
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and not isinstance(part, SKIPPED):
                yield from _changeable(part)


def _replaced(tree: Any, changes: Mapping[ast.AST, ast.AST], path: set[ast.AST]) -> Any:
    """``tree`` with other nodes in the place of some. Only the nodes on the path to them are copied."""
    if isinstance(tree, list):
        return [_replaced(part, changes, path) for part in tree]
    if tree not in path:
        return tree
    if tree in changes:
        return ast.fix_missing_locations(ast.copy_location(copy.copy(changes[tree]), tree))
    made = copy.copy(tree)
    for field, value in ast.iter_fields(tree):
        if isinstance(value, (list, ast.AST)):
            setattr(made, field, _replaced(value, changes, path))
    return made


def _headline(node: ast.AST) -> str:
    """The text of an expression or a statement; of one with a block the line above the block."""
    return ast.unparse(node).partition("\n")[0]


def _code(function: Function, hole: Hole, file: str) -> CodeType | None:
    """The code object of a changed function; None if it is no Python, or closes over other names than before."""
    bare = copy.copy(function)
    bare.decorator_list = []
    owner, _, name = hole.qualname.rpartition(".")
    holder: ast.stmt = bare
    if owner:
        holder = ast.parse(f"class {owner}: pass").body[0]
        holder.body = [bare]  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings(action="ignore"):  # a call of a tuple, say
            code = compile(ast.fix_missing_locations(ast.Module([holder], [])), file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, TypeError):
        return None
    for part in ([owner] if owner else []) + [name]:
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == part)
    return code


@lru_cache
def _host(owner: Homework, stem: str) -> ModuleType:
    """A copy of a reference module whose functions may be changed."""
    module = load_source(answer(owner, stem), owner, stem)
    assert isinstance(module, ModuleType), module
    return module


def _target(module: ModuleType, hole: Hole) -> FunctionType:
    found: Any = module
    for name in hole.qualname.split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "__func__", found)
    return inspect.unwrap(found)


def function_of(wrong: Wrong) -> Function:
    """The changed function, as a tree."""
    if isinstance(wrong, Mutant):
        return wrong.function
    return find(ast.parse(planted_source(wrong)), wrong.hole.qualname)


@cache
def _compiled(wrong: Wrong, host: ModuleType) -> CodeType | None:
    return _code(function_of(wrong), wrong.hole, str(host.__file__))


@contextmanager
def in_place(*wrongs: Wrong) -> Iterator[dict[str, ModuleType]]:
    """The reference modules with mutants or planted mistakes in them, in different holes, inside the block."""
    owner, _ = find_task(wrongs[0].hole.task)
    modules: dict[str, ModuleType] = {**reference_modules(owner)}
    before: list[tuple[FunctionType, CodeType]] = []
    try:
        for wrong in wrongs:
            host = modules[wrong.hole.stem] = _host(owner, wrong.hole.stem)
            function, code = _target(host, wrong.hole), _compiled(wrong, host)
            assert code is not None, wrong
            before.append((function, function.__code__))
            function.__code__ = code
        yield modules
    finally:
        for function, code in reversed(before):
            function.__code__ = code


def outcome(wrongs: Sequence[Wrong], check: Check, case: Case, seconds: float) -> Outcome:
    """What the reference with ``wrongs`` in it does in a case; after ``seconds`` of computing it is a TIMEOUT."""
    try:
        with in_place(*wrongs) as modules, deadline(seconds):
            return execute(check, modules, case)
    except TimeIsUp as error:  # between the driver and here
        return Failure(State.TIMEOUT, str(error), "TimeIsUp")
