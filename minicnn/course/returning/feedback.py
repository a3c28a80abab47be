"""One page for each student, as Markdown and as HTML: what was graded, what it is worth, and what to do next.

Both are made of the same blocks. Nothing of a hidden check is on them but what it checks, and what a student wrote can
be neither HTML nor a link.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from ..manifest import Homework
from ..misconceptions import mistakes
from .formats.form import shown, write_text
from .grades import PASS, Check, Grades, Result
from .guarding import fenced, markdown, markup

Block = tuple[str, Any]  # what it is, and its text, its items or its rows

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #eef1f4; --edge: #6b7480; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --soft: #242a31; --edge: #98a2ad; } }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1rem auto;
  max-width: 46rem; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .6rem .2rem 0;
  border-bottom: 1px solid var(--edge); vertical-align: top; overflow-wrap: break-word; }
pre { background: var(--soft); padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { body { max-width: none; font-size: 10pt; } pre, tr { break-inside: avoid; } h2 { break-after: avoid; } }
</style></head><body>
$body
</body></html>
""")


def blocks(result: Result, homework: Homework) -> Iterator[Block]:
    """The page, in order."""
    planted = {mistake.name: mistake for mistake in mistakes(homework.id)}
    anchors = {task.id: f"{homework.handout}{task.anchor}" for task in homework.tasks}
    yield "title", f"{homework.id} {homework.title}: {result.name or result.student}"
    yield "text", f"{shown(result.total)} of {shown(result.max_total)} points."
    if result.late_sentence:
        yield "text", result.late_sentence
    if result.notes:
        yield "items", list(result.notes)
    rows = [
        [task.id, task.title, f"{shown(task.points)}/{shown(task.max_points)}", task.state] for task in result.tasks
    ]
    rows += [
        [name, "written question", f"{shown(got)}/{shown(most)}", ""] for name, (got, most) in result.written.items()
    ]
    yield "table", [["task", "what", "points", "state"], *rows]
    for task in result.tasks:
        failed = [check for check in task.checks if check.state != PASS]
        if failed:
            yield "heading", f"{task.id} {task.title}"
            yield "text", f"Read: {anchors.get(task.id, homework.handout)}"
        for (told, mistake), same in groupby(failed, key=lambda check: (_without_title(check), check.mistake)):
            for check in same:
                yield "text", f"{check.state}: {check.what} ({shown(check.points)}/{shown(check.max_points)} points)"
            if told:
                yield "code", told
            if mistake in planted and planted[mistake].diagnosis not in told:
                yield "text", f"{planted[mistake].diagnosis} {planted[mistake].hint}"
    if result.own_stack:
        first, theirs = result.own_stack["first_divergence"], ", ".join(result.own_stack["with"])
        yield "heading", "On your own earlier homework"
        points = f"With your own {theirs} in place of minicnn's: {shown(result.own_stack['points'])} points"
        yield "text", f"{points}{f'; the first to differ is {first}' if first else ''}. No part of the grade."


def _without_title(check: Check) -> str:
    """What is told of a failed check, without a first line that says again which check it is."""
    first, _, rest = check.told.partition("\n")
    return textwrap.dedent(rest) if rest and first.startswith(check.state) and check.what in first else check.told


def _markdown_table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(map(markdown, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _html_table(rows: list[list[str]]) -> str:
    head, *body = [
        "".join(f"<{tag}>{markup(text)}</{tag}>" for text in row)
        for tag, row in zip(["th", *["td"] * len(rows)], rows, strict=False)
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


MARKDOWN: dict[str, Callable[[Any], str]] = {
    "title": lambda text: f"# {markdown(text)}",
    "heading": lambda text: f"## {markdown(text)}",
    "text": markdown,
    "items": lambda items: "\n".join(f"- {markdown(item)}" for item in items),
    "table": _markdown_table,
    "code": fenced,
}
HTML: dict[str, Callable[[Any], str]] = {
    "title": lambda text: f"<h1>{markup(text)}</h1>",
    "heading": lambda text: f"<h2>{markup(text)}</h2>",
    "text": lambda text: f"<p>{markup(text)}</p>",
    "items": lambda items: f"<ul>{''.join(f'<li>{markup(item)}</li>' for item in items)}</ul>",
    "table": _html_table,
    "code": lambda text: f"<pre>{markup(text)}</pre>",
}


def as_markdown(result: Result, homework: Homework) -> str:
    """The page in Markdown."""
    return "\n\n".join(MARKDOWN[kind](content) for kind, content in blocks(result, homework)) + "\n"


def as_html(result: Result, homework: Homework) -> str:
    """The page in HTML, with nothing that it loads."""
    body = "\n".join(HTML[kind](content) for kind, content in blocks(result, homework))
    return PAGE.substitute(title=markup(f"{homework.id} {result.name or result.student}"), body=body)


def write(grades: Grades, homework: Homework, out: str | Path) -> list[Path]:
    """Write ``OUT/<student>/feedback.md`` and ``feedback.html`` for each student.

    Raises:
        ValueError: if the batch is void.
    """
    if grades.void:
        raise ValueError(f"the batch is void, and none of its grades may be given back: {grades.void}")
    pages = {"feedback.md": as_markdown, "feedback.html": as_html}
    return [
        write_text(Path(out) / result.student / name, page(result, homework))
        for result in grades.results
        for name, page in pages.items()
    ]
