"""What students write does no harm where it is put."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from minicnn.course.returning.formats.form import write_table
from minicnn.course.returning.guarding import cell, fenced, foreign_cell, line, markdown, markup, plain

anything = st.text(st.characters(exclude_categories=()), max_size=60)
STARTS = "=+-@\t\r＝＋－＠"


@given(anything)
@example("=1+1")
@example(" =1+1")
@example("\u200b=cmd|' /C calc'!A0")
@example("\x1b[0m=1")
def test_no_cell_is_run(text):
    assert not cell(text).startswith(tuple(STARTS))


def test_numbers_are_no_formulas():
    assert [cell(-3), cell(-2.5), cell(7)] == ["-3", "-2.5", "7"]
    assert [foreign_cell(text) for text in ("-3,5", "-", "-1%", "=1", "-1+cmd")] == [
        "-3,5",
        "-",
        "-1%",
        "'=1",
        "'-1+cmd",
    ]


@given(st.lists(st.lists(anything, min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_reads_back_as_the_cells_that_were_written(tmp_path_factory, rows):
    path = write_table(tmp_path_factory.mktemp("table") / "t.csv", rows)
    assert list(csv.reader(io.StringIO(path.read_text(), newline=""))) == [[cell(text) for text in row] for row in rows]


@given(anything)
@example("\x1b]8;;http://x\x07y\x1b]8;;\x07")
@example("\x9b31mred")
def test_plain_text_has_no_controls_and_is_text(text):
    cleaned = plain(text)
    cleaned.encode()
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"]


def test_plain_text_keeps_what_is_readable():
    assert plain("naïve ∑ 数\n\tx\r\n\x1b[31mred\x1b[0m") == "naïve ∑ 数\n\tx\nred"


@given(st.text("ab_*`[]()<>#!|~&;:/.w1-+=$ \\", max_size=30))
@example("1. x")
@example("1) x")
@example("- x")
@example("==")
@example("&amp; <b> <!-- -->")
def test_markdown_shows_any_text(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(f"x\n\n{markdown(text)}")
    inside = [child for token in tokens[3:] if token.type == "inline" for child in token.children]
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert "".join(child.content for child in inside) == line(text)
    assert {child.type for child in inside} <= {"text", "text_special"}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](http://evil)",
        "![x](http://evil/a.png)",
        "<http://evil>",
        "# x",
        "a | b",
        "**b**",
        "`c`",
        "&lt;b&gt;",
    ],
)
def test_markdown_shows_what_was_written_and_nothing_else(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(f"- {markdown(text)}")
    inside = [child for token in tokens if token.type == "inline" for child in token.children]
    assert "".join(child.content for child in inside) == text
    assert {child.type for child in inside} <= {"text", "text_special"}


@given(anything)
@example("x\n```\n<script>\n````\n# title")
def test_nothing_gets_out_of_a_fence(text):
    tokens = MarkdownIt().parse(fenced(text) + "\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@given(anything)
def test_html_has_no_marks_of_the_text(text):
    assert not set(markup(text)) & set("<>\"'")


def test_a_line_is_one_line():
    assert line("a\nb\u2028c \t d") == "a b c d"
