"""The instructor's page is true: its commands, run in order for a class of seven, print what stands there."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from minicnn.course.grading.roster import LatePolicy

from . import small_class
from .test_grade_schema import VALID

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "teaching.md"
COURSE = ("LICENSE", "README.md", "assignments", "docs", "minicnn", "pyproject.toml", "solutions", "tests")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GRADED = re.compile(r"\w+: \d+/100")


class Step(NamedTuple):
    """A command of the page, and what it prints there."""

    command: str
    printed: str


def steps() -> list[Step]:
    """A ``sh`` block is one command; a ``text`` block right after it is what it prints."""
    text = PAGE.read_text(encoding="utf-8")
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        language, content = block.groups()
        if language == "sh":
            (command,) = content.splitlines()
            found.append(Step(command, ""))
        elif language == "text":
            found[-1] = Step(found[-1].command, content)
    return found


def comparable(printed: str) -> list[str]:
    """Lines without sizes and the machine's sandbox; grades, which come as they are ready, in order of the names."""
    lines = [re.sub(r"[\d.]+ (MB|kB|files\b)", r"N \1", line) for line in printed.splitlines()]
    lines = [re.sub(r"(sandbox: )\w+$", r"\1…", re.sub(r" \(\d of \d\)$", "", line)) for line in lines]
    first = next((number for number, line in enumerate(lines) if GRADED.fullmatch(line)), 0)
    last = first + sum(GRADED.fullmatch(line) is not None for line in lines)
    return [*lines[:first], *sorted(lines[first:last]), *lines[last:]]


def late_policy() -> str:
    (content,) = (
        content for language, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if language == "toml"
    )
    return str(content)


def test_there_are_ten_commands():
    commands = [step.command for step in steps()]
    assert len(commands) == 10
    verbs = [re.sub(r"minicnn (course|grade) (\S+).*", r"\1 \2", command) for command in commands[1:]]
    assert verbs == [
        "course release", "course autograder", "grade collect", "grade submissions.zip", "grade submissions.zip",
        "grade rubric", "grade report", "grade export", "grade export",
    ]  # fmt: skip


def test_the_order_of_grades_and_sizes_do_not_count_and_points_do():
    one, other = "x 1.5 MB\nben: 8/100 (1 of 2)\nada: 9/100 (2 of 2)\ndone", "x 2 MB\nada: 9/100\nben: 8/100\ndone"
    assert comparable(one) == comparable(other) != comparable(other.replace("9/", "7/"))


def test_the_late_policy_of_the_page_can_be_read(tmp_path):
    (tmp_path / "late.toml").write_text(late_policy())
    assert tomllib.loads(late_policy())["maximum_days"] == 5
    assert LatePolicy.read(tmp_path / "late.toml", "hw4").apply(88, 100, "2026-10-03T12:00:00+02:00")[0] == 68


@pytest.mark.slow(seconds=120)
def test_the_commands_print_what_the_page_shows(tmp_path):
    for name in COURSE:
        (tmp_path / name).symlink_to(ROOT / name)
    small_class.write(tmp_path)
    (tmp_path / "late.toml").write_text(late_policy())
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in {"python3": "", "minicnn": "-P -m minicnn"}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command, printed in steps():
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
        assert comparable(done.stdout) == comparable(printed), command
        if command.startswith("minicnn grade rubric"):
            small_class.mark(tmp_path / "rubric.csv")
    with open(tmp_path / "canvas.csv", newline="") as file:
        grades = {row["SIS Login ID"]: row["Residual networks (4711)"] for row in csv.DictReader(file)}
    del grades[""]  # the points that are possible
    late = "83.00"  # 88, less 20 for two days, and half of 30 for the written questions
    assert grades == {
        "ada": "115.00", "ben": "101.00", "chen": late, "dora": "15.00", "emil": "15.00", "fay": "", "gus": "",
    }  # fmt: skip
    for path in [tmp_path / "grades" / "batch.json", *(tmp_path / "grades" / "results").iterdir()]:
        VALID.validate(json.loads(path.read_text()))
    secret = (tmp_path / "secret.txt").read_text().strip()
    given = [path for name in ("grades", "feedback") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert len(given) > 20 and not [path for path in given if secret in path.read_text()]
