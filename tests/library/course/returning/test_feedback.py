"""A student's page says what to do, shows nothing hidden, and runs nothing."""

from __future__ import annotations

import html.parser
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from minicnn.course.misconceptions import mistakes
from minicnn.course.returning.feedback import as_html, as_markdown, write

from .made import OWNER, SECRET, check, grades, hidden, result

NASTY = "<script>alert(1)</script> [x](http://evil) ![y](http://evil/z.png) \x1b[31m`````\n# big\n| a |"

ELEMENTS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "ul",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "pre",
}


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def ada(tmp_path):
    checks = [
        hidden(),
        check("test_wrong", "WRONG", message=NASTY, mistake="add-broadcasts"),
        check("test_fine", points=0),
    ]
    own = {"points": 60, "with": ["hw1", "hw2"], "first_divergence": "hw2.3"}
    made = result("ada", checks, own_stack=own, submission={"notes": [NASTY], "flags": ["imports subprocess"]})
    made["student"]["name"] = NASTY
    (found,) = grades(tmp_path / "g", [made]).results
    return replace(found, late=2, late_sentence=f"A day late: 2 points less. {NASTY}", written={"hw4.W1": (7, 10)})


@pytest.mark.parametrize("page", [as_markdown, as_html])
def test_it_says_everything_that_a_student_needs(ada, page):
    text = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", page(ada, OWNER))
    assert "97 of 110 points." in text and "A day late: 2 points less." in text
    assert "assignments/hw4_resnet/README.md#hw41-the-residual-addition" in text
    assert "Tensors of different shapes are added" in text and "What does the docstring say under Raises?" in text
    assert "hw4.W1" in text and "7/10" in text
    assert "Fails on cases that are not shown: what test_hidden is about." in text
    assert "With your own hw1, hw2" in text and "the first to differ is hw2.3" in text
    assert SECRET not in text and "imports subprocess" not in text and "\x1b" not in text


def test_the_html_has_our_elements_only_and_loads_nothing(ada):
    tags = Tags(as_html(ada, OWNER)).found
    assert {tag for tag, _ in tags} <= ELEMENTS
    assert not [attributes for _, attributes in tags if attributes.keys() & {"href", "src", "onload"}]
    assert "url(" not in as_html(ada, OWNER) and "@import" not in as_html(ada, OWNER)


def test_the_markdown_has_no_links_html_or_further_headings(ada):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(as_markdown(ada, OWNER))
    every = [child for token in tokens for child in [token, *(token.children or ())]]
    kinds = {token.type for token in every}
    assert not kinds & {"link_open", "image", "html_block", "html_inline", "code_inline"}
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h2"]
    (fence,) = (token for token in tokens if token.type == "fence" and "script" in token.content)
    assert fence.content.splitlines()[1:] == ["# big", "| a |"]


def test_both_pages_are_written_for_each_student(tmp_path):
    files = write(grades(tmp_path / "g", [result("ada"), result("bob")]), OWNER, tmp_path / "out")
    names = {file.relative_to(tmp_path / "out").as_posix() for file in files}
    assert names == {f"{who}/feedback.{kind}" for who in ("ada", "bob") for kind in ("md", "html")}


def test_a_void_batch_is_not_given_back(tmp_path):
    with pytest.raises(ValueError, match="may be given back: a cheat scored"):
        write(grades(tmp_path / "g", [result("ada")], void="a cheat scored"), OWNER, tmp_path / "out")


def test_what_is_said_once_is_not_said_again(tmp_path):
    known = next(iter(mistakes("hw4")))
    told = f"WRONG  hw4.1 The sum: what a is about  (0/4 points)\n  case 0:\n    off by one\n  {known.diagnosis}"
    same = [check(name, "NOT ATTEMPTED", message="not written yet") for name in "bc"]
    checks = [check("a", "WRONG", message=told, mistake=known.name), *same]
    (one,) = grades(tmp_path, [result("ada", checks)]).results
    page = as_markdown(one, OWNER)
    assert "```text\ncase 0:\n  off by one\n" in page
    assert [page.count(text) for text in ("what a is about", known.diagnosis, "not written yet")] == [1, 1, 1]
    assert "what b is about" in page and "what c is about" in page
    hidden_one = [check("a", "WRONG", hidden=True, message=told, mistake=known.name)]
    (one,) = grades(tmp_path / "hidden", [result("ada", hidden_one)]).results
    assert "off by one" not in as_markdown(one, OWNER) and known.diagnosis in as_markdown(one, OWNER)
