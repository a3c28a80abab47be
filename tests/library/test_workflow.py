"""The workflow is what the documentation and pyproject.toml say, and gives nobody more rights than needed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]


def commands(job: str) -> str:
    return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)


def test_every_push_and_request_is_tested() -> None:
    when = WORKFLOW[True]  # YAML 1.1 reads `on` as a truth value
    assert when["push"] == {"branches": ["main"]} and "pull_request" in when


def test_rights_are_to_read_except_where_the_site_is_published() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert rights == {"publish": {"pages": "write", "id-token": "write"}}
    assert "pull_request_target" not in TEXT and "secrets." not in TEXT
    checkouts = [step for job in JOBS.values() for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_fork_runs_one_job() -> None:
    always = [name for name, job in JOBS.items() if "!github.event.repository.fork" not in job.get("if", "")]
    assert always == ["tests"]


def test_every_job_ends() -> None:
    assert [name for name, job in JOBS.items() if "timeout-minutes" not in job] == ["publish"]


def test_the_pythons_tested_are_the_ones_supported() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    supported = [found[1] for line in classifiers if (found := re.fullmatch(r".*:: (3\.\d+)", line))]
    tested = re.findall(r'"(3\.\d+)"', JOBS["tests"]["strategy"]["matrix"]["python"])
    assert supported == ["3.11", "3.12", "3.13", "3.14"] and tested[1:] == supported and tested[0] in supported


def test_other_systems_run_the_readmes_commands() -> None:
    assert {each["system"] for each in JOBS["systems"]["strategy"]["matrix"]["include"]} == {
        "macos-latest", "windows-latest",
    }  # fmt: skip
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    run = commands("systems").replace("${{ matrix.bin }}", ".venv/bin").replace("python -m venv", "python3 -m venv")
    main_job = next(line for line in told.splitlines() if line.endswith("minicnn train resnet20"))
    assert main_job in run
    for folder in re.findall(r"tests/library/\w+", run):
        assert (ROOT / folder).is_dir()


def test_the_lowest_versions_are_tried() -> None:
    assert '--resolution lowest-direct -e ".[test]"' in commands("lowest") and "pytest" in commands("lowest")


def test_the_site_is_built_strictly_before_it_is_published() -> None:
    assert "sphinx-build -W docs site" in commands("site") and "site" in JOBS["publish"]["needs"]
