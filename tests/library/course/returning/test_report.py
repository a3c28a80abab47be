"""The teacher's page: what it counts, that it loads nothing, and that it can be read."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from minicnn.course.returning import report
from minicnn.course.returning.similarity import Pair
from minicnn.utils.page import COLORS

from ...support.contrast import contrast
from .made import OWNER, check, grades, hidden, result
from .test_feedback import ELEMENTS, NASTY, Tags


def page(tmp_path, **batch):
    made = [result(f"s{n}") for n in range(7)]
    made += [result(f"w{n}", [check("a", "WRONG", points=8, mistake="block-relu-before-addition")]) for n in range(3)]
    made += [result("t", [check("a", "TIMEOUT", points=8, mistake="sum-of-something-else")], seconds=99.5)]
    made += [result("h", [hidden(), check("b")], submission={"flags": [NASTY], "notes": [NASTY]})]
    made[-1]["own_stack"] = {"points": 3, "with": ["hw1"], "first_divergence": "hw1.2"}
    batch = {"refused": [{"student": "eve", "why": NASTY}], "missing": ["max", "kim"], **batch}
    return report.page(grades(tmp_path, made, **batch), OWNER, [Pair("s1", "s2", 0.934, ("resnet.py:3-9",))])


def rows(text: str, heading: str) -> list[str]:
    part = text.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0]
    return [re.sub("<[^>]+>", " ", row).split() for row in re.findall("<tr>(.*?)</tr>", part)]


def test_it_counts(tmp_path):
    text = page(tmp_path)
    assert "12 graded, 2 missing, 1 refused. Sandbox: bubblewrap." in text
    assert "7 PASS, 4 WRONG, 1 TIMEOUT" in text and "median 100, mean 97" in text
    mistakes = [" ".join(row) for row in rows(text, "Mistakes")]
    assert mistakes[1].startswith("3 of 12 hw4.1") and mistakes[1].endswith("(block-relu-before-addition)")
    assert mistakes[2] == "1 of 12 hw4.1 (sum-of-something-else)"
    assert rows(text, "Slowest")[1] == ["t", "99.5"]
    assert rows(text, "Nearly the same")[1] == ["s1", "s2", "93%", "resnet.py:3-9"]
    assert rows(text, "Checks that fail most often")[1][:2] == ["4", "hw4.1"]
    assert [row[0] for row in rows(text, "Without a grade")] == ["eve", "max", "kim"]
    assert rows(text, "First difference on their own earlier homework")[1] == ["1", "hw1.2"]


def test_the_diagnosis_of_a_planted_mistake_is_told(tmp_path):
    made = [result("ada", [check("a", "WRONG", points=8, mistake="add-broadcasts")])]
    text = report.page(grades(tmp_path, made), OWNER)
    assert "1 of 1" in text and "Tensors of different shapes are added" in text


def test_it_loads_and_runs_nothing(tmp_path):
    text = page(tmp_path)
    tags = Tags(text).found
    assert {tag for tag, _ in tags} <= ELEMENTS | {"b", "svg", "rect", "text", "details", "summary"}
    assert not [attributes for _, attributes in tags if attributes.keys() & {"href", "src", "onload"}]
    assert "\x1b" not in text and "http" not in re.sub(r"\(?http://evil|http-equiv", "", text)
    assert "script-src 'none'" in text


def test_the_drawings_are_xml_that_fits_its_box(tmp_path):
    drawings = [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", page(tmp_path), re.DOTALL)]
    assert len(drawings) == 1 + len(OWNER.tasks)
    for drawing in drawings:
        width, height = map(float, drawing.get("viewBox").split()[2:])
        for rect in drawing.iter("rect"):
            x, y = float(rect.get("x")), float(rect.get("y", 0))
            assert 0 <= x <= x + float(rect.get("width")) <= width + 0.01 and y >= 0
            assert y + float(rect.get("height")) <= height
    words = [text.text for text in drawings[0].iter("text")]
    assert words[::2] == [None] * 9 + ["12"] and words[1::2] == [str(10 * number) for number in range(10)]
    bars = [float(rect.get("width")) for rect in drawings[1].iter("rect")]
    assert bars == pytest.approx([700 / 12, 400 / 12, 100 / 12], abs=0.01)


def test_an_empty_class_and_a_void_batch(tmp_path):
    assert "0 graded" in report.page(grades(tmp_path / "a", []), OWNER)
    void = report.page(grades(tmp_path / "b", [result("ada")], void="a <cheat> scored"), OWNER)
    assert "none of its grades may be used: a &lt;cheat&gt; scored" in void


@pytest.mark.parametrize("mode", [0, 1])
def test_bars_stand_out(mode):
    paper = COLORS["paper"][mode]
    assert all(contrast(colors[mode], paper) >= 3 for colors in [*report.STATES.values(), report.OTHER])
