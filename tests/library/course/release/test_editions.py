"""Every homework's edition: it holds no answer, and grades a student's evening as the whole library would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from minicnn.cli.course import load_checks
from minicnn.course.build import answer
from minicnn.course.manifest import Homework, homework, homework_ids
from minicnn.course.misconceptions import mistakes, planted_source
from minicnn.course.release import edition
from minicnn.course.release.edition import Edition, make, save
from tests.library.support import edition_proof
from tests.library.support.other_answers import AUTHORS, hand_in

ROOT = Path(__file__).resolve().parents[4]
RECORDED = 1_000_000 // 7  # bytes, of each of the seven


def made(name: str, variant: str = "") -> Edition:
    return make(ROOT, name, lambda owner: load_checks(ROOT, owner), variant)


def environment(edition: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(edition), "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}


def prove(edition: Path, owner: Homework, folders: Sequence[str]) -> list[dict]:
    """What the edition says of what was handed in."""
    command = [sys.executable, "-P", edition_proof.__file__, owner.id, str(edition / owner.tests), *folders]
    done = subprocess.run(command, cwd=edition, env=environment(edition), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def write(folder: Path, owner: Homework, others: Mapping[str, str] | None = None) -> None:
    """The reference's answers as somebody hands them in, some files exchanged for ``others``."""
    (folder / owner.folder).mkdir(parents=True)
    for stem in owner.modules:
        text = (others or {}).get(stem) or answer(owner, stem)
        (folder / owner.folder / f"{stem}.py").write_text(text, encoding="utf-8")


def points(found: dict) -> int:
    return sum(points for _, points, _ in found.values())


def commands_work(edition: Path, owner: Homework, finished: Path) -> None:
    """With the homework done, the commands of the edition run on it; what needs later homework says which."""
    shutil.copytree(finished, edition / "assignments" / owner.folder, dirs_exist_ok=True)
    commands = [["--help"], ["hw", "list"], ["models", "vgg"], ["lecture"], ["train", "resnet20", "--epochs", "1"]]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "minicnn", *command], cwd=edition, env=environment(edition),
            capture_output=True, text=True,
        )  # fmt: skip
        needs_later = "not written yet, see assignments/" in done.stderr and f"{owner.id}." not in done.stderr
        assert done.returncode == 0 or needs_later, (command, done.stdout + done.stderr)
        assert needs_later <= (command[0] == "train" and owner.id in ("hw1", "hw2", "hw3")), command


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("name", homework_ids())
def test_an_edition_grades_stubs_answers_and_mistakes_without_the_reference(name, tmp_path, monkeypatch):
    owner, folder = homework(name), tmp_path / "edition"
    whole = edition._recorded
    monkeypatch.setattr(edition, "_recorded", lambda known: whole(known[-1:]))  # what came before has its own test
    handed_out = made(name)
    assert sum(len(content) for path, content in handed_out.files.items() if path.endswith(".xz")) < RECORDED
    save(handed_out, folder)
    write(tmp_path / "reference", owner)
    for author in AUTHORS:
        hand_in(tmp_path / author, owner, author)
    right = ["reference", *AUTHORS]
    stubs, *others = prove(folder, owner, [str(folder / "assignments"), *(str(tmp_path / each) for each in right)])
    assert {state for state, _, _ in stubs.values()} <= {"NOT ATTEMPTED", "BLOCKED"} and points(stubs) == 0
    assert [points(each) for each in others] == [100] * len(right)
    if name in ("hw2", "hw4"):  # before and after convolution is homework
        commands_work(folder, owner, tmp_path / "loops" / owner.folder)

    planted = mistakes(name)
    for number, mistake in enumerate(planted):
        write(tmp_path / f"mistake{number}", owner, {mistake.hole.stem: planted_source(mistake)})
    found = prove(folder, owner, [f"{tmp_path}/mistake{n}={each.task}" for n, each in enumerate(planted)])
    assert len(found) == len(planted)
    for mistake, checks in zip(planted, found, strict=True):
        assert points(checks) < owner.task(mistake.task).points, f"{mistake} loses nothing"
        assert {name for _, _, name in checks.values()} - {None} == {mistake.name}, str(mistake)


@pytest.mark.slow(seconds=12)
def test_a_variant_has_other_cases_and_keeps_them_apart(tmp_path):
    owner, plain, other = homework("hw1"), made("hw1"), made("hw1", "autumn")
    (path,) = (path for path in plain.files if path.endswith("hw1.xz"))
    assert plain.files[path] != other.files[path]
    save(other, tmp_path / "edition")
    hand_in(tmp_path / "loops", owner, "loops")
    (found,) = prove(tmp_path / "edition", owner, [str(tmp_path / "loops")])
    assert points(found) == 100
    assert b"+hw1.autumn" in other.files["minicnn/__init__.py"]


@pytest.mark.slow(seconds=25)
def test_a_wheel_of_an_edition_installs_and_grades_without_linters(tmp_path):
    """As a student sets it up, in an environment of its own; the network is only asked for what is not here."""
    owner, folder = homework("hw2"), tmp_path / "edition"
    save(made("hw2"), folder)
    build = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "minicnn_lecture-0.1.0+hw2-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        extras = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Provides-Extra")]
    assert extras == ["Provides-Extra: student"]
    assert "minicnn/course/recorded/hw2.xz" in names and "minicnn/course/edition.json" in names
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    hand_in(tmp_path / "loops", owner, "loops")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-c", str(folder / "pyproject.toml"), owner.tests]
    done = subprocess.run(
        [*command, f"--impl={tmp_path / 'loops'}"], cwd=folder, env=environment(tmp_path / "installed"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert "total" in done.stdout and "100/100" in done.stdout, done.stdout + done.stderr
