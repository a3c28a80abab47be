"""The gallery of ``minicnn lecture all``: one page, complete, escaped, and in need of nothing beside it.

What a page says of ``how it was done`` is this docstring, <em>escaped</em>; *stressed* words are, and 2 * 3 * 4 is not.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

from minicnn import cli, lecture
from minicnn.lecture import Figure, Settings
from minicnn.lecture.gallery import Entry, page

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
    data, _ = lecture.run(made, folder, settings)
    return Entry(made, data, folder, settings)


def assert_self_contained(text: str) -> None:
    """That a browser asks for nothing: pictures are in the page, links lead into it, and there is no script."""
    shown = Page(text)
    assert all(source.startswith("data:image/png;base64,") for source in shown.values("src"))
    assert all(address.startswith("#") for address in shown.values("href"))
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)
    assert not any(word in text.lower() for word in ("http:", "https:", "url(", "@import", "srcset"))


def test_a_page_has_each_figure_in_the_order_of_the_lecture(tmp_path: Path) -> None:
    entries = [entry(figure("late", "L3.1"), tmp_path), entry(figure("early", "L1.1"), tmp_path, seed=7)]
    text = page(entries)
    assert_self_contained(text)
    shown = Page(text)
    assert [attributes["id"] for tag, attributes in shown.tags if tag == "section"] == ["early", "late"]
    assert shown.values("href") == ["#early", "#late"]
    pictures = [base64.b64decode(source.split(",")[1]) for source in shown.values("src")]
    assert pictures == [(tmp_path / f"{name}.png").read_bytes() for name in ("early", "late")]
    assert pictures[0].startswith(b"\x89PNG")
    for words in ("Claim: claimed plain.", "Seen: seen plain.", "cell plain", "7", "minicnn lecture early --seed 7"):
        assert words in shown.text, words


def test_what_a_figure_says_is_text_and_not_html(tmp_path: Path) -> None:
    text = page([entry(figure("hostile", "L1.1", HOSTILE), tmp_path)])
    assert_self_contained(text)
    shown = Page(text)
    for words in (f"Claim: claimed {HOSTILE}.", f"Seen: seen {HOSTILE}.", f"column {HOSTILE}", f"cell {HOSTILE}"):
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
    assert cli.main(("lecture", "all", "--out", str(tmp_path))) == 0
    assert "11 figures in" in capfd.readouterr().err
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert_self_contained(text)
    sections = [attributes["id"] for tag, attributes in Page(text).tags if tag == "section"]
    assert sorted(str(name) for name in sections) == sorted(lecture.figure_names())
    assert sections[0] == "depth" and sections[-1] == "backbones"


def test_an_interrupted_gallery_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(settings: Settings) -> Numbers:
        raise ZeroDivisionError

    figures = {"good": figure("good", "L1.1"), "interrupted": replace(figure("interrupted", "L1.2"), compute=stop)}
    monkeypatch.setattr(lecture, "figure_names", lambda: list(figures))
    monkeypatch.setattr(lecture, "figure", figures.__getitem__)
    assert cli.main(("lecture", "all", "--quick", "--out", str(tmp_path))) != 0
    text = (tmp_path / "gallery-quick.html").read_text(encoding="utf-8")
    assert 'id="good"' in text and "interrupted" not in text
