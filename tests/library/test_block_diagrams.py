"""The pictures of blocks in ``docs/images`` are what their script draws, and can be read."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.library.support.scripts import load_script

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


blocks = load_script("images/blocks.py")
every_picture = pytest.mark.parametrize("name", blocks.BLOCKS)


@every_picture
def test_a_picture_is_what_the_script_draws(name: str) -> None:
    drawn = str(blocks.BLOCKS[name]())
    assert (IMAGES / name).read_text(encoding="utf-8") == drawn, "run: python docs/images/blocks.py"


@every_picture
def test_a_picture_has_a_title_and_keeps_its_text_inside(name: str) -> None:
    picture = ElementTree.fromstring(str(blocks.BLOCKS[name]()))
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    assert picture.findtext(f"{SVG}title")
    for text in picture.iter(f"{SVG}text"):
        size = float(text.attrib["font-size"])
        length = 0.62 * size * len(text.text or "")  # DejaVu Sans's mean width of a letter, rounded up
        left = float(text.attrib["x"]) - (length / 2 if text.attrib["text-anchor"] == "middle" else 0)
        assert size >= 13 and left >= 0 and left + length <= width and float(text.attrib["y"]) < height, text.text
