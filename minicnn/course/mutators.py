"""Mutation operators: small changes of a syntax tree, each with a sentence that says what it confuses.

``MUTATORS`` is the table: by kind a function that is shown one node of a hole and yields what may stand in its place.
A sentence completes "The answers are as if ..." and shows no line of the reference.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from .confusions import (
    AXES,
    COMPARISONS,
    FUNCTIONS,
    LAYOUT,
    MODULES,
    OPERATIONS,
    SYMMETRIC,
    WORDS,
    Change,
    Scope,
    altered,
    called,
)
from .mutators_of_statements import entry, in_place, loop, statement, whole


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _operation(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
        word, twins = OPERATIONS[type(node.op)]
        for twin in twins:
            yield (
                {node: altered(node, op=twin())},
                f"{_article(OPERATIONS[twin][0])} stood where {_article(word)} belongs",
            )
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.FloorDiv, ast.Pow)):
        word = OPERATIONS[type(node.op)][0]
        yield {node: altered(node, left=node.right, right=node.left)}, f"the two sides of the {word} were exchanged"


def _operand_left_out(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        word = OPERATIONS[type(node.op)][0]
        yield {node: node.left}, f"the right side of the {word} were left out"
        if isinstance(node.op, (ast.Add, ast.Mult)):
            yield {node: node.right}, f"the left side of the {word} were left out"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        word = "minus sign" if isinstance(node.op, ast.USub) else "'not'"
        yield {node: node.operand}, f"the {word} were left out"


def _comparison(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            word, twins = COMPARISONS[type(op)]
            for twin in twins:
                ops = [*node.ops[:index], twin(), *node.ops[index + 1 :]]
                yield {node: altered(node, ops=ops)}, f"'{COMPARISONS[twin][0]}' stood where '{word}' belongs"


def _condition(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        other, word = (ast.Or(), "'or' stood where 'and'") if isinstance(node.op, ast.And) else (
            ast.And(), "'and' stood where 'or'")  # fmt: skip
        yield {node: altered(node, op=other)}, f"{word} belongs"
        for index in range(len(node.values)):
            rest = node.values[:index] + node.values[index + 1 :]
            changed = altered(node, values=rest) if len(rest) > 1 else rest[0]
            yield {node: changed}, "a part of a condition were left out"
    if isinstance(node, (ast.If, ast.IfExp)):
        for value, word in ((True, "always"), (False, "never")):
            yield {node.test: ast.Constant(value)}, f"a condition {word} held"
    if isinstance(node, ast.comprehension):
        for index in range(len(node.ifs)):
            yield {node: altered(node, ifs=node.ifs[:index] + node.ifs[index + 1 :])}, "a condition always held"


def _constant(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Constant):
        return
    value, parent = node.value, scope.parents.get(node)
    if isinstance(parent, ast.keyword) and parent.arg == "strict":
        return
    if isinstance(value, bool):
        yield {node: ast.Constant(not value)}, f"{not value} stood where {value} belongs"
    elif isinstance(value, int):
        if isinstance(parent, ast.UnaryOp) and "reshape" in ast.unparse(scope.parents[parent]):
            return  # NumPy takes any negative length for the one to be found
        for other in {value + 1, max(value - 1, 0), 0 if value == 2 else value + 1} - {value}:
            yield {node: ast.Constant(other)}, _number_sentence(value, other, parent)
    elif isinstance(value, float):
        for scaled in ({2 * value, value / 2, 0.0} if value else {1.0}) - {value}:
            yield {node: ast.Constant(scaled)}, f"{scaled:g} stood where {value:g} belongs"
    elif isinstance(value, str):
        for text in scope.strings:
            if text != value:
                yield {node: ast.Constant(text)}, f"{text!r} stood where {value!r} belongs"


def _number_sentence(value: int, other: int, parent: ast.AST | None) -> str:
    if isinstance(parent, ast.Subscript):
        of = parent.value.attr if isinstance(parent.value, ast.Attribute) else getattr(parent.value, "id", "")
        words = AXES.get(of, ())
        if max(value, other) < len(words):
            return f"{words[other]} were taken for {words[value]}"
        return f"entry {other} were taken where entry {value} belongs"
    if isinstance(parent, ast.keyword) and parent.arg in ("axis", "dim"):
        return f"axis {other} stood where axis {value} belongs"
    return f"{other} stood where {value} belongs"


def _stem(name: str) -> str:
    return re.sub(r"\d+[a-e]?(?=$|x|_|r)", "#", name)


def _similar(name: str, among: set[str]) -> set[str]:
    """The names that differ from ``name`` in a number, or in a word that has a twin."""
    found = {other for other in among if other != name and "#" in _stem(name) and _stem(other) == _stem(name)}
    words = name.split("_")
    for index, word in enumerate(words):
        found |= {"_".join([*words[:index], twin, *words[index + 1 :]]) for twin in WORDS.get(word, ())} & among
    return found - {name}


def _name(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.bound:
        there = {name for name, line in scope.bound.items() if line <= node.lineno}
        kind = scope.parameters.get(node.id, "Any")
        same_kind = {name for name, other in scope.parameters.items() if other == kind != "Any"}
        earlier = sorted((line, name) for name, line in scope.bound.items() if line < node.lineno and name != node.id)
        last = {name for _, name in earlier[-2:]} if kind not in ("int", "float", "str", "bool") else set()
        for other in sorted(((_similar(node.id, there) | scope.mates(node.id) | same_kind | last) & there) - {node.id}):
            yield {node: altered(node, id=other)}, f"{other} stood where {node.id} belongs"
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        of = ast.unparse(node.value)
        among = {attr for base, attr in scope.attributes if base == of}
        for other in sorted(_similar(node.attr, among)):
            yield {node: altered(node, attr=other)}, f"{other} stood where {node.attr} belongs"


def _function(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    name = called(node)
    for twin in FUNCTIONS.get(name, ()):
        func = altered(node.func, **({"attr": twin} if isinstance(node.func, ast.Attribute) else {"id": twin}))
        yield {node: altered(node, func=func)}, f"{twin} stood where {name} belongs"
    if name in LAYOUT:
        return
    on_module = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).split(".")[-1] in MODULES
    if isinstance(node.func, ast.Attribute) and not on_module and name != "__init__":
        yield {node: node.func.value}, f"{name} were left out"
    if node.args and not isinstance(node.args[0], ast.Starred):
        yield {node: node.args[0]}, f"{name} were left out"
    inner = node.args[0] if len(node.args) == 1 else None
    if isinstance(inner, ast.Call) and len(inner.args) == 1 and not node.keywords and not inner.keywords:
        exchanged = altered(inner, args=[altered(node, args=inner.args)])
        yield {node: exchanged}, f"{called(inner)} came after {name}, not before"


def _arguments(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    name = called(node)
    symmetric = name in SYMMETRIC and len(node.args) == 2
    for index, (one, two) in enumerate([] if symmetric else pairwise(node.args)):
        if ast.dump(one) != ast.dump(two) and isinstance(one, ast.Starred) == isinstance(two, ast.Starred):
            args = [*node.args[:index], two, one, *node.args[index + 2 :]]
            yield {node: altered(node, args=args)}, f"two arguments of {name} were exchanged"
    for index, keyword in enumerate(node.keywords):
        if keyword.arg != "strict":
            rest = node.keywords[:index] + node.keywords[index + 1 :]
            yield {node: altered(node, keywords=rest)}, f"{name} were called without {keyword.arg or 'its options'}"
    if len(node.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in node.args):
        yield {node: altered(node, args=node.args[:-1])}, f"{name} were called without its last argument"


def _tuple(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, (ast.Tuple, ast.List)):
        return
    for index, (one, two) in enumerate(pairwise(node.elts)):
        if ast.dump(one) != ast.dump(two):
            elts = [*node.elts[:index], two, one, *node.elts[index + 2 :]]
            names = sorted(map(ast.unparse, (one, two)))
            told = " and ".join(names) if max(map(len, names)) < 16 else "two neighbours in a tuple or list"
            yield {node: altered(node, elts=elts)}, f"{told} were exchanged"
    if isinstance(node.ctx, ast.Store):
        return
    if not isinstance(scope.parents.get(node), (ast.Subscript, ast.Return)) and len(node.elts) > 1:
        for index in range(len(node.elts)):
            elts = node.elts[:index] + node.elts[index + 1 :]
            yield {node: altered(node, elts=elts)}, f"entry {index} of a tuple or list were missing"
    if isinstance(scope.parents.get(node), ast.Return):
        for index in range(len(node.elts)):
            elts = [*node.elts[:index], ast.Constant(None), *node.elts[index + 1 :]]
            yield {node: altered(node, elts=elts)}, f"result {index} were missing"


def _slice(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if not isinstance(node, ast.Slice):
        return
    for part in ("lower", "upper", "step"):
        bound = getattr(node, part)
        if bound is None:
            continue
        yield (
            {node: altered(node, **{part: None})},
            f"a slice had no {part} end" if part != "step" else "a slice had no step",
        )
        if part != "step":
            shifted = ast.BinOp(bound, ast.Add(), ast.Constant(1))
            yield {node: altered(node, **{part: shifted})}, f"the {part} end of a slice were one further"


def _dtype(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Attribute) and node.attr == "dtype":
        yield {node: ast.Constant("float64")}, "everything were computed in float64"
    arrays = any("ndarray" in kind for kind in scope.kinds.values()) and scope.function.name != "backward"
    if arrays and isinstance(node, ast.Return) and node.value is not None:
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for value in values:
            if not isinstance(value, ast.Constant):
                cast = ast.Call(ast.Attribute(value, "astype", ast.Load()), [ast.Constant("float64")], [])
                yield {value: cast}, "the result were cast to float64"


#: What an operator is called -> the operator. Those that say most come first: of two with the same answers they speak.
MUTATORS: dict[str, Callable[[ast.AST, Scope], Iterator[Change]]] = {
    "whole": whole,
    "operation": _operation,
    "operand": _operand_left_out,
    "comparison": _comparison,
    "condition": _condition,
    "constant": _constant,
    "name": _name,
    "function": _function,
    "arguments": _arguments,
    "tuple": _tuple,
    "entry": entry,
    "slice": _slice,
    "dtype": _dtype,
    "in-place": in_place,
    "statement": statement,
    "loop": loop,
}
