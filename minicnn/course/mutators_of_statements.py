"""Mutation operators on statements, on whole functions and on what is built entry by entry; see ``mutators``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .confusions import BEFORE, BEHIND, ERRORS, Change, Scope, altered, called


def in_place(node: ast.AST, scope: Scope) -> Iterator[Change]:
    names = {"Add": "__iadd__", "Sub": "__isub__", "Mult": "__imul__", "Div": "__itruediv__"}
    left = node.left if isinstance(node, ast.BinOp) and type(node.op).__name__ in names else None
    array = isinstance(left, ast.Name) and scope.parameters.get(left.id, "array") not in ("int", "float")
    if isinstance(node, ast.BinOp) and isinstance(left, ast.Name) and array and left.id in scope.bound:
        method = ast.Attribute(left, names[type(node.op).__name__], ast.Load())
        yield {node: ast.Call(method, [node.right], [])}, f"{left.id} were written into"
    if isinstance(node, ast.AugAssign):
        yield {node: ast.Assign([node.target], node.value, lineno=node.lineno)}, "each value replaced the one before"
        sum_ = ast.BinOp(altered(node.target, ctx=ast.Load()), node.op, node.value)
        if isinstance(node.target, ast.Name) and node.target.id in scope.parameters:
            yield {node: ast.Assign([node.target], sum_, lineno=node.lineno)}, "a new array were made on the way"


def statement(node: ast.AST, scope: Scope) -> Iterator[Change]:
    rebinds = isinstance(node, ast.Assign) and all(
        not isinstance(target, ast.Name) or scope.bound[target.id] < node.lineno for target in node.targets
    )
    if isinstance(node, (ast.Expr, ast.AugAssign)) or rebinds:
        yield {node: ast.Pass()}, f"{_told(node)} were missing"
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        for error in ERRORS:
            if ast.unparse(node.exc.func) != error:
                yield (
                    {node: ast.Raise(ast.Name(error, ast.Load()))},
                    f"{error} were raised, not {ast.unparse(node.exc.func)}",
                )
    for block in ("body", "orelse"):
        statements = getattr(node, block, [])
        for one, two in pairwise(statements if isinstance(statements, list) else []):
            if _depend(one, two):
                yield {one: two, two: one}, "two statements were exchanged"


def _told(node: ast.AST) -> str:
    """What a statement does."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return f"the call of {called(node.value)}"
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return f"what is done to {ast.unparse(target).partition('[')[0]}" if target is not None else "a statement"


def _depend(one: ast.stmt, two: ast.stmt) -> bool:
    """Whether one of two statements writes, or calls a method of, something that the other one mentions."""
    if isinstance(two, ast.Return) or isinstance(one, ast.AugAssign) and isinstance(two, ast.AugAssign):
        return False
    return any(not _written(this).isdisjoint(_mentioned(that)) for this, that in ((one, two), (two, one)))


def _written(statement: ast.stmt) -> set[str]:
    found = {ast.unparse(n) for n in ast.walk(statement) if isinstance(getattr(n, "ctx", None), ast.Store)}
    calls = (n.value.func for n in ast.walk(statement) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    return found | {ast.unparse(func.value) for func in calls if isinstance(func, ast.Attribute)} - {"ctx"}


def _mentioned(statement: ast.stmt) -> set[str]:
    places = (ast.Name, ast.Attribute, ast.Subscript)
    return {ast.unparse(node) for node in ast.walk(statement) if isinstance(node, places)}


def loop(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.For):
        yield {node: altered(node, body=[*node.body, ast.Break()])}, "a loop ended after its first round"
    if isinstance(node, ast.Continue):
        yield {node: ast.Break()}, "a loop ended where it goes on"
    if isinstance(node, ast.Break):
        yield {node: ast.Continue()}, "a loop went on where it ends"


def whole(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Changes of a parameter at the start, and of a result at the end."""
    if node is scope.function:
        start = scope.function.body[0]
        for name, kind in scope.kinds.items():
            for word, template, sentence in BEFORE:
                if word in kind:
                    changed = ast.parse(f"{name} = {template.format(name)}").body[0]
                    yield {start: ast.If(ast.Constant(True), [changed, start], [])}, sentence.format(name)
    if isinstance(node, ast.Return) and node.value is not None:
        kinds = {"", *(word for kind in scope.kinds.values() for word in kind)}
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for index, value in enumerate(values):
            for words, template, told in BEHIND:
                if not isinstance(value, ast.Constant) and kinds.intersection(words.split() or [""]):
                    result = ast.parse(template.format(f"({ast.unparse(value)})"), mode="eval").body
                    yield {value: result}, f"{f'result {index}' if len(values) > 1 else 'the result'} were {told}"


def entry(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Dict):
        for index, key in enumerate(node.keys):
            keys, values = ([*part[:index], *part[index + 1 :]] for part in (node.keys, node.values))
            told = ast.unparse(key) if key is not None else "an entry"
            yield {node: altered(node, keys=keys, values=values)}, f"{told} were not handed on"
    if isinstance(node, ast.ListComp):
        length = ast.parse(f"list({ast.unparse(node.generators[0].iter)})", mode="eval").body
        if isinstance(node.elt, ast.Call) and len(node.generators) == 1 and "range" in ast.unparse(length):
            repeated = ast.BinOp(ast.List([node.elt], ast.Load()), ast.Mult(), ast.Call(_name_of("len"), [length], []))
            yield {node: repeated}, "one and the same object were repeated"


def _name_of(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())
