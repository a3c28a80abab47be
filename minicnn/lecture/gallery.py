"""The gallery: all figures on one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from .base import Figure, Settings, stem

STYLE = """
:root { color-scheme: light dark; --text: #1d2430; --soft: #5b6472; --line: #d9dde3; --page: #fff; --mark: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7ec; --soft: #9aa3b0; --line: #39414d; --page: #14181e; --mark: #ff8a80; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; }
nav { columns: 18rem; padding: .5rem 0 1rem; border-bottom: 1px solid var(--line); }
nav a, nav span { display: inline-block; }
a { color: inherit; }
section { padding: 1rem 0 1.5rem; border-bottom: 1px solid var(--line); }
h2 { margin: 0; }
h2 small, .soft { color: var(--soft); font-weight: normal; font-size: .9rem; }
p { margin: .5rem 0; max-width: 56rem; }
.seen { border-left: 3px solid var(--mark); padding-left: .75rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; margin: .5rem 0; }
.wide { overflow-x: auto; }
@media (max-width: 40rem) { .wide img { max-width: none; width: 44rem; } }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
summary { cursor: pointer; }
code { font-size: .9em; }
"""


@dataclass(frozen=True)
class Entry:
    """A computed figure: its data, the folder of its files, and the settings."""

    figure: Figure
    data: Any
    folder: Path
    settings: Settings


def page(entries: Sequence[Entry]) -> str:
    """The HTML of the gallery, in the order of the lecture."""
    ordered = sorted(entries, key=lambda entry: (entry.figure.lecture, entry.figure.name))
    links = "\n".join(
        f'<div><a href="#{entry.figure.name}">{entry.figure.name}</a> '
        f'<span class="soft">{", ".join(entry.figure.lecture)}</span></div>'
        for entry in ordered
    )
    quick = any(entry.settings.quick for entry in entries)
    size = "The experiments are the quick ones: too small to judge a claim by. " if quick else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>minicnn: the lecture's figures</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>The lecture's figures</h1>\n<p>Each was computed on this machine by minicnn, with its own networks. "
        f"{size}Each section says what is claimed and what was seen.</p>\n<nav>\n{links}\n</nav>\n"
        + "\n".join(map(_section, ordered))
        + "\n</body>\n</html>\n"
    )


def _section(entry: Entry) -> str:
    figure, settings = entry.figure, entry.settings
    picture = base64.b64encode((entry.folder / f"{stem(figure, settings)}.png").read_bytes()).decode()
    seen, claim = escape(figure.verdict(entry.data)), escape(figure.claim)
    return (
        f'<section id="{figure.name}">\n<h2>{figure.name} <small>{", ".join(figure.lecture)}</small></h2>\n'
        f'<p>Claim: {claim}.</p>\n<p class="seen">Seen: {seen}.</p>\n'
        f'<div class="wide"><img src="data:image/png;base64,{picture}" alt="{escape(figure.name)}: {claim}"></div>\n'
        f"<details><summary>The numbers</summary>\n{_table(figure, entry.data)}\n</details>\n"
        f"<details><summary>How it was done</summary>\n{_explanation(figure)}\n</details>\n"
        f'<p class="soft">Again: <code>{escape(_command(figure, settings))}</code></p>\n</section>'
    )


def _table(figure: Figure, data: Any) -> str:
    header, rows = figure.table(data)

    def line(cells: Sequence[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>\n<thead>{line(header, "th")}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _explanation(figure: Figure) -> str:
    """The docstring of the figure's module after its first line, paragraph by paragraph."""
    module = inspect.getmodule(figure.compute)
    paragraphs = (inspect.getdoc(module) or "").split("\n\n")[1:]
    code = (re.sub("``(.+?)``", r"<code>\1</code>", escape(paragraph)) for paragraph in paragraphs)
    marked = (re.sub(r"\*(\w[^*\s]*)\*", r"<em>\1</em>", paragraph) for paragraph in code)
    return "\n".join(f"<p>{paragraph}</p>" for paragraph in marked)


def _command(figure: Figure, settings: Settings) -> str:
    words = ["minicnn", "lecture", figure.name, *(["--quick"] if settings.quick else [])]
    for option in ("seed", "device", "data"):
        value = getattr(settings, option)
        if value != getattr(Settings, option):
            words += [f"--{option}", str(value)]
    return " ".join(words)
