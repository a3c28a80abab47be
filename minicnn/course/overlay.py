"""A student's file laid over the reference module that it was cut from: the student's definitions, and what is left.

The statements of the reference run in order. Where the student's file binds the same name, the student's statement runs
in its place, after all that stands above it in the student's file. So tables, subclasses and decorators that are
evaluated in the import see the student's classes. A definition with a hole is never taken from the reference, and
neither are private helpers that only holes use: what the student has not written is missing.

Each statement is compiled under the name of its own file, so tracebacks and debuggers show the right lines.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from types import ModuleType

from .holes import Import, bound_names, find, orphans
from .manifest import Hole, reference_path, reference_source


class HoleMissing(ImportError):
    """A student's file has no function where a hole is."""

    def __init__(self, path: Path, hole: Hole) -> None:
        super().__init__(f"{path.parent.name}/{path.name}: there is no {hole.qualname} ({hole.task})")


def lay_over(module: ModuleType, path: Path, reference: str, holes: Sequence[Hole]) -> None:
    """Run the student's file ``path`` and the rest of the module called ``reference`` in ``module``.

    Raises:
        HoleMissing: if statements of the reference need a definition that the student's file lacks.
        BaseException: whatever the student's file raises.
    """
    module.__dict__["__laid_over__"] = reference
    given = ast.parse(reference_source(reference))
    run_given = _runner(given, str(reference_path(reference)), module)
    own = ast.parse(path.read_bytes(), str(path))
    run_own = _runner(own, str(path), module)
    places = {name: number for number, statement in enumerate(own.body, 1) for name in bound_names(statement)}
    holders = {hole.qualname.partition(".")[0]: hole for hole in reversed(holes)}
    left_out = orphans(given, [find(given, hole.qualname) for hole in holes])
    done = 0  # how many of the student's statements have run
    for statement in given.body:
        names = set() if isinstance(statement, Import) else bound_names(statement)
        if replaced := names & (places.keys() | holders.keys()):
            # A definition that is nowhere at the top of the student's file may come from any statement in it.
            stop = max(places.get(name, len(own.body)) for name in replaced)
            left_out |= run_own(own.body[done:stop])
            done = max(done, stop)
        elif not names & left_out:
            try:
                run_given([statement])
            except NameError as error:
                if error.name in holders and not hasattr(module, error.name):
                    raise HoleMissing(path, holders[error.name]) from error
                raise
    run_own(own.body[done:])


def _runner(tree: ast.Module, file: str, module: ModuleType) -> Callable[[list[ast.stmt]], set[str]]:
    """Runs statements of a file in ``module``, with what the file imports from ``__future__``; returns what is set."""
    futures = [part for part in tree.body if isinstance(part, ast.ImportFrom) and part.module == "__future__"]
    features = [getattr(__future__, each.name) for part in futures for each in part.names]
    flags = reduce(or_, (feature.compiler_flag for feature in features), 0)
    names = vars(module)

    def run(statements: list[ast.stmt]) -> set[str]:
        before = dict(names)
        exec(compile(ast.Module(statements, []), file, "exec", flags, dont_inherit=True), names)
        return {name for name, value in names.items() if before.get(name, module) is not value}

    return run
