"""``minicnn lecture``: what it lists, writes and remembers."""

from __future__ import annotations

import csv
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minicnn import cli, lecture
from minicnn.lecture import figures

Command = Callable[..., tuple[int, str, str]]

# A figure is a module of minicnn.lecture.figures that defines FIGURE; this one throws a die.
FIGURE_SOURCE = """
from dataclasses import dataclass

import numpy as np

from minicnn.lecture import Figure

computed = 0


@dataclass
class Throws:
    values: np.ndarray


def compute(settings):
    global computed
    computed += 1
    settings.progress("throwing")
    return Throws(np.random.default_rng(settings.seed).integers(1, 7, 2 if settings.quick else 5))


def table(data):
    return ("throw", "eyes"), [[i, int(value)] for i, value in enumerate(data.values)]


def draw(data):
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(2, 2))
    drawing.subplots().plot(data.values)
    return drawing


FIGURE = Figure(
    name="dice", lecture=("L0.1",), claim="chance has no memory", result=Throws,
    compute=compute, table=table, draw=draw, verdict=lambda data: f"{data.values.sum()} eyes",
)
"""


@pytest.fixture
def minicnn_command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run ``minicnn lecture`` in an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(("lecture", *arguments))
        out, error = capfd.readouterr()
        return status, out, error

    return run


@pytest.fixture
def dice(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """The module of the figure ``dice``, which is found because its file is there."""
    folder = tmp_path_factory.mktemp("more-figures")
    (folder / "dice.py").write_text(FIGURE_SOURCE, encoding="utf-8")
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "minicnn.lecture.figures.dice", raising=False)
    lecture.figure("dice")
    module = sys.modules["minicnn.lecture.figures.dice"]
    yield module
    del sys.modules["minicnn.lecture.figures.dice"], figures.dice


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_without_a_name_the_figures_are_listed_by_lecture_line(minicnn_command: Command, dice) -> None:
    status, out, error = minicnn_command()
    assert (status, error) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()][0] == ["dice", "L0.1"]
    assert ["deformable", "L2.3.4"] in [line.split()[:2] for line in out.splitlines()]
    assert "rigid grid" in out


def test_an_unknown_figure_is_one_line_with_the_nearest_name(minicnn_command: Command, tmp_path: Path) -> None:
    status, out, error = minicnn_command("deformabel")
    assert (status, out) == (2, "")
    assert error == "minicnn: error: there is no figure 'deformabel'; did you mean 'deformable'?\n"
    status, _, error = minicnn_command("zzz")
    assert status == 2 and "expected one of: " in error and "deformable" in error
    assert list(tmp_path.iterdir()) == []


def test_a_figure_leaves_table_and_pictures(minicnn_command: Command, tmp_path: Path, dice) -> None:
    status, out, error = minicnn_command("dice", "--quick", "--out", "here")
    assert status == 0
    eyes = [str(value) for value in np.random.default_rng(0).integers(1, 7, 2)]
    assert out.splitlines() == [
        "dice (L0.1): chance has no memory",
        "  throw  eyes",
        *(f"  {i:>5}  {value:>4}" for i, value in enumerate(eyes)),
        f"seen: {sum(map(int, eyes))} eyes",
    ]
    assert "throwing" in error and "written to here/dice-quick.png, .svg and .csv" in error
    assert rows(tmp_path / "here/dice-quick.csv") == [["throw", "eyes"], ["0", eyes[0]], ["1", eyes[1]]]
    assert (tmp_path / "here/dice-quick.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(tmp_path / "here/dice-quick.svg").getroot().tag.endswith("svg")
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == [
        "cache", "dice-quick.csv", "dice-quick.png", "dice-quick.svg"
    ]  # fmt: skip


def test_quiet_says_only_what_was_seen(minicnn_command: Command, dice) -> None:
    status, out, error = minicnn_command("dice", "--quiet")
    assert (status, error) == (0, "") and out.startswith("dice (L0.1)")


def test_a_result_is_computed_once(minicnn_command: Command, tmp_path: Path, dice) -> None:
    _, first, _ = minicnn_command("dice")
    (tmp_path / "figures/dice.csv").unlink()
    _, second, error = minicnn_command("dice")
    assert dice.computed == 1 and "dice from the cache" in error
    assert first == second and (tmp_path / "figures/dice.csv").exists()


@pytest.mark.parametrize("arguments", [("--seed", "1"), ("--quick",), ("--fresh",), ("--out", "elsewhere")])
def test_another_question_is_computed_anew(minicnn_command: Command, dice, arguments: tuple[str, ...]) -> None:
    minicnn_command("dice")
    _, _, error = minicnn_command("dice", *arguments)
    assert dice.computed == 2 and "from the cache" not in error


def test_a_changed_figure_is_computed_anew(minicnn_command: Command, dice) -> None:
    minicnn_command("dice")
    source = Path(dice.__file__)
    source.write_text(FIGURE_SOURCE.replace("integers(1, 7", "integers(1, 9"), encoding="utf-8")
    _, _, error = minicnn_command("dice")
    assert dice.computed == 2 and "from the cache" not in error


def test_all_computes_every_figure(minicnn_command: Command, monkeypatch: pytest.MonkeyPatch, dice) -> None:
    monkeypatch.setattr(lecture, "figure_names", lambda: ["dice"])
    status, out, _ = minicnn_command("all", "--quick")
    assert status == 0 and out.startswith("dice (L0.1)")


def test_every_figure_says_where_it_belongs() -> None:
    for name in lecture.figure_names():
        figure = lecture.figure(name)
        assert figure.name == name and figure.claim
        assert all(line.startswith("L") for line in figure.lecture) and figure.lecture
