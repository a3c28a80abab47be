"""Pages load nothing, run only their own script, and show foreign text as text."""

from __future__ import annotations

import json
import re

import pytest

from minicnn.utils.page import COLORS, page, write_page

from ..support.contrast import contrast


def test_foreign_text_cannot_leave_the_title_or_the_data() -> None:
    hostile = "</title></script><script>alert(1)</script><!--"
    text = page(hostile, "<p>ours</p>", script="let a = 1;", data={"name": hostile})
    assert text.count("<script") == 2 and "alert(1)</script>" not in text
    (content,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', text)
    assert json.loads(content) == {"name": hostile}


def test_without_a_script_nothing_may_run_and_nothing_may_load() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page("a", "b"))
    assert policy and "default-src 'none'" in policy[1] and "script-src 'none'" in policy[1]
    assert "script-src 'sha256-" in page("a", "b", script="let a = 1;")


def test_what_a_page_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="</script"):
        page("a", "b", script="'</SCRIPT>'")
    with pytest.raises(ValueError, match="JSON"):
        page("a", "b", data=float("nan"))


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    path = write_page(tmp_path / "new" / "page.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_page(path, "half a pair: \ud800")
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["ink", "soft", "mark", "bad"])
@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "raised"])
def test_text_can_be_read(name: str, mode: int, ground: str) -> None:
    assert contrast(COLORS[name][mode], COLORS[ground][mode]) >= 4.5
