"""Holes: the functions of a reference module that students write, and the part of the module that they are given.

A stub is a slice of the module: its docstring, the imports that are needed, and the functions and classes with holes,
without the bodies of these. Signature, decorators, type hints and docstring stay, for they are the specification.
"""

from __future__ import annotations

import ast
import io
import sys
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from .manifest import Hole

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
Import = ast.Import | ast.ImportFrom
LINE = 120  # characters
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # raised for a text that is not Python


class HoleError(ValueError):
    """A hole that cannot be cut: its name does not resolve to one function, or there is no line to cut."""


def message(hole: Hole, handout: str) -> str:
    """What a stub says when it is called."""
    return f"{hole.task} {hole.qualname}: not written yet, see {handout}"


def cut(source: str, module: str, holes: Sequence[Hole], handout: str) -> str:
    """The stub of a reference module.

    Args:
        source: the module's text.
        module: its name.
        holes: those in this module.
        handout: the path that the stub's error names.

    Raises:
        HoleError: for a name that is not exactly one function, and for a function on a single line.
    """
    bodies = {}
    for hole in holes:
        scaffold = "".join(f"# {line}".rstrip() + "\n" for line in hole.scaffold)
        bodies[hole.qualname] = f'{scaffold}raise NotImplementedError("{message(hole, handout)}")'
    return fill(slice_of(source, module, holes), bodies)


def slice_of(source: str, module: str, holes: Sequence[Hole], with_helpers: bool = False) -> str:
    """The text of a module's docstring, of the definitions that hold holes, and of the imports that these need.

    Args:
        with_helpers: take the private functions along that only the holes use, so that nothing is missing.
    """
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    helpers = orphans(tree, [find(tree, hole.qualname) for hole in holes])
    names = {hole.qualname.partition(".")[0] for hole in holes} | (helpers if with_helpers else set())
    chosen = [node for node in tree.body if isinstance(node, Definition) and node.name in names]
    needed = set(_names(part for node in chosen for part in ast.walk(node)))
    others = [node for node in tree.body if not isinstance(node, Import) and node not in chosen]
    nearby = sorted(set().union(*map(bound_names, others)) & needed - helpers)
    docstring = lines[: tree.body[0].end_lineno] if ast.get_docstring(tree) else []
    parts = ["".join(docstring), _imports(tree, needed, nearby, module)]
    return "\n".join(filter(None, parts)) + "".join(f"\n\n{_text_of(node, lines)}" for node in chosen)


def _imports(tree: ast.Module, needed: set[str], nearby: Sequence[str], module: str) -> str:
    """The import statements of a slice, in groups as in the module.

    What else the module defines, ``nearby``, needs no import; but editors and type checkers have to find it.
    """
    groups: list[list[str]] = [[]]
    end = 0
    for node in tree.body:
        if not isinstance(node, Import):
            continue
        origin = node.module if isinstance(node, ast.ImportFrom) else None
        names = [each for each in node.names if bound_as(each) in needed or origin == "__future__"]
        names += [ast.alias("TYPE_CHECKING")] if nearby and origin == "typing" else []
        groups += [[]] if node.lineno > end + 1 else []
        groups[-1] += [_import(node, names)] if names else []
        end = node.end_lineno or 0
    groups = [group for group in groups if group]
    if nearby:
        if "TYPE_CHECKING" not in str(groups):
            at = int(groups != [] and "__future__" in groups[0][0])
            if at == len(groups) or groups[at][0].split()[1].partition(".")[0] not in sys.stdlib_module_names:
                groups.insert(at, [])
            groups[at].append("from typing import TYPE_CHECKING\n")
        note = "no import is needed: this file is laid over the module that has them"
        editors = _import(ast.ImportFrom(module, [], 0), [ast.alias(name) for name in nearby])
        groups.append([f"if TYPE_CHECKING:  # {note}\n", textwrap.indent(editors, "    ")])
    return "\n".join("".join(group) for group in groups)


def _import(node: Import, names: Sequence[ast.alias]) -> str:
    """A statement that imports some of the names that ``node`` imports, sorted as Ruff does."""
    chosen = sorted(names, key=lambda each: (not each.name.isupper(), not each.name[0].isupper(), each.name))
    made = ast.ImportFrom(node.module, chosen, 0) if isinstance(node, ast.ImportFrom) else ast.Import(chosen)
    text = ast.unparse(made)
    if len(text) + 4 > LINE:
        head, _, tail = text.partition(" import ")
        text = f"{head} import (\n{textwrap.indent(textwrap.fill(tail, LINE - 8), '    ')},\n)"
    return text + "\n"


def bound_as(each: ast.alias) -> str:
    """The name that one part of an import statement binds."""
    return each.asname or each.name.partition(".")[0]


def _text_of(node: ast.stmt, lines: Sequence[str]) -> str:
    """The lines of a definition, with the comments that stand right above it and those that end it."""
    start = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))]) - 1
    while start and lines[start - 1].startswith("#"):
        start -= 1
    stop = node.end_lineno or start
    while stop < len(lines) and lines[stop].strip().startswith("#") and _indent(lines[stop]):
        stop += 1
    return "".join(lines[start:stop])


def bound_names(statement: ast.stmt) -> set[str]:
    """The names that a definition, an assignment or an import gives a value to."""
    if isinstance(statement, Definition):
        return {statement.name}
    if isinstance(statement, Import):
        return set(map(bound_as, statement.names))
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return set()


def find(tree: ast.Module, qualname: str) -> Function:
    """The function that ``qualname`` (``Class.method`` or a bare name) names.

    Raises:
        HoleError: if there is none, or more than one.
    """
    *path, last = qualname.split(".")
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    for name in path:
        scopes = [
            node for scope in scopes for node in scope.body if isinstance(node, ast.ClassDef) and node.name == name
        ]
    found = [node for scope in scopes for node in scope.body if isinstance(node, Function) and node.name == last]
    if len(found) != 1:
        raise HoleError(f"{qualname}: expected one function of that name, found {len(found)}")
    return found[0]


def has_specification(tree: ast.Module, qualname: str) -> bool:
    """Whether the function has a docstring; for a method the docstring of its class will do."""
    if ast.get_docstring(find(tree, qualname)):
        return True
    owner, _, _ = qualname.rpartition(".")
    return any(
        isinstance(node, ast.ClassDef) and node.name == owner and ast.get_docstring(node) for node in ast.walk(tree)
    )


def body_span(source: str, node: Function) -> tuple[int, int]:
    """The lines (start, stop), from 0, of a function's body after its docstring, comments included."""
    start = _header_end(source, node)
    if ast.get_docstring(node) is not None:
        start = node.body[0].end_lineno or start
    stop = node.end_lineno or start
    first = node.body[0].lineno - 1
    if first < _header_end(source, node) or (ast.get_docstring(node) is not None and len(node.body) == 1):
        raise HoleError(f"{node.name} (line {node.lineno}): there is no body on lines of its own to cut out")
    lines = source.splitlines()
    while stop < len(lines) and lines[stop].strip().startswith("#") and _indent(lines[stop]) > node.col_offset:
        stop += 1
    return start, stop


def body(source: str, qualname: str) -> str:
    """The lines of a function's body after its docstring, without their indentation."""
    start, stop = body_span(source, find(_parsed(source), qualname))
    return textwrap.dedent("".join(source.splitlines(keepends=True)[start:stop]))


def fill(source: str, bodies: Mapping[str, str]) -> str:
    """``source`` with new bodies in some of its functions, whose names and docstrings stay."""
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    nodes = {find(tree, qualname): text for qualname, text in bodies.items()}
    for node, text in sorted(nodes.items(), key=lambda item: item[0].lineno, reverse=True):
        start, stop = body_span(source, node)
        indented = textwrap.indent(textwrap.dedent(text).strip("\n") + "\n", " " * (node.col_offset + 4))
        lines[start:stop] = indented.splitlines(keepends=True)
    return "".join(lines)


def is_untouched(source: str | bytes, hole: Hole) -> bool:
    """Whether a student's file still has the stub's ``raise`` where the hole is. False for a file that is not Python.

    Bytes are decoded as Python does it when the file is imported.
    """
    body = _body(source, hole)
    return bool(body) and _is_stub_raise(body[-1], hole)


def leftover_raise(source: str | bytes, hole: Hole) -> int | None:
    """The line of the stub's ``raise`` in a hole that has other statements too; None for any other file."""
    body = _body(source, hole)
    written = [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    raises = [part for statement in body for part in ast.walk(statement) if _is_stub_raise(part, hole)]
    return raises[0].lineno if raises and len(written) > 1 else None  # type: ignore[attr-defined]


def changed_outside(source: str | bytes, reference: str, holes: Sequence[Hole]) -> list[str]:
    """The functions and methods that are given, but that a student's file has otherwise, or has no longer.

    What its slice does not hold need not be there. A private helper of the reference's that only holes use is not
    given: a student's may have its name.
    """
    tree, given = _parsed(source), _parsed(reference)
    written = {hole.qualname for hole in holes}
    in_slice = {name.partition(".")[0] for name in written}
    hidden = orphans(given, [find(given, name) for name in written])
    classes = [node for node in given.body if isinstance(node, ast.ClassDef)]
    names = [node.name for node in given.body if isinstance(node, Function)]
    names += [f"{owner.name}.{node.name}" for owner in classes for node in owner.body if isinstance(node, Function)]
    return [
        name
        for name in names
        if name not in written | hidden
        and (name.partition(".")[0] in in_slice or _text(tree, name))
        and _text(tree, name) != _text(given, name)
    ]


def _text(tree: ast.Module, qualname: str) -> str:
    try:
        return ast.dump(find(tree, qualname))
    except HoleError:
        return ""


def _body(source: str | bytes, hole: Hole) -> list[ast.stmt]:
    try:
        return find(_parsed(source), hole.qualname).body
    except UNREADABLE:
        return []


@lru_cache(maxsize=16)
def _parsed(source: str | bytes) -> ast.Module:
    return ast.parse(source.removeprefix("\ufeff") if isinstance(source, str) else source)


def _is_stub_raise(node: ast.AST, hole: Hole) -> bool:
    called = node.exc if isinstance(node, ast.Raise) else None
    if not isinstance(called, ast.Call) or not called.args:
        return False
    text = called.args[0]
    named = isinstance(called.func, ast.Name) and called.func.id == "NotImplementedError"
    return named and isinstance(text, ast.Constant) and str(text.value).startswith(f"{hole.task} {hole.qualname}:")


def orphans(tree: ast.Module, holes: Sequence[Function]) -> set[str]:
    """The private functions and classes that only the holes use, directly or through each other."""
    parts = [part for hole in holes for statement in hole.body for part in ast.walk(statement)]
    private = [node for node in tree.body if isinstance(node, Definition) and _is_private(node.name)]
    used = set(_names(parts))
    if not used & {node.name for node in private}:
        return set()
    names_in = {node.name: set(_names(ast.walk(node))) for node in private if not set(ast.walk(node)) & set(holes)}
    hidden = set(map(id, parts)).union(id(part) for node in private if node.name in names_in for part in ast.walk(node))
    shown = set(_names(part for part in ast.walk(tree) if id(part) not in hidden))  # what the others use
    while wanted := shown & names_in.keys():
        for name in wanted:
            shown |= names_in.pop(name)
    while further := {name for used_name in used & names_in.keys() for name in names_in[used_name]} - used:
        used |= further
    return used & names_in.keys()


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # __all__, getattr(module, "_name")


def _header_end(source: str, node: Function) -> int:
    """The number of lines up to and with the colon that ends the signature."""
    for line in _logical_ends(source):
        if line >= node.lineno:
            return line
    raise HoleError(f"{node.name}: the file ends in its signature")


@lru_cache(maxsize=4)
def _logical_ends(source: str) -> tuple[int, ...]:
    """The numbers of the lines on which statements and headers end."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return tuple(token.start[0] for token in tokens if token.type == tokenize.NEWLINE)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
