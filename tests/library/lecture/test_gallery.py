"""The gallery of ``minicnn lecture all``: one page, complete, escaped, and to be seen without anything else.

What a page says of ``how it was done`` is this docstring, <em>escaped</em>; *stressed* words are, and 2 * 3 * 4 is not.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

from minicnn import cli, lecture
from minicnn.lecture import Figure, Settings, shipped
from minicnn.lecture.gallery import Entry, page
from minicnn.lecture.lines import LINES

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = """<script>alert("a & b")</script>"""


@dataclass
class Numbers:
    values: np.ndarray


def compute(settings: Settings) -> Numbers:
    return Numbers(np.array([settings.seed]))


def figure(name: str, line: str, text: str = "plain") -> Figure:
    """A figure of one number that says ``text`` wherever it can."""
    return Figure(
        name=name,
        lecture=(line,),
        claim=f"claimed {text}",
        result=Numbers,
        compute=compute,
        table=lambda data: ((f"column {text}", "number"), [[f"cell {text}", int(data.values[0])]]),
        draw=lambda data: Drawing(figsize=(1, 1)),
        verdict=lambda data: f"seen {text}",
        chooses_data=True,
    )


class Page(HTMLParser):
    """What a browser would make of a page: tags with their attributes, and the text."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []  # every element is closed

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        """The values of one attribute, in order."""
        return [value or "" for _, attributes in self.tags if name in attributes for value in [attributes[name]]]


def entry(made: Figure, folder: Path, **options: Any) -> Entry:
    settings = Settings(**options)
    return Entry(made, lecture.run(made, folder, settings).data, folder, settings)


def assert_self_contained(text: str, folder: Path) -> None:
    """That a browser asks for nothing: pictures are in the page, links lead into it or to files beside it."""
    shown = Page(text)
    anchors = {f"#{name}" for name in shown.values("id")}
    assert all(address in anchors or (folder / address).is_file() for address in shown.values("href"))
    assert all(source.startswith("data:image/png;base64,") for source in shown.values("src"))
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)
    assert not any(word in text.lower() for word in ("http:", "https:", "url(", "@import", "srcset"))


def test_a_page_has_each_figure_in_the_order_of_the_lecture(tmp_path: Path) -> None:
    entries = [entry(figure("late", "L3.1"), tmp_path), entry(figure("early", "L1.1"), tmp_path, seed=7)]
    text = page(entries)
    assert_self_contained(text, tmp_path)
    shown = Page(text)
    assert [attributes["id"] for tag, attributes in shown.tags if tag == "section"] == ["early", "late"]
    assert shown.values("href")[:2] == ["#early", "#late"]
    assert set(shown.values("href")[2:]) == {
        f"{name}.{kind}" for name in ("early", "late") for kind in ("png", "svg", "csv")
    }
    pictures = [base64.b64decode(source.split(",")[1]) for source in shown.values("src")]
    assert pictures == [(tmp_path / f"{name}.png").read_bytes() for name in ("early", "late")]
    assert pictures[0].startswith(b"\x89PNG")
    for words in ("Claimed plain.", "Seen: seen plain.", "cell plain", "7", "minicnn lecture early --seed 7"):
        assert words in shown.text, words
    assert "L1.1 Networks get deeper and wider, from AlexNet (8 layers) to VGG (19)" in shown.text
    assert text.count("Computed on this machine.") == 2


def test_what_a_figure_says_is_text_and_not_html(tmp_path: Path) -> None:
    text = page([entry(figure("hostile", "L1.1", HOSTILE), tmp_path)])
    assert_self_contained(text, tmp_path)
    shown = Page(text)
    for words in (f"Claimed {HOSTILE}.", f"Seen: seen {HOSTILE}.", f"column {HOSTILE}", f"cell {HOSTILE}"):
        assert words in shown.text, words
    assert shown.values("alt") == [f"hostile: claimed {HOSTILE}"]


def test_how_it_was_done_is_the_docstring_of_the_figures_module(tmp_path: Path) -> None:
    text = page([entry(figure("documented", "L1.1"), tmp_path)])
    assert "<p>What a page says of <code>how it was done</code> is this docstring, &lt;em&gt;escaped&lt;/em&gt;" in text
    assert "; <em>stressed</em> words are, and 2 * 3 * 4 is not.</p>" in text
    assert "The gallery of" not in text  # the first line says what the claim says


def test_the_page_says_how_a_figure_is_computed_again_and_that_a_quick_one_decides_nothing(tmp_path: Path) -> None:
    made = figure("mine", "L1.1")
    full = page([entry(made, tmp_path)])
    quick = page([entry(made, tmp_path, quick=True, seed=3, device="cuda:0", data="cifar10:my <data>")])
    assert "<code>minicnn lecture mine</code>" in full and "too small to judge" not in full
    options = "--quick --seed 3 --device cuda:0 --data cifar10:my &lt;data&gt;"
    assert f"<code>minicnn lecture mine {options}</code>" in quick and "too small to judge" in quick


def test_all_writes_every_figure_of_the_lecture_into_the_gallery(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real = lecture.figure
    simple = figure("", "")

    def light(name: str) -> Figure:
        made = real(name)
        return replace(simple, name=name, lecture=made.lecture, claim=made.claim)

    monkeypatch.setattr(lecture, "figure", light)
    monkeypatch.setattr(shipped, "RESULTS", tmp_path / "nothing")
    assert cli.main(("lecture", "all", "--out", str(tmp_path))) == 0
    assert "11 figures in" in " ".join(capfd.readouterr().err.split())
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert_self_contained(text, tmp_path)
    sections = [attributes["id"] for tag, attributes in Page(text).tags if tag == "section"]
    assert sorted(str(name) for name in sections) == sorted(lecture.figure_names())
    assert sections[0] == "depth" and sections[-1] == "backbones"


def test_the_gallery_of_shipped_results_says_where_each_was_computed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lecture, "figure_names", lambda: ["cost", "scaling"])
    assert cli.main(("lecture", "all", "--out", str(tmp_path))) == 0
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert_self_contained(text, tmp_path)
    for name in ("cost", "scaling"):
        found = shipped.read(lecture.figure(name))
        assert found is not None and f"Computed {found[1]}. Files:" in text
        assert f"minicnn lecture {name} --fresh" in text
    assert "VGG is the heaviest" in text and "this machine." not in text


def test_the_lines_are_those_of_the_map() -> None:
    rows = re.findall(r"^\| (L\d[\d.]*) \| (.*?) \| ", (ROOT / "docs/lecture-map.md").read_text(encoding="utf-8"), re.M)
    assert dict(rows) == LINES


def test_an_interrupted_gallery_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(settings: Settings) -> Numbers:
        raise ZeroDivisionError

    figures = {"good": figure("good", "L1.1"), "interrupted": replace(figure("interrupted", "L1.2"), compute=stop)}
    monkeypatch.setattr(lecture, "figure_names", lambda: list(figures))
    monkeypatch.setattr(lecture, "figure", figures.__getitem__)
    assert cli.main(("lecture", "all", "--quick", "--out", str(tmp_path))) != 0
    text = (tmp_path / "gallery-quick.html").read_text(encoding="utf-8")
    assert 'id="good"' in text and "interrupted" not in text
