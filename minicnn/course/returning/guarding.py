"""What students and platforms wrote, made harmless for the place that it is put: names, messages, notes."""

from __future__ import annotations

import html
import re

ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?%?|-")
MARKS = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])|(?<!\S)#|:(?=//)|(?<=www)\.|^[-+=]", re.IGNORECASE)
NUMBERED = re.compile(r"^(\d+)(?=[.)])")


def plain(text: str) -> str:
    """The text without terminal sequences and invisible characters; half a surrogate pair becomes ``?``."""
    text = ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "" for c in text)


def line(text: str) -> str:
    """The text on a single line."""
    return " ".join(plain(text).split())


def cell(value: object) -> str:
    """A cell of a table. Text that a spreadsheet would run gets an apostrophe in front; numbers of ours do not."""
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    cleaned = plain(text).strip()
    return f"'{cleaned}" if text.startswith(RUN) or cleaned.startswith(RUN) else cleaned


def foreign_cell(text: str) -> str:
    """A cell of a table that a platform made: kept to the letter, unless a spreadsheet would run it."""
    return text if NUMBER.fullmatch(text) or not text.startswith(RUN) else f"'{text}"


def markup(text: str) -> str:
    """The text as HTML shows it, in an element or an attribute."""
    return html.escape(plain(text))


def markdown(text: str) -> str:
    """The text on one line of Markdown, which shows it as it is: it can make no link, no HTML and no heading."""
    return NUMBERED.sub(r"\1\\", MARKS.sub(lambda mark: f"\\{mark[0]}", line(text)))


def fenced(text: str) -> str:
    """The text as a block of code in Markdown, in a fence that it does not contain."""
    cleaned = plain(text).strip("\n")
    longest = max(map(len, re.findall("`+", cleaned)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{cleaned}\n{fence}"
