"""The page of ``minicnn explore`` as text: it is whole, loads nothing, and foreign text stays text."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from minicnn.explore.page import COLORS, SCRIPTS, text
from minicnn.utils.page import COLORS as BASE

from ..support.contrast import contrast
from ..support.explored import HOSTILE, data, node, sample

FOLDER = files("minicnn.explore.page")
PAGE = text(sample())


def test_the_page_has_the_data_and_every_file_in_order() -> None:
    (content,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', PAGE)
    assert json.loads(content) == json.loads(json.dumps(sample()))
    places = [PAGE.index((FOLDER / f"{name}.js").read_text(encoding="utf-8").strip()) for name in SCRIPTS]
    assert places == sorted(places) and {f"{name}.js" for name in SCRIPTS} == {
        path.name for path in FOLDER.iterdir() if path.name.endswith(".js")
    }


def test_foreign_text_stands_only_in_the_data_and_the_title() -> None:
    assert HOSTILE not in PAGE and PAGE.count("<script") == 2 and PAGE.count("onerror=") >= 1
    assert "<img" not in PAGE.split('id="data"')[1].split("</script>")[0]
    assert "innerHTML" not in PAGE and "insertAdjacentHTML" not in PAGE and "document.write" not in PAGE


def test_nothing_is_loaded_from_anywhere() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', PAGE)
    assert policy and "default-src 'none'" in policy[1] and "script-src 'sha256-" in policy[1]
    assert set(re.findall(r"https?://[^\"'\s]+", PAGE)) == {"http://www.w3.org/2000/svg"}  # a name, no address
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval)\(", PAGE)


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        text(data([node(0, "a", "Conv2d", [-1], gradient=float("inf"))]))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", [name for name in COLORS if name != "marked"])
def test_marks_can_be_told_from_the_paper(name: str, mode: int) -> None:
    assert all(contrast(COLORS[name][mode], BASE[ground][mode]) >= 3 for ground in ("paper", "raised"))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_the_marked_line_can_be_read(mode: int) -> None:
    assert all(contrast(COLORS["marked"][mode], BASE[ink][mode]) >= 4.5 for ink in ("ink", "soft"))
