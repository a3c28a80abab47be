"""The pages of the lecture are complete: every line has its section, its code, its homework and something to try."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.library.test_docs import LECTURE_LINES, docs

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("deeper", "googlenet", "resnet", "densenet", "senet", "efficientnet", "deformable", "summary")
SECTION = re.compile(r"^#+ (L\d(?:\.\d)+) .+$", re.MULTILINE)


def sections() -> dict[str, str]:
    """The text of the lecture's pages by line, in order; a section ends where the next line begins."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = (DOCS / "lecture" / f"{page}.md").read_text(encoding="utf-8")
        starts = [match for match in SECTION.finditer(text) if match[1] in LECTURE_LINES]
        for match, after in zip(starts, [*starts[1:], None], strict=True):
            assert match[1] not in found, f"{match[1]} has two sections"
            found[match[1]] = text[match.start() : after.start() if after else None]
    return found


def test_every_line_has_a_section_in_order() -> None:
    assert tuple(sections()) == LECTURE_LINES


@pytest.mark.parametrize("line", LECTURE_LINES)
def test_a_section_has_code_numbers_homework_and_something_to_try(line: str) -> None:
    text = sections()[line]
    assert docs.SYMBOL_LINK.search(text), "no link to the code of the line"
    assert "```python" in text and "```text" in text, "no numbers"
    assert re.search(r"^\*Homework\.\*[^*]*\(\.\./homework/hw\d\.md\)", text, re.MULTILINE), "no homework"
    assert re.search(r"^\*Try\* \S", text, re.MULTILINE), "nothing to try"


def test_the_homework_table_says_what_the_manifests_say() -> None:
    table = (DOCS / "homework" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d) (.+)\]\(hw\d\.md\) \| .+ \| (.+) \| (\d+) \| (\d):(\d\d) \|$", table, re.MULTILINE)
    said = [
        (f"hw{number}", title, lines, int(tasks), 60 * int(h) + int(m)) for number, title, lines, tasks, h, m in rows
    ]
    manifests = [tomllib.loads(path.read_text(encoding="utf-8")) for path in _manifests()]
    assert said == [
        (one["id"], one["title"], ", ".join(one["lecture"]), len(one["task"]), sum(t["minutes"] for t in one["task"]))
        for one in manifests
    ]


def _manifests() -> list[Path]:
    return sorted((ROOT / "minicnn" / "course" / "homework").glob("hw*.toml"))


def test_the_terms_used_are_in_the_glossary() -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    known = re.findall(r"^(\w.*)\n  \S", glossary, re.MULTILINE)
    assert len(known) == len(set(known)) >= 50
    for page in sorted(DOCS.rglob("*.md")):
        for shown, target in re.findall(r"\{term\}`([^`<]+?)\s*(?:<([^>]+)>)?`", page.read_text(encoding="utf-8")):
            assert (target or shown) in known, f"{page.name}: {target or shown}"


def test_the_landing_page_has_the_commands_of_the_readme() -> None:
    blocks = docs.fenced_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = {line for block in blocks if block.language == "sh" for line in block.content}
    shown = docs.fenced_blocks((DOCS / "index.md").read_text(encoding="utf-8"))
    lines = [line for block in shown if block.language == "sh" for line in block.content]
    assert len(lines) == 2 and commands.issuperset(lines)
