"""Tables, running text and colour: what fits, what is never broken, and what is shown where."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import terminal
from minicnn.terminal import Layout, Painted, fill, has_color, painter, table, width

ROWS = [
    ("way", "ms", "why"),
    ("loops", "1,234.5", "six nested loops in Python, over 1,736 of 25,088 output pixels, and then scaled up"),
    ("GPU", "-", "no usable GPU here"),
]


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_a_table_that_fits_is_set_as_it_is(columns: pytest.MonkeyPatch) -> None:
    columns.setenv("COLUMNS", "120")
    assert table(ROWS, "<><", "  ") == [
        "  way         ms  why",
        "  loops  1,234.5  six nested loops in Python, over 1,736 of 25,088 output pixels, and then scaled up",
        "  GPU          -  no usable GPU here",
    ]


def test_the_widest_text_is_wrapped_and_no_number_is(columns: pytest.MonkeyPatch) -> None:
    assert width() == 80
    assert table(ROWS, "<><", "  ")[1:3] == [
        "  loops  1,234.5  six nested loops in Python, over 1,736 of 25,088 output",
        "                  pixels, and then scaled up",
    ]
    numbers = [[f"{10**9:,}"] * 7]
    assert table(numbers, ">" * 7) == [" ".join(numbers[0])]  # 97 columns: set closely, and whole


def test_the_last_column_may_go_below(columns: pytest.MonkeyPatch) -> None:
    columns.setenv("COLUMNS", "60")
    path = "assignments/hw4_resnet/README.md"
    rows = [("hw4.1", "0/8", Painted("WRONG", "red"), f"read hw4.1 in {path}"), ("total", "0/100", "", "")]
    paint = lambda text, color: f"<{color}>{text}</>"  # noqa: E731
    assert table(rows, "<><<", "  ", paint, below=True) == [
        "  hw4.1    0/8  <red>WRONG</>",
        f"      read hw4.1 in {path}",
        "  total  0/100",
    ]
    columns.setenv("COLUMNS", "100")
    assert len(table(rows, "<><<", "  ", paint, below=True)) == 2


def test_a_row_may_be_a_line_of_its_own() -> None:
    assert table(["layer1.0", ("  conv1", "9"), ("  bn", "10")], "<>") == ["layer1.0", "  conv1   9", "  bn     10"]


def test_a_layout_prints_row_by_row_what_a_table_prints_at_once(columns: pytest.MonkeyPatch) -> None:
    layout = Layout([5, 7, 64], "<><")
    assert layout.lines(ROWS[1]) == table(ROWS, "<><")[1:3] and len(layout.lines(ROWS[0])) == 1


def test_running_text_keeps_its_lines_and_their_margins(columns: pytest.MonkeyPatch) -> None:
    columns.setenv("COLUMNS", "40")
    text = "WRONG  a task\n    worst entry [0, 2, 0, 0]: got -2.677, expected -0.161"
    assert fill(text, " ").splitlines() == [
        " WRONG  a task",
        "     worst entry [0, 2, 0, 0]: got",
        "       -2.677, expected -0.161",
    ]


def test_a_command_stays_on_one_line(columns: pytest.MonkeyPatch) -> None:
    command = "minicnn hw check hw1.1 --impl '/home/a student/with a rather long path/and a longer one/my work'"
    assert fill(f"go on with: {terminal.whole(command)}").splitlines() == ["go on with:", f"  {command}"]
    assert table([("1", terminal.whole(command))], "<<") == [f"1 {command}"]


WORDS = st.text("abc/-.", min_size=1, max_size=30)


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(30, 130))
def test_running_text_breaks_no_word(words: list[str], columns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        lines = fill(" ".join(words), "  ").splitlines()
        assert " ".join(lines).split() == words
        assert max(map(len, lines)) <= width()
        assert terminal.NARROWEST <= width() <= terminal.WIDEST


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=6))
def test_a_table_keeps_all_words(rows: list[tuple[str, str, str]]) -> None:
    shown = " ".join(table(rows, "<<>")).split()
    assert sorted(shown) == sorted(word for row in rows for word in row)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "expected"),
    [
        ({}, Terminal, True),
        ({}, io.StringIO, False),
        ({"NO_COLOR": "1"}, Terminal, False),
        ({"NO_COLOR": ""}, Terminal, True),
        ({"TERM": "dumb"}, Terminal, False),
        ({"FORCE_COLOR": "1"}, io.StringIO, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal, False),
    ],
)
def test_colour_is_for_terminals_that_can_show_it(
    environment: dict[str, str], stream: type[io.StringIO], expected: bool, columns: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        columns.setenv(name, value)
    assert has_color(stream()) is expected
    assert painter(stream())("WRONG", "red") == ("\x1b[31mWRONG\x1b[0m" if expected else "WRONG")
    assert painter(stream())("WRONG", "") == "WRONG"
