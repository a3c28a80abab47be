"""The documentation is true: its commands are CI's, its examples run, its links land, no line is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


docs = load_script("refresh.py")
DOCUMENTS = docs.DOCUMENTS
LECTURE_MAP = ROOT / "docs" / "lecture-map.md"

# Every numbered line of the lecture.
LECTURE_LINES = (
    *("L1.1", "L1.2", "L1.2.1", "L1.2.2", "L1.2.3"),
    *("L2.1.1", "L2.1.2", "L2.1.3", "L2.1.4", "L2.1.5"),
    *("L2.2.1", "L2.2.2", "L2.2.3", "L2.2.4", "L2.2.5", "L2.2.6", "L2.2.7"),
    *("L2.3.1", "L2.3.2", "L2.3.3", "L2.3.4"),
    *("L3.1", "L3.2"),
)


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=named)


# ---- examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        each if each.name == "evening.md" else pytest.param(each, marks=pytest.mark.slow(seconds=3))
        for each in DOCUMENTS
    ],
    ids=named,
)
def test_examples_run_and_print_what_is_shown(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert docs.refresh_outputs(text, document.name) == text, "if this is as it should be: python docs/refresh.py"


def test_a_failing_example_is_reported_with_its_line() -> None:
    with pytest.raises(RuntimeError, match=r"broken\.md.*, line 5"):
        docs.refresh_outputs("# Title\n\n```python\nx = 1\nassert x == 2\n```\n", "broken.md")


def test_another_output_is_put_in_its_place() -> None:
    text = "```python\nprint(1 + 1)\n```\n\n```text\nthree\n```\n\n```text\nno output\n```\n"
    assert docs.refresh_outputs(text, "sum.md") == text.replace("three", "2")


# ---- commands ------------------------------------------------------------------------------------------------


def ci_variable(name: str) -> str:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    found = re.search(rf"^{name}='([^']*)'$", script, re.MULTILINE)
    assert found, f".ci/run sets no {name}"
    return found[1]


@pytest.mark.parametrize("name", ["main_job", "test_job"])
def test_ci_runs_the_commands_of_the_readme(name: str) -> None:
    blocks = docs.fenced_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = [line for block in blocks if block.language == "sh" for line in block.content]
    assert ci_variable(name) in commands
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(rf'^eval "\${name}( [^"]*)?"$', script, re.MULTILINE), f".ci/run never runs ${name}"


def test_the_workflow_runs_the_same_script() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.search(r"^ *- run: \.ci/run$", workflow, re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def shown_commands() -> list[str]:
    """Every ``minicnn ...`` command that a ``sh`` block of a document shows, without its comment."""
    commands = []
    for document in DOCUMENTS:
        for block in docs.fenced_blocks(document.read_text(encoding="utf-8")):
            for line in block.content if block.language == "sh" else ():
                for command in line.split("&&"):
                    words = shlex.split(command, comments=True)
                    if words and Path(words[0]).name == "minicnn":
                        commands.append(shlex.join(words[1:]))
    return sorted(set(commands))


@pytest.mark.parametrize("command", shown_commands())
def test_commands_shown_have_the_options_they_use(command: str) -> None:
    words = shlex.split(command)
    subcommand = [word for word in words[:1] if not word.startswith("-")]
    help_text = subprocess.run(
        [sys.executable, "-c", "import sys; from minicnn.cli import main; sys.exit(main())", *subcommand, "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert help_text.returncode == 0, help_text.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option.split("=")[0] in help_text.stdout


# ---- links ---------------------------------------------------------------------------------------------------


@every_document
def test_links_to_symbols_have_the_right_line(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert docs.refresh_links(text, document) == text, "run: python docs/refresh.py"


@every_document
def test_links_to_files_exist(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for address in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", address):
            path, _, anchor = address.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), f"{named(document)} links to {address}, which does not exist"
            if anchor and target.suffix == ".md":
                assert anchor in anchors(target), f"{named(document)} links to {address}: no such heading"


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_vanished_symbol_is_reported_with_the_line_of_the_document() -> None:
    text = "first line\n[`minicnn/errors.py:NoSuchError`](x)\n"
    with pytest.raises(LookupError, match=r"README\.md:2: minicnn/errors\.py defines no NoSuchError"):
        docs.refresh_links(text, ROOT / "README.md")


# ---- lecture map ---------------------------------------------------------------------------------------------


def lecture_rows() -> dict[str, str]:
    """The table rows of the lecture map by their line number."""
    rows: dict[str, str] = {}
    for line in LECTURE_MAP.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\| (L\d[\d.]*) \|", line):
            assert found[1] not in rows, f"{found[1]} stands twice"
            rows[found[1]] = line
    return rows


def test_the_lecture_map_has_every_line_in_order() -> None:
    assert tuple(lecture_rows()) == LECTURE_LINES


@pytest.mark.parametrize("number", LECTURE_LINES)
def test_a_lecture_line_is_built_or_says_that_it_is_not(number: str) -> None:
    row = lecture_rows()[number]
    planned = planned_names(row)
    said = planned or docs.SYMBOL_LINK.search(row)
    assert said, f"{number} neither points at code nor says 'not built yet: `minicnn.name`'"
    built = [name for name in planned if exists(name)]
    assert built == [], f"{number}: built by now; point at it"


def planned_names(row: str) -> list[str]:
    """The public names after "not built yet:", separated by commas."""
    lists = re.findall(r"not built yet: (`[\w.]+`(?:, `[\w.]+`)*)", row)
    return [name for names in lists for name in re.findall(r"[\w.]+", names)]


def exists(name: str) -> bool:
    """Whether a dotted public name can be imported or is an attribute of something that can."""
    parent, _, last = name.rpartition(".")
    try:
        return importlib.util.find_spec(name) is not None or hasattr(importlib.import_module(parent), last)
    except ModuleNotFoundError:
        return hasattr(importlib.import_module(parent), last)


def test_what_is_built_is_told_from_what_is_not() -> None:
    assert planned_names("| the figure is not built yet: `minicnn.a`, `minicnn.b.c` |") == [
        "minicnn.a",
        "minicnn.b.c",
    ]
    assert exists("minicnn.models.resnet18") and exists("minicnn.models.resnet") and exists("minicnn.nn")
    assert not exists("minicnn.models.no_such_net") and not exists("minicnn.no_such_package")
