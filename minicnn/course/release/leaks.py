"""Answers that are still in a student's edition: by names, by texts, and by shingles, which are runs of a few tokens.

Shingles that many functions of minicnn share (``ctx.save_for_backward(x)``) tell nothing, and do not count. A function
of the edition leaks a hole if it has a large share of the shingles that do.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..holes import Function, body, find, orphans
from ..manifest import PACKAGE, Homework, all_homework, reference_path

LENGTH = 6  # tokens of a shingle
COMMON = 5  # functions of minicnn that may share one, and it still tells something
SHARE = 0.4  # of a hole's telling shingles, in one function or page
FEW = 16  # telling shingles: of a shorter body as large a share is no leak
SHORT = 10  # tokens of a body that may well be written twice
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
NEVER = re.compile(r"(^|/)(\.git|__pycache__|solutions|misconceptions|equivalent|other_answers)(/|$)|\.py[co]$")

Tokens = tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """Where an answer, or a part of it, still stands."""

    hole: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f" of {self.hole}" if self.hole else "")


@dataclass(frozen=True)
class _Answer:
    hole: str
    tokens: Tokens
    telling: frozenset[Tokens]


def find_leaks(files: Mapping[str, bytes], due: Sequence[Homework]) -> list[Leak]:
    """What of the holes of ``due`` is in ``files``."""
    leaks = [Leak("", path, "must not be handed out") for path in files if NEVER.search(path)]
    answers = [answer for owner in due for answer in _answers(owner)]
    names = {name: hole for owner in due for name, hole in _helpers(owner)}
    holders: defaultdict[Tokens, list[_Answer]] = defaultdict(list)
    for answer in answers:
        for shingle in answer.telling:
            holders[shingle].append(answer)
    given = {tokens for owner in all_homework() if owner not in due for tokens in _filled(owner)}
    for path, content in files.items():
        text = content.decode("utf-8", errors="replace")
        if path.endswith(".xz"):
            continue
        leaks += [
            Leak(names[name], path, f"has the helper {name}") for name in names if re.search(rf"\b{name}\b", text)
        ]
        for where, tokens in _parts(path, text):
            leaks += [] if tokens in given else _in_part(f"{path}{where}", tokens, answers, holders)
    return leaks


def _in_part(
    where: str, tokens: Tokens, answers: Sequence[_Answer], holders: Mapping[Tokens, list[_Answer]]
) -> Iterator[Leak]:
    shared = Counter(answer.hole for shingle in _shingles(tokens) for answer in holders.get(shingle, ()))
    whole = f" {' '.join(tokens)} "
    for answer in answers:
        share = shared[answer.hole] / max(len(answer.telling), FEW)
        if share >= SHARE:
            yield Leak(answer.hole, where, f"has {share:.0%}")
        elif len(answer.tokens) >= SHORT and f" {' '.join(answer.tokens)} " in whole:
            yield Leak(answer.hole, where, "has the text")


def _answers(owner: Homework) -> Iterator[_Answer]:
    for hole in owner.holes():
        tokens = _tokens(body(_source(owner.modules[hole.stem]), hole.qualname))
        telling = frozenset(shingle for shingle in _shingles(tokens) if _everywhere()[shingle] <= COMMON)
        yield _Answer(f"{hole.task} {hole.qualname}", tokens, telling)


def _filled(owner: Homework) -> Iterator[Tokens]:
    """The functions of a homework that is over: what they share with later ones is no secret."""
    for hole in owner.holes():
        source = _source(owner.modules[hole.stem])
        yield _function(find(ast.parse(source), hole.qualname), source.splitlines(keepends=True))


def _helpers(owner: Homework) -> Iterator[tuple[str, str]]:
    """The private helpers that only holes use, long enough to be theirs alone; and of which task's module they are."""
    for stem, module in owner.modules.items():
        tree = ast.parse(_source(module))
        holes = owner.holes(stem)
        for name in orphans(tree, [find(tree, hole.qualname) for hole in holes]):
            if sum(name in source for source in _library().values()) == 1:
                yield name, f"{holes[0].task} {stem}"


def _source(module: str) -> str:
    return _library()[reference_path(module)]


@cache
def _library() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if "course" not in path.parts}


@cache
def _everywhere() -> Counter[Tokens]:
    """In how many functions of minicnn a shingle is."""
    counts: Counter[Tokens] = Counter()
    for source in _library().values():
        for _, tokens in _functions(source):
            counts.update(set(_shingles(tokens)))
    return counts


def _parts(path: str, text: str) -> Iterator[tuple[str, Tokens]]:
    """The functions of a module, or the whole of a page."""
    if path.endswith(".py"):
        yield from _functions(text)
    else:
        yield "", tuple(token for line in text.splitlines() for token in _tokens(line))


def _functions(source: str) -> Iterator[tuple[str, Tokens]]:
    """Each function with its line, and what stands outside of all."""
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    rest = list(lines)
    for node in ast.walk(tree):
        if isinstance(node, Function):
            start, stop = node.lineno - 1, node.end_lineno or node.lineno
            yield f":{node.lineno}", _function(node, lines)
            rest[start:stop] = [""] * (stop - start)
    yield "", tuple(token for line in rest for token in _tokens(line.strip()))


def _function(node: Function, lines: Sequence[str]) -> Tokens:
    return _tokens(textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])))


def _tokens(text: str) -> Tokens:
    found = []
    with suppress(tokenize.TokenError, SyntaxError):  # a line that is not Python, up to where it is not
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in SKIPPED:
                found.append(token.string)
    return tuple(found)


def _shingles(tokens: Tokens) -> set[Tokens]:
    return {tokens[start : start + LENGTH] for start in range(len(tokens) - LENGTH + 1)}
