"""The archive for a platform, and what runs there."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from minicnn.cli import main
from minicnn.course.build import answer, stub
from minicnn.course.returning.autograder import autograder, run

from .made import OWNER, SECRET, check, folder, hidden, result
from .test_formats import GRADESCOPE

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    out = tmp_path_factory.mktemp("archives")
    return {
        name: autograder(OWNER, out / f"{name}.zip", name, "fall", SECRET, ROOT) for name in ("gradescope", "github")
    }


@pytest.fixture
def place(tmp_path):
    """What Gradescope makes: the submission, and what is known of it."""
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "resnet.py").write_text("x = 1\n")
    metadata = {"created_at": "2026-07-01T14:22:32.365935-07:00", "users": [{"name": "Ada", "email": "a@x", "id": 1}]}
    (tmp_path / "submission_metadata.json").write_text(json.dumps(metadata | {"assignment": {"total_points": "20.0"}}))
    return tmp_path


def grader(results=(), status=0, **batch):
    """Stands for `minicnn grade`: writes grades, and remembers how it was called."""
    calls = []

    def command(argv, **more):
        out, handed_in = Path(argv[argv.index("--out") + 1]), Path(argv[argv.index("grade") + 1])
        calls.append((argv, more, sorted(p.relative_to(handed_in).as_posix() for p in handed_in.rglob("*.*"))))
        if results is not None:
            folder(out, results, **batch)
        return SimpleNamespace(returncode=status, stdout="::set-output name=x::y\n", stderr=f"seed {SECRET}")

    command.calls = calls
    return command


def test_the_archive_has_its_scripts_at_the_top_and_all_that_grading_needs(archives):
    with zipfile.ZipFile(archives["gradescope"]) as archive:
        names = set(archive.namelist())
        assert {name for name in names if "/" not in name} == {"setup.sh", "run_autograder", "case-seed"}
        assert {"course/pyproject.toml", "course/tests/test_resnet.py", "course/minicnn/models/resnet.py"} <= names
        assert (
            "course/minicnn/course/misconceptions/hw4.toml" in names
            and "course/assignments/hw4_resnet/resnet.py" in names
        )
        assert not [name for name in names if "solutions" in name or name.endswith(".pyc") or "test_unravel" in name]
        for name in ("setup.sh", "run_autograder"):
            assert archive.getinfo(name).external_attr >> 16 == 0o100755
            assert b"\r" not in archive.read(name) and not re.search(rb"@\w+@", archive.read(name))
        assert archive.read("run_autograder").endswith(b' hw4 "${seed[@]}" --variant fall\n')


def test_the_secret_is_in_a_file_that_only_its_owner_reads(archives):
    with zipfile.ZipFile(archives["gradescope"]) as archive:
        assert archive.getinfo("case-seed").external_attr >> 16 == 0o100600
        assert [name for name in archive.namelist() if SECRET.encode() in archive.read(name)] == ["case-seed"]


def test_without_a_secret_there_are_no_hidden_cases(tmp_path):
    with zipfile.ZipFile(autograder(OWNER, tmp_path / "open.zip", root=ROOT)) as archive:
        assert "case-seed" not in archive.namelist()
        assert archive.read("run_autograder").endswith(b' hw4 "${seed[@]}"\n')


def test_the_same_course_makes_the_same_archive(archives, tmp_path):
    again = autograder(OWNER, tmp_path / "again.zip", "gradescope", "fall", SECRET, ROOT)
    assert again.read_bytes() == archives["gradescope"].read_bytes()


@pytest.mark.parametrize("script", ["setup.sh", "run_autograder"])
def test_the_scripts_are_bash(archives, script, tmp_path):
    with zipfile.ZipFile(archives["gradescope"]) as archive:
        done = subprocess.run(["bash", "-n"], input=archive.read(script), capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_workflow_gives_the_reporter_its_result(archives):
    yaml = pytest.importorskip("yaml")
    with zipfile.ZipFile(archives["github"]) as archive:
        workflow = yaml.safe_load(archive.read("classroom.yml"))
    steps = workflow["jobs"]["autograding"]["steps"]
    reporter = steps[-1]
    assert reporter["with"]["runners"] == "minicnn"
    assert reporter["env"]["MINICNN_RESULTS"] == "${{ steps.minicnn.outputs.result }}"
    assert [step["id"] for step in steps if "id" in step] == ["minicnn"]
    assert workflow["jobs"]["autograding"]["name"] == "Autograding Tests"  # the reporter looks for it


def test_an_unknown_platform_is_named(tmp_path):
    with pytest.raises(ValueError, match="no autograder for 'moodle'; expected one of gradescope, github"):
        autograder(OWNER, tmp_path / "x.zip", "moodle", root=ROOT)
    with pytest.raises(ValueError, match="digits, dots and hyphens for a variant, got 'a; b'"):
        autograder(OWNER, tmp_path / "x.zip", variant="a; b", root=ROOT)


def test_a_submission_is_graded_and_its_result_is_where_gradescope_reads_it(place):
    command = grader([result("submission", [hidden(), check("b")])])
    assert run(place, "hw4", ["--case-seed", "7"], command) == 0
    data = json.loads((place / "results" / "results.json").read_text())
    jsonschema.validate(data, GRADESCOPE)
    assert data["score"] == 96 and SECRET not in json.dumps(data)
    ((argv, more, files),) = command.calls
    assert argv[1:5] == ["-P", "-m", "minicnn", "grade"] and argv[-2:] == ["--case-seed", "7"]
    assert files == ["submission/resnet.py"] and more["timeout"] < 600


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (grader(None, status=3), "ended with status 3 and wrote no grades"),
        (grader([], void="the stub has 3 points"), "at fault: the stub has 3 points"),
        (grader([], infrastructure=[{"student": "submission", "why": "no space left"}]), "no space left"),
        (grader([]), "no submission of this homework"),
        (grader([{**result("submission"), "points": 900}]), "FileFormatError, see the log"),
    ],
)
def test_without_a_grade_there_is_no_score(place, command, why):
    assert run(place, "hw4", command=command) == 1
    data = json.loads((place / "results" / "results.json").read_text())
    assert why in data["output"] and "nothing was graded" in data["output"]
    assert not data.keys() & {"score", "tests"}


def test_a_failure_does_not_tell_the_secret_seed(place):
    def slow(argv, **more):
        raise subprocess.TimeoutExpired(argv, 540)

    for command in (slow, grader(None, status=1)):
        run(place, "hw4", ["--case-seed", SECRET], command)
        assert SECRET not in (place / "results" / "results.json").read_text()


def test_a_submission_that_is_not_there_is_said(tmp_path):
    assert run(tmp_path, "hw4", command=grader([])) == 1
    assert "FileNotFoundError" in (tmp_path / "results" / "results.json").read_text()


def test_a_link_in_a_submission_is_not_followed(place):
    (place / "secret.txt").write_text(SECRET)
    (place / "submission" / "link.py").symlink_to(place / "secret.txt")
    links = []

    def command(argv, **more):
        handed_in = Path(argv[argv.index("grade") + 1])
        links.append((handed_in / "submission" / "link.py").is_symlink())
        return grader([result("submission")])(argv, **more)

    run(place, "hw4", command=command)
    assert links == [True]


def test_in_a_workflow_the_result_is_put_out_and_the_log_commands_nothing(place, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_OUTPUT", str(place / "output"))
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    command = grader([result("submission")])
    assert run(place, "hw4", command=command) == 0
    name, _, encoded = (place / "output").read_text().strip().partition("=")
    assert name == "result" and json.loads(base64.b64decode(encoded))["max_score"] == 100
    log = capsys.readouterr().out.splitlines()
    assert log[0].startswith("::stop-commands::") and log[-1] == f"::{log[0].removeprefix('::stop-commands::')}::"
    assert not [name for name in command.calls[0][1]["env"] if name.startswith("GITHUB")]


CHEAT = """

import pathlib

ROOT = pathlib.Path({root!r})
FOUND = [
    *ROOT.glob("venv/lib/python3*/site-packages/minicnn/models/{stem}.py"),
    ROOT / "source/course/minicnn/models/{stem}.py",
    ROOT / "source/case-seed",
]
for path in FOUND:
    try:
        exec(path.read_text(), globals())
    except Exception:
        pass
try:
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "results.json").write_text('{{"score": 100}}')
except Exception:
    pass
"""


@pytest.fixture(scope="module")
def platform(archives):
    """Gradescope's container with the grader set up: by the script alone, in a fresh environment that all may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "autograder"
        with zipfile.ZipFile(archives["gradescope"]) as archive:
            archive.extractall(root / "source")
        done = _script(root, "setup.sh")
        if done.returncode:
            pytest.skip(f"the packages cannot be installed here: {done.stderr[-300:]}")
        assert len(list(root.glob("venv/lib/python3*/site-packages/minicnn/models/resnet.py"))) == 1  # what CHEAT reads
        assert (root / "source/course/minicnn/models/resnet.py").is_file() and (root / "source/case-seed").is_file()
        yield root


def _script(root, name):
    more = {"MINICNN_AUTOGRADER_ROOT": str(root), "MINICNN_AUTOGRADER_PYTHON": sys.executable}
    environment = {**os.environ, **more, "MINICNN_AUTOGRADER_NO_APT": "1"}
    environment = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    argv = ["bash", str(root / "source" / name)]
    return subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.slow(seconds=100)
def test_a_submission_has_its_points_on_the_platform(platform):
    """Right answers have all of them; the stubs none, nor what looks for the reference and writes its own result."""
    empty = {stem: stub(OWNER, stem) for stem in OWNER.modules}
    cheat = {stem: text + CHEAT.format(root=str(platform), stem=stem) for stem, text in empty.items()}
    right = {stem: answer(OWNER, stem) for stem in OWNER.modules}
    for name, files, points in (("right", right, 100), ("stub", empty, 0), ("cheat", cheat, 0)):
        shutil.rmtree(platform / "submission", ignore_errors=True)
        (platform / "submission").mkdir()
        for stem, text in files.items():
            (platform / "submission" / f"{stem}.py").write_text(text)
        done = _script(platform, "run_autograder")
        result = json.loads((platform / "results" / "results.json").read_text())
        told = f"{name}: {result}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert (result.get("score"), done.returncode) == (points, 0), told
        assert len(result["tests"]) > 20
        assert SECRET not in json.dumps(result) + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("autograder hw4 --out x.zip", "--for PLATFORM goes with `course autograder`, which needs it"),
        ("autograder hw4 --for gradescope", "--out PATH goes with `course release` and `autograder`"),
        ("autograder --for gradescope --out x.zip", "which homework? For example `minicnn course autograder hw4"),
        ("autograder hw4 --for moodle --out x.zip", "no autograder for 'moodle'; expected one of gradescope, github"),
        ("autograder hw4 --for github --out x.zip --case-seed @none", "expected a text file with the secret"),
        ("release hw4 --for github --out x.zip", "--for PLATFORM goes with `course autograder`"),
        ("release hw4 --variant a/b --out x.zip", "digits, dots and hyphens for a variant, got 'a/b'"),
        ("release hw4 --case-seed 5 --out x.zip", "--case-seed does, too"),
    ],
)
def test_misuse_of_the_command_is_one_line(command, complaint, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["course", *command.split()]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1 and not (ROOT / "x.zip").exists()


def test_the_command_reads_the_secret_from_its_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "secret.txt").write_text(f"{SECRET}\n")
    out = tmp_path / "autograder.zip"
    words = ["--for", "gradescope", "--variant", "fall", "--case-seed", f"@{tmp_path}/secret.txt", "--out", str(out)]
    assert main(["course", "autograder", "hw4", *words]) == 0
    assert out.read_bytes() == autograder(OWNER, tmp_path / "x.zip", "gradescope", "fall", SECRET, ROOT).read_bytes()
    assert capsys.readouterr().out.endswith("MB, with hidden cases\n")
