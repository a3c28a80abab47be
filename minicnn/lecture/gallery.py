"""The gallery: all figures on one HTML page that needs no network, no script and, to be seen, no other file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..utils.page import data_url
from ..utils.page import page as html_page
from .base import Figure, Settings, stem
from .lines import LINES
from .shipped import Origin

STYLE = """
@media (prefers-color-scheme: dark) { img { filter: brightness(.92); } }
nav ol { padding-left: 1.4rem; }
section { padding: 1.5rem 0; border-top: 1px solid var(--line); }
section h2 { margin: 0; font-size: 1.3rem; } h2, p, ul { max-width: 50rem; }
.soft { font-size: .9rem; }
.seen { border-left: 3px solid var(--mark); padding-left: .75rem; }
figure { margin: 1rem 0; }
img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
.wide { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
table { font-size: .85rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .25rem .6rem; text-align: right; }
td:last-child { max-width: 24rem; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
"""


@dataclass(frozen=True)
class Entry:
    """A figure that was drawn: its data, the folder of its files, the settings, and where a shipped result is from."""

    figure: Figure
    data: Any
    folder: Path
    settings: Settings
    origin: Origin | None = None


def page(entries: Sequence[Entry]) -> str:
    """The HTML of the gallery, in the order of the lecture. It lies in the folder of the figures' files."""
    ordered = sorted(entries, key=lambda entry: (entry.figure.lecture, entry.figure.name))
    links = "\n".join(f'<li><a href="#{e.figure.name}">{_sentence(e.figure.claim)}</a></li>' for e in ordered)
    quick = any(entry.settings.quick for entry in entries)
    size = "The experiments are the quick ones: too small to judge a claim by. " if quick else ""
    body = (
        "<h1>The lecture's figures</h1>\n<p>Each heading is a claim of the lecture; below it is what minicnn's own "
        f"networks showed, and where they were computed. {size}A picture leads to its largest form.</p>\n"
        f"<nav>\n<ol>\n{links}\n</ol>\n</nav>\n" + "\n".join(map(_section, ordered))
    )
    return html_page("minicnn: the lecture's figures", body, STYLE)


def _sentence(claim: str) -> str:
    """A claim as a sentence, without what HTML would read as markup."""
    return escape(claim[:1].upper() + claim[1:] + ".")


def _section(entry: Entry) -> str:
    figure, settings = entry.figure, entry.settings
    name = stem(figure, settings)
    picture = data_url((entry.folder / f"{name}.png").read_bytes())
    lines = "\n".join(f"<li>{line} {escape(LINES.get(line, ''))}</li>" for line in figure.lecture)
    origin = "on this machine" if entry.origin is None else escape(str(entry.origin))
    again = "" if entry.origin is None else " --fresh"
    return (
        f'<section id="{figure.name}">\n<h2>{_sentence(figure.claim)}</h2>\n<ul class="soft">\n{lines}\n</ul>\n'
        f'<p class="seen">Seen: {escape(figure.verdict(entry.data))}.</p>\n'
        f'<figure><a href="{name}.svg"><img src="{picture}" '
        f'alt="{escape(figure.name)}: {escape(figure.claim)}"></a></figure>\n'
        f'<p class="soft">Computed {origin}. Files: <a href="{name}.svg">SVG</a>, <a href="{name}.png">PNG</a>, '
        f'<a href="{name}.csv">CSV</a>. Again: <code>{escape(_command(figure, settings))}{again}</code></p>\n'
        f"<details><summary>The numbers</summary>\n{_table(figure, entry.data)}\n</details>\n"
        f"<details><summary>How it was done</summary>\n{_explanation(figure)}\n</details>\n</section>"
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
