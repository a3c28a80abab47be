"""What the commands print fits: 80 columns where there is no terminal, and the terminal where there is one."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import cli
from minicnn.backend.cpu import warmup
from minicnn.course.build import course_root

from ..course.returning import made

pytestmark = pytest.mark.slow(seconds=2)
ROOT = Path(minicnn.__file__).parents[1]
Command = Callable[..., tuple[int, str, str]]

COMMANDS = [
    ["--help"],
    *([name, "--help"] for name in cli.command_names()),
    ["models"],
    *(["summary", name] for name in ("resnet50", "densenet201", "googlenet", "efficientnet_b7", "vgg19_bn")),
    ["lecture"],
    ["hw", "list"],
    ["hw", "status", "hw4"],
    ["hw", "status", "hw1", "--impl", "solutions"],
    ["hw", "check", "hw4.4"],
    ["hw", "check", "hw1.5", "--impl", "solutions"],
    ["course", "build", "--check"],
    ["explore", "tinynet", "--out", "page.html"],
    ["bench", "resnet20", "--size", "8", "--batch", "2", "--seconds", "0.01"],
    ["bench", "ladder", "--size", "5", "--batch", "1", "--channels", "3", "--seconds", "0.01"],
    ["warmup"],
    ["train", "tinynet", "--epochs", "2", "--batch-size", "256"],
    ["evaluate", "a-run-with-a-rather-long-name-that-says-what-was-changed-in-it"],
    ["compare", "a-run-with-a-rather-long-name-that-says-what-was-changed-in-it", "run"],
    ["export", "tinynet", "--onnx", "a-file-with-a-rather-long-name-such-as-there-are-many-at-this-university.onnx"],
    ["grade", "collect", "class", "--homework", "hw4", "--roster", "class.csv"],
    ["grade", "rubric", "grades", "--out", "rubric.csv"],
    ["grade", "report", "grades", "--out", "report.html"],
    ["grade", "export", "grades", "--feedback", "--out", "pages"],
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a class in it; the course is still the one of this checkout."""
    root = course_root()
    for student in ("a-student-with-a-rather-long-name-such-as-there-are-many-at-this-university", "ben"):
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / "resnet.py").write_text("x = 1\n")
    (tmp_path / "class.csv").write_text("id\nben\n" + "".join(f"missing-student-{n}\n" for n in range(9)))
    made.folder(tmp_path / "grades", [made.result("ada")], missing=[f"student-{n}" for n in range(9)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minicnn.course.build.course_root", lambda *_: root)
    monkeypatch.setattr(warmup, "STEPS", {"what is there": lambda dtype: None})
    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_80_columns(arguments: list[str], place: Path, minicnn_command: Command) -> None:
    with np.errstate(all="ignore"):
        if arguments[0] in ("evaluate", "compare"):
            for path in arguments[1:]:
                minicnn_command("train", "tinynet", "--epochs", "1", "--batch-size", "512", "--out", path)
        status, out, error = minicnn_command(*arguments)
    assert (status, out != "") == (1 if arguments[-1] == "hw4.4" else 0, True), error
    for line in [*out.splitlines(), *error.splitlines()]:
        assert len(line) <= 80 or len(line.split()) == 1, line  # a path is longer, and whole
    assert "\x1b" not in out + error


@pytest.mark.parametrize("arguments", [["hw", "list"], ["lecture"], ["models", "resnet"]], ids=" ".join)
def test_columns_of_80_are_the_same_as_no_terminal(
    arguments: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, minicnn_command: Command
) -> None:
    plain = minicnn_command(*arguments)
    monkeypatch.setenv("COLUMNS", "80")
    assert minicnn_command(*arguments) == plain


# --- terminals ----------------------------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, columns: int, **environment: str) -> str:
    """What ``minicnn`` writes on a terminal of that width."""
    pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))  # of Unix
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", *arguments],
        stdin=its, stdout=its, stderr=its,
        env={**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        cwd=ROOT,
    )  # fmt: skip
    os.close(its)
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 1)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:  # it has ended
                break
            if not more:
                break
            seen += more
    process.wait(60)
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("arguments", [["hw", "list"], ["lecture"], ["--help"], ["train", "--help"]], ids=" ".join)
def test_a_terminals_width_is_used(arguments: list[str]) -> None:
    narrow, wide = (on_a_terminal(*arguments, columns=columns) for columns in (60, 118))
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in (narrow, wide)]  # argparse has colours from Python 3.14 on
    assert max(map(len, plain[0].splitlines())) <= 60
    assert 60 < max(map(len, plain[1].splitlines())) <= 118
    if "--help" not in arguments:
        assert sorted(narrow.split()) == sorted(wide.split())


def test_states_and_errors_have_colour_on_a_terminal_that_shows_it() -> None:
    red = "minicnn: \x1b[31merror:\x1b[0m there is no command 'trian'"
    assert on_a_terminal("trian", columns=80).startswith(red)
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_a_terminal("trian", columns=80, **plain).startswith("minicnn: error: there is no command 'trian'")
    status = on_a_terminal("hw", "status", "hw1", columns=80)
    assert "\x1b[33m9 not attempted\x1b[0m" in status
    assert "\x1b[33mNOT ATTEMPTED\x1b[0m" in on_a_terminal("hw", "check", "hw1.5", columns=80)


def test_colour_is_forced_into_a_pipe_only_if_asked_for() -> None:
    for forced in ({}, {"FORCE_COLOR": "1"}):
        done = subprocess.run(
            [sys.executable, "-m", "minicnn", "trian"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **forced},
            capture_output=True,
        )
        assert (b"\x1b[31merror:" in done.stderr) is bool(forced)
