"""What a notebook shows: well-formed HTML of its own, with the numbers in it."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.models import create_model
from minicnn.nn.summary import summary


class Page(HTMLParser):
    """The tags of a page, in which each that is opened is closed, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(value: object) -> Page:
    """What a notebook shows of ``value``; it loads nothing, and has no colours that a dark page would swallow."""
    shown = Page(value._repr_html_())  # type: ignore[attr-defined]
    names = {name for name, _ in shown.attributes}
    assert names <= {"style", "open"}, names
    styles = " ".join(str(value) for name, value in shown.attributes if name == "style")
    assert "url" not in styles and "#" not in styles and "color: inherit" in styles
    return shown


def test_a_matrix_is_a_table_of_four_digits() -> None:
    x = minicnn.tensor([[0.12345, 1.0], [-2.0, 3.0]], requires_grad=True)
    shown = page(x)
    assert shown.tags.count("tr") == 2 and shown.tags.count("td") == 4 and "pre" not in shown.tags
    assert shown.texts == [
        "Tensor", " shape (2, 2), float32, cpu, requires_grad=True, grad None", "0.1235", "1.0000", "-2.0000", "3.0000",
    ]  # fmt: skip
    assert "grad_fn=<" in "".join(page(x * 2).texts)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (25, 2), (2, 13), (0, 3)])
def test_other_tensors_are_their_text(shape: tuple[int, ...]) -> None:
    x = minicnn.tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    shown = page(x)
    assert "table" not in shown.tags and shown.texts[-1] == repr(x)


class Strange(nn.Module):
    """A module whose text is no HTML."""

    def extra_repr(self) -> str:
        return "<script>alert('x')</script>"


def test_a_network_is_a_tree_that_opens() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), Strange()))
    shown = page(net)
    assert shown.tags.count("details") == 2 and "script" not in shown.tags
    assert [value for name, value in shown.attributes if name == "open"] == [None]  # only the outermost
    text = "".join(shown.texts)
    assert "Sequential() 20 parameters" in text and "(0) Conv2d(1, 2, kernel_size=(3, 3)" in text
    assert "<script>alert('x')</script>" in text


def test_a_summary_is_a_table_with_whole_names() -> None:
    table = summary(create_model("resnet18", init=False))
    shown = page(table)
    assert shown.tags.count("tr") == len(table.rows) + 1 and shown.tags.count("th") == 8
    for text in ("layer4.1.conv2", "118,013,952", "ResNet on 3x224x224"):
        assert text in shown.texts
