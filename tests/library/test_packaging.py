"""What the distribution says of itself: its name everywhere, its extras, its lowest versions, its licences."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

import minicnn
from minicnn.course.grading import cell

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
GENERATED = {".git", ".venv", "__pycache__", "runs", "site", "figures", "build", "dist", ".hypothesis"}
REQUIREMENT = re.compile(r"(?P<name>[\w-]+)(?:\[(?P<extras>[\w,]+)\])?(?P<versions>.*)")


def texts() -> dict[str, str]:
    """Every text file of the project, by its path."""
    found = {}
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in GENERATED and not name.endswith(("_cache", ".egg-info"))]
        for path in (Path(folder) / name for name in names):
            with contextlib.suppress(UnicodeDecodeError, OSError):
                found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return found


def strangers(text: str) -> list[str]:
    """The places where ``text`` asks a package index for ``minicnn``, which is another project there."""
    commands = re.findall(r"\b(?:pip3?|uv|pipx|uvx)\b(?: \w+)* (?:install|add|download)((?: +[^\s;&|]+)+)", text)
    words = [word.strip("\"'`,.()") for command in commands for word in command.split()]
    bare = [word for word in words if re.fullmatch(r"minicnn(?:[\[=<>~!@].*)?", word)]
    return bare + re.findall(r"(?<![\w./-])minicnn\[[\w,]+\]", text)


def test_no_text_tells_to_install_the_stranger_of_that_name() -> None:
    found = {path: strangers(text) for path, text in texts().items() if path != "tests/library/test_packaging.py"}
    assert {"README.md", "docs/gpu.md", "minicnn/backend/cuda/loading.py", ".ci/run"} <= found.keys()
    assert {path: places for path, places in found.items() if places} == {}


@pytest.mark.parametrize("text", [
    "pip install minicnn", "run `pip install -U minicnn` first", 'pip install "minicnn[cuda13]"',
    "pip3 install --user minicnn==0.1", "uv pip install numpy minicnn", "uv add minicnn", 'x = ["minicnn[test]"]',
])  # fmt: skip
def test_the_bare_name_is_found(text: str) -> None:
    assert strangers(text)


@pytest.mark.parametrize("text", [
    'pip install ".[cuda13]" && minicnn train', "pip install minicnn-lecture", 'pip install "minicnn-lecture[test]"',
    ".venv/bin/pip install -q . && .venv/bin/minicnn train resnet20", "pip install ./minicnn",
])  # fmt: skip
def test_other_names_are_not(text: str) -> None:
    assert not strangers(text)


def test_everything_knows_the_distributions_name() -> None:
    assert PROJECT["name"] == cell.DISTRIBUTION == "minicnn-lecture"
    assert PROJECT["scripts"] == {"minicnn": "minicnn.cli:main"}


def test_grading_without_an_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(ImportError, match="no-such-distribution is not installed.*pip install -e"):
        cell.lay_out_packages(tmp_path / "packages")


def test_extras_are_what_people_are_told_to_install() -> None:
    assert list(EXTRAS) == [
        *("student", "test", "dev", "docs", "dask", "mpi", "onnx", "tensorboard", "cuda12", "cuda13"),
        *("cudnn12", "cudnn13", "all"),
    ]
    for name, lines in EXTRAS.items():
        for match in map(REQUIREMENT.fullmatch, lines):
            if match["name"] == PROJECT["name"]:
                assert set(match["extras"].split(",")) < EXTRAS.keys() - {name}
    told = {extra for text in texts().values() for extras in re.findall(r"\"\.\[([a-z0-9,]+)\]\"", text)
            for extra in extras.split(",")}  # fmt: skip
    assert {"student", "test", "dev", "docs", "cuda13"} <= told <= EXTRAS.keys()


def test_a_student_installs_no_linter() -> None:
    names = {REQUIREMENT.fullmatch(line)["name"] for extra in ("student", "test") for line in EXTRAS[extra]}
    assert not names & {"ruff", "mypy", "pyright", "import-linter"}
    assert not {"scikit-learn", "scipy"} & {REQUIREMENT.fullmatch(line)["name"] for line in PROJECT["dependencies"]}


def test_every_dependency_has_a_lowest_version() -> None:
    lines = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    for match in map(REQUIREMENT.fullmatch, lines):
        if match["name"] != PROJECT["name"]:
            assert re.match(r"(>=|~=)\d", match["versions"]), match[0]


def test_every_licence_in_the_package_is_named() -> None:
    assert set(PROJECT["license"].split(" AND ")) == {"MIT", "CC-BY-4.0", "CC-BY-2.0"}
    named = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in PROJECT["license-files"])
    assert all(licence in named for licence in ("MIT License", "CC BY 4.0", "CC BY 2.0"))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    assert "bundled" not in ignored and ".npz" not in ignored  # hatchling leaves out what is ignored


def test_the_citation_is_complete() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "type", "version", "license"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["version"] == minicnn.__version__ and citation["license"] in PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {minicnn.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_codespace_installs_what_the_readme_tells() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    command = container["postCreateCommand"].replace("'", '"')
    assert f"{command} &&" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_nothing_that_a_command_writes_is_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/runs/", "/figures/", "/site/", ".venv/"} <= set(ignored)
