"""Submissions that are nearly one: fingerprints of what students wrote, by winnowing (Schleimer and others, 2003).

A text becomes tokens without comments, docstrings, and the names and numbers that its author chose. Each run of
``GRAM`` tokens has a hash, and of each ``WINDOW`` neighbouring hashes the smallest is kept: two texts that share
``GRAM + WINDOW - 1`` tokens share a fingerprint. What stands in the stub, or much of the class has, does not count.
"""

from __future__ import annotations

import ast
import hashlib
import io
import keyword
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..build import answer, stub
from ..holes import body_span, find
from ..manifest import Homework

GRAM, WINDOW = 12, 4  # tokens, hashes
COMMON = 1 / 3  # of a class of MANY: who has what more of them have, has copied it from nobody
MANY = 10
LEAST = 6  # fingerprints of a text's own, below which it says nothing
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
UNREADABLE = (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError)  # by text that is no Python
REFERENCE = "the reference"

Submissions = Mapping[str, Mapping[str, str]]  # student -> file -> text


@dataclass(frozen=True)
class Pair:
    """Two that are nearly one: ``share`` of the smaller one's own fingerprints, and the ``lines`` of ``one``."""

    one: str
    other: str
    share: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A piece of a file that its student wrote, and the line, from 0, on which it starts."""

    file: str
    start: int
    text: str


def pairs(
    homework: Homework, students: Submissions, earlier: Submissions | None = None, least: float = 0.8
) -> list[Pair]:
    """The near-identical pairs in a class, and with an earlier class (``"earlier: NAME"``) and the reference."""
    given = written(homework, {f"{stem}.py": stub(homework, stem) for stem in homework.modules})
    others = {f"earlier: {name}": written(homework, files) for name, files in (earlier or {}).items()}
    others[REFERENCE] = written(homework, {f"{stem}.py": answer(homework, stem) for stem in homework.modules})
    return near_identical({name: written(homework, files) for name, files in students.items()}, others, given, least)


def written(homework: Homework, files: Mapping[str, str]) -> list[Part]:
    """What a student wrote: the bodies of the holes, files of their own, and a file whole that is not Python."""
    parts = []
    for file, text in files.items():
        stem = file.removesuffix(".py")
        try:
            tree = ast.parse(text)
            holes = homework.holes(stem) if stem in homework.modules else ()
            spans = [body_span(text, find(tree, hole.qualname)) for hole in holes]
        except UNREADABLE:
            spans = []
        lines = text.splitlines(keepends=True)
        for start, stop in spans or [(0, len(lines))]:
            parts.append(Part(file, start, textwrap.dedent("".join(lines[start:stop]))))
    return parts


def near_identical(
    students: Mapping[str, Sequence[Part]],
    earlier: Mapping[str, Sequence[Part]] | None = None,
    given: Iterable[Part] = (),
    least: float = 0.8,
) -> list[Pair]:
    """The pairs in a class that share at least ``least`` of their fingerprints, the most alike first.

    Args:
        students: what each student wrote.
        earlier: what else they are compared with: last year's class, the reference.
        given: what everybody was given.
    """
    everybodys, number = set(_prints(given)), len(students)
    named = [*students.items(), *(earlier or {}).items()]
    names, found = [name for name, _ in named], [_prints(parts) for _, parts in named]
    columns: dict[int, int] = {}
    cells = [
        (row, columns.setdefault(mark, len(columns)))
        for row, prints in enumerate(found)
        for mark in prints
        if mark not in everybodys
    ]
    if not cells:
        return []
    has = np.zeros((len(names), len(columns)), np.float32)
    has[tuple(zip(*cells, strict=True))] = 1
    if number >= MANY:
        has[:, has[:number].mean(axis=0) > COMMON] = 0
    own = has.sum(axis=1)
    shared = has[:number] @ has.T
    smaller = np.minimum(own[:number, None], own[None, :])
    share = np.where(smaller >= LEAST, shared / np.maximum(smaller, 1), 0)
    marks = list(columns)
    alike = []
    for one, other in np.argwhere(np.triu(share, 1) >= least):
        both = [found[one][marks[at]] for at in np.flatnonzero(has[one] * has[other])]
        alike.append(Pair(names[one], names[other], float(share[one, other]), _ranges(both)))
    return sorted(alike, key=lambda pair: (-pair.share, pair.one, pair.other))


def _ranges(places: Iterable[tuple[str, int, int]]) -> tuple[str, ...]:
    """``("a.py", 3, 5), ("a.py", 5, 9)`` as ``("a.py:3-9",)``."""
    joined: list[list] = []
    for file, first, last in sorted(places):
        if joined and joined[-1][0] == file and first <= joined[-1][2] + 1:
            joined[-1][2] = max(last, joined[-1][2])
        else:
            joined.append([file, first, last])
    return tuple(f"{file}:{first}-{last}" for file, first, last in joined)


def _prints(parts: Iterable[Part]) -> dict[int, tuple[str, int, int]]:
    """The fingerprints, each with the first place (file, first line, last line) that has it."""
    found: dict[int, tuple[str, int, int]] = {}
    for part in parts:
        tokens = list(_tokens(part.text))
        grams = [tokens[at : at + GRAM] for at in range(len(tokens) - GRAM + 1)]
        hashes = [_hash(" ".join(word for word, _ in gram)) for gram in grams]
        for at in range(max(len(hashes) - WINDOW + 1, min(len(hashes), 1))):
            chosen = min(range(at, min(at + WINDOW, len(hashes))), key=lambda each: (hashes[each], -each))
            lines = [part.start + line for _, line in grams[chosen]]
            found.setdefault(hashes[chosen], (part.file, min(lines), max(lines)))
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """The tokens up to the first that is none, each with its line. Names that the text gives are all ``n``."""
    own = _given_names(text)
    fresh = True  # at the beginning of a statement, where a string is a docstring or a comment
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in SKIPPED:
                fresh = fresh or token.type in (tokenize.NEWLINE, tokenize.INDENT)
                continue
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                yield ("n" if own is None or token.string in own else token.string), token.start[0]
            elif token.type == tokenize.NUMBER:
                yield "0", token.start[0]
            elif token.type != tokenize.STRING or not fresh:
                yield ("''" if token.type == tokenize.STRING else token.string), token.start[0]
            fresh = False
    except UNREADABLE:
        return


def _given_names(text: str) -> set[str] | None:
    """The names that the text binds itself; None, for every name, if it is not Python."""
    try:
        nodes = list(ast.walk(ast.parse(f"def n():\n{textwrap.indent(text, ' ')}\n pass")))
    except UNREADABLE:
        return None
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return names | {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
