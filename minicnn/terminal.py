"""What fits on a terminal: its width, running text, tables, and colour where it can be seen.

Where there is no terminal, in a file or a pipe, a line has 80 columns at most and no colour. ``COLUMNS``, ``NO_COLOR``
(https://no-color.org), ``FORCE_COLOR`` and ``TERM=dumb`` are obeyed.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TextIO

NARROWEST, WIDEST = 40, 120  # longer lines are hard to read
HELD = "\N{NO-BREAK SPACE}"  # a blank at which no line is broken, while it is wrapped
CODES = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


def width() -> int:
    """The columns that a line may have: the terminal's, within reason, and 80 without one."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, NARROWEST), WIDEST)


def fill(text: str, indent: str = "", hang: str = "  ") -> str:
    """``text`` in lines of the width; no word is broken, so that paths and commands can be copied.

    Args:
        text: several lines stay several, and keep their own indentation.
        indent: in front of a line.
        hang: in front of what a line continues on, besides.
    """
    return "\n".join(
        part for line in text.splitlines() for part in _wrapped(line, width(), indent, indent + _margin(line) + hang)
    )


def whole(text: str) -> str:
    """A command or path as one word, which ``fill`` and ``table`` keep on one line."""
    return text.replace(" ", HELD)


def _wrapped(text: str, columns: int, first: str = "", others: str = "") -> list[str]:
    lines = [first + text]
    if len(lines[0]) > columns:
        lines = textwrap.wrap(
            text,
            columns,
            initial_indent=first,
            subsequent_indent=others,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return [line.replace(HELD, " ") for line in lines]


# ---- tables --------------------------------------------------------------------------------------------------------


class Painted(str):
    """Text with a colour, one of ``CODES``: a table reserves no room for it."""

    color: str

    def __new__(cls, text: str, color: str) -> Painted:
        painted = super().__new__(cls, text)
        painted.color = color
        return painted


def table(
    rows: Iterable[Sequence[str] | str],
    align: str,
    indent: str = "",
    paint: Callable[[str, str], str] | None = None,
    below: bool = False,
) -> list[str]:
    """The lines of a table.

    Args:
        rows: equally many cells each, the header's too; a text among them is a line of its own.
        align: a sign for each column: ``>`` for numbers; ``<`` for text, which is wrapped between its words where the
            table is too wide, in the widest column first.
        indent: in front of every line.
        paint: shows a ``Painted`` cell, from its text and its colour; without it none is.
        below: set the last column, of text, below the others where not all have room side by side.
    """
    rows = list(rows)
    columns = list(zip(*(row for row in rows if not isinstance(row, str)), strict=True))
    widths = [max(map(len, column)) for column in columns]
    beside = len(widths) - (below and len(indent) + sum(widths) + 2 * (len(widths) - 1) > width())
    layout = Layout(widths[:beside], align[:beside], indent, paint)
    layout.shrink([max(map(_narrowest, column)) for column in columns[:beside]])
    lines = []
    for row in rows:
        if isinstance(row, str):
            lines.append(fill(row, indent))
            continue
        lines += layout.lines(row[:beside])
        lines += [fill(text, indent + "    ") for text in row[beside:] if text]
    return lines


class Layout:
    """The columns of a table, for one that is printed row by row; else see ``table``, which explains the arguments."""

    def __init__(
        self, widths: Sequence[int], align: str, indent: str = "", paint: Callable[[str, str], str] | None = None
    ) -> None:
        self.widths, self.align, self.indent = list(widths), align, indent
        self.paint = paint or (lambda text, color: text)
        self.shrink(widths)

    def shrink(self, least: Sequence[int]) -> None:
        """Fit in by narrower gaps; if they do not do, take from the columns of text, the widest first, to ``least``."""
        texts = [at for at in range(len(self.widths)) if self.align[at] == "<"]
        for self.gap, shrinking in ((2, []), (1, []), (2, texts), (1, texts)):
            room = width() - len(self.indent) - self.gap * (len(self.widths) - 1)
            for at in sorted(shrinking, key=lambda at: -self.widths[at]):
                self.widths[at] -= max(0, min(sum(self.widths) - room, self.widths[at] - least[at]))
            if sum(self.widths) <= room:
                return

    def lines(self, row: Sequence[str]) -> list[str]:
        """A row, on as many lines as its text takes."""
        parts = [
            _wrapped(cell, columns, others=_margin(cell)) if sign == "<" else [cell]
            for cell, columns, sign in zip(row, self.widths, self.align, strict=True)
        ]
        return [self._line(texts, row) for texts in zip_longest(*parts, fillvalue="")]

    def _line(self, texts: Sequence[str], row: Sequence[str]) -> str:
        placed = []
        for text, cell, columns, sign in zip(texts, row, self.widths, self.align, strict=True):
            room = " " * (columns - len(text))
            shown = self.paint(text, cell.color) if isinstance(cell, Painted) and text else text
            placed.append(room + shown if sign == ">" else shown + room)
        return (self.indent + (" " * self.gap).join(placed)).rstrip()


def _margin(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def _narrowest(text: str) -> int:
    """The columns that a text needs at least."""
    return len(_margin(text)) + max(map(len, text.split(" ")), default=0)


# ---- colour --------------------------------------------------------------------------------------------------------


def has_color(stream: TextIO) -> bool:
    """Whether colour can be seen in what is written to ``stream``, and is wanted."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if sys.platform == "win32" and not {"WT_SESSION", "ANSICON", "TERM"} & set(os.environ):
        return False  # an old console would show the codes
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def painter(stream: TextIO | None = None) -> Callable[[str, str], str]:
    """What gives a text one of ``CODES`` for ``stream`` (the standard output), if colour can be seen there."""
    if not has_color(sys.stdout if stream is None else stream):
        return lambda text, color: text
    return lambda text, color: f"\x1b[{CODES[color]}m{text}\x1b[0m" if color in CODES else text
