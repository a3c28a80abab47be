"""Holes: the bodies that are cut out of a reference module to make a stub, and put back to make the module again.

Only spans of lines are cut. Signature, decorators, type hints and docstring stay, for they are the specification, and
so does every byte outside the holes. Private helpers (``_name``) that nothing but the holes uses would give the
answer away, and are cut too.
"""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .manifest import Hole

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


class HoleError(ValueError):
    """A hole that cannot be cut: its name does not resolve to one function, or there is no line to cut."""


@dataclass(frozen=True)
class Piece:
    """Lines ``start:stop`` of the reference (from 0) and the lines that stand in their place in the stub."""

    start: int
    stop: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """A stub, and what was cut out of the reference to make it. ``helpers`` are the private names that went too."""

    stub: str
    pieces: tuple[Piece, ...]
    helpers: tuple[str, ...]

    def restore(self, stub: str) -> str:
        """The reference, byte for byte: every piece put back into ``stub``, the untouched one."""
        lines = stub.splitlines(keepends=True)
        shift = 0  # how many lines the stub lacks before the piece
        starts = []
        for piece in self.pieces:
            starts.append(piece.start - shift)
            shift += len(piece.old) - len(piece.new)
        for start, piece in zip(reversed(starts), reversed(self.pieces), strict=True):
            lines[start : start + len(piece.new)] = piece.old
        return "".join(lines)


def message(hole: Hole, handout: str) -> str:
    """What a stub says when it is called."""
    return f"{hole.task} {hole.qualname}: not written yet, see {handout}"


def cut(source: str, holes: Sequence[Hole], handout: str) -> Cut:
    """The stub of a reference module.

    Args:
        source: the module's text.
        holes: those in this module.
        handout: the path that the stub's error names.

    Raises:
        HoleError: for a name that is not exactly one function, and for a function on a single line.
    """
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    nodes = {hole: find(tree, hole.qualname) for hole in holes}
    pieces = []
    for hole, node in nodes.items():
        start, stop = body_span(source, node)
        indent = " " * (node.col_offset + 4)
        scaffold = [f"{indent}# {line}".rstrip() + "\n" if line else f"{indent}#\n" for line in hole.scaffold]
        stop_line = f'{indent}raise NotImplementedError("{message(hole, handout)}")\n'
        pieces.append(Piece(start, stop, tuple(lines[start:stop]), (*scaffold, stop_line)))
    helpers = orphans(tree, list(nodes.values()))
    for start, stop in _removed(lines, helpers):
        pieces.append(Piece(start, stop, tuple(lines[start:stop]), ()))
    pieces.sort(key=lambda piece: piece.start)
    stub = list(lines)
    for piece in reversed(pieces):
        stub[piece.start : piece.stop] = piece.new
    return Cut("".join(stub), tuple(pieces), tuple(helper.name for helper in helpers))


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
    """The lines (start, stop), from 0, of a function's body behind its docstring, comments included."""
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
    start, stop = body_span(source, find(ast.parse(source), qualname))
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
    """Whether a student's file still has the stub's ``raise`` where the hole is. False for a file that is no Python.

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


def changed_outside(source: str | bytes, stub: str, holes: Sequence[Hole]) -> list[str]:
    """The functions and methods that a stub gives and that a student's file has otherwise, or no longer."""
    tree, given = _parsed(source), _parsed(stub)
    written = {hole.qualname for hole in holes}
    classes = [node for node in given.body if isinstance(node, ast.ClassDef)]
    names = [node.name for node in given.body if isinstance(node, Function)]
    names += [f"{owner.name}.{node.name}" for owner in classes for node in owner.body if isinstance(node, Function)]
    return [name for name in names if name not in written and _text(tree, name) != _text(given, name)]


def _text(tree: ast.Module, qualname: str) -> str:
    try:
        return ast.dump(find(tree, qualname))
    except HoleError:
        return ""


def _body(source: str | bytes, hole: Hole) -> list[ast.stmt]:
    try:
        return find(_parsed(source), hole.qualname).body
    except (SyntaxError, HoleError, ValueError):
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


def orphans(tree: ast.Module, holes: Sequence[Function]) -> list[Definition]:
    """The private functions, methods and classes that only the holes use, directly or through each other."""
    inside = {id(part) for hole in holes for statement in hole.body for part in ast.walk(statement)}
    private = [node for node in _definitions(tree) if _is_private(node.name) and id(node) not in inside]
    private = [node for node in private if not any(part in holes for part in ast.walk(node))]
    names_in = {node.name: set(_names(ast.walk(node))) for node in private}
    hidden = {id(part) for node in private for part in ast.walk(node)} | inside
    shown = set(_names(part for part in ast.walk(tree) if id(part) not in hidden))  # what the stub goes on using
    while wanted := {name for name in names_in if name in shown}:
        for name in wanted:
            shown |= names_in.pop(name)
    used = set(_names(part for hole in holes for statement in hole.body for part in ast.walk(statement)))
    while further := {name for used_name in used & names_in.keys() for name in names_in[used_name]} - used:
        used |= further
    return [node for node in private if node.name in names_in and node.name in used]


def _definitions(tree: ast.Module) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from (part for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)))


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


def _removed(lines: Sequence[str], helpers: Sequence[Definition]) -> list[tuple[int, int]]:
    """The lines that go with the helpers: decorators, comments right above, and the blank lines that follow."""
    spans: list[tuple[int, int]] = []
    for node in sorted(helpers, key=lambda node: node.lineno):
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while start and lines[start - 1].strip().startswith("#") and _indent(lines[start - 1]) == node.col_offset:
            start -= 1
        stop = node.end_lineno or start
        while stop < len(lines) and not lines[stop].strip():
            stop += 1
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(stop, spans[-1][1])
        else:
            spans.append((start, stop))
    if spans and spans[-1][1] == len(lines):  # nothing follows: the blank lines before it go instead
        start = spans[-1][0]
        while start and not lines[start - 1].strip():
            start -= 1
        spans[-1] = start, len(lines)
    return spans


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
