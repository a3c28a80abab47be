"""``minicnn completion``: the scripts, in the shells that they are written for, as far as these are installed."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minicnn
from minicnn.cli import command_names, completion, parser_of
from minicnn.cli.grade import VERBS

ROOT = Path(minicnn.__file__).parents[1]

pty = pytest.importorskip("pty")  # the terminals of Unix

RESNETS = {f"resnet{depth}" for depth in (18, 20, 32, 34, 44, 50, 56, 101, 110, 152)}
CASES = {
    "minicnn tr": {"train"},
    "minicnn train res": RESNETS,
    "minicnn hw ": {"list", "status", "check", "solution"},
    "minicnn hw check hw4.": {f"hw4.{number}" for number in range(1, 9)},
    "minicnn train resnet20 --dev": {"--device"},
    "minicnn train resnet20 --device c": {"cpu", "cuda:0"},
    "minicnn train resnet20 --optimizer ada": {"adam", "adamw"},
    "minicnn train resnet20 --data cif": {"cifar10:", "cifar100:"},
    "minicnn lecture va": {"vanishing"},
    "minicnn bench resnet18 resnet5": {"resnet50", "resnet56"},
    "minicnn predict pict": {"picture.png", "pictures"},
    "minicnn train --resume pict": {"pictures"},
    "minicnn grade ex": {"export"},
    "minicnn grade pict": {"picture.png", "pictures"},
    "minicnn grade export grades --for mo": {"moodle"},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file and a folder."""
    (tmp_path / "picture.png").touch()
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(shell: str, place: Path) -> Path:
    command = [sys.executable, "-m", "minicnn", "completion", shell]
    made = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    path = place / shell / "_minicnn"  # zsh finds it by this name in a folder of its fpath
    path.parent.mkdir()
    path.write_bytes(made.stdout)
    return path


def need(shell: str) -> str:
    return shutil.which(shell) or pytest.skip(f"{shell} is not installed")


BASH = """
source "$1"
function=$(complete -p minicnn | sed 's/.*-F \\([^ ]*\\).*/\\1/')
read -ra COMP_WORDS <<< "$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
$function minicnn "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_bash(place: Path) -> None:
    bash, source = need("bash"), script("bash", place)
    for line, expected in CASES.items():
        done = subprocess.run([bash, "--norc", "-c", BASH, "bash", source, line], capture_output=True, text=True)
        assert (set(done.stdout.split()), done.stderr) == (expected, ""), line


def test_fish(place: Path) -> None:
    fish, source = need("fish"), script("fish", place)
    ask = "source $argv[1]; complete -C $argv[2]"
    for line, expected in CASES.items():
        done = subprocess.run([fish, "-c", ask, source, line], capture_output=True, text=True)
        found = {answer.partition("\t")[0].rstrip("/") for answer in done.stdout.splitlines()}
        assert (found, done.stderr) == (expected, ""), line


def test_zsh(place: Path) -> None:
    zsh, source = need("zsh"), script("zsh", place)
    for line, expected in CASES.items():
        words = [re.compile(rf"(?<![\w-]){re.escape(word)}(?!\w)") for word in expected]
        found, shown = zsh_shows(zsh, source, line, words)
        assert found, (line, shown)


def zsh_shows(zsh: str, source: Path, line: str, words: list[re.Pattern[str]]) -> tuple[bool, str]:
    """Whether a zsh on a terminal of its own shows ``words`` after ``line`` and two tabs, and what it shows."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        [zsh, "-f", "-i"], stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
    )
    os.close(its)

    def shows(*wanted: re.Pattern[str]) -> tuple[bool, str]:
        seen, end = b"", time.monotonic() + 20
        while time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 65536)
            text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|.\x08", "", seen.decode(errors="replace"))
            if all(pattern.search(text) for pattern in wanted):
                return True, text
        return False, text

    try:
        ready = re.compile(r"\x1b\[\?2004h")  # the line editor's
        assert shows(ready)[0]
        os.write(ours, f"fpath+={source.parent}; autoload -Uz compinit; compinit -u -D; unsetopt automenu\n".encode())
        assert shows(ready)[0]
        os.write(ours, f"{line}\t\t".encode())
        return shows(*words)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_the_completion_knows_what_the_commands_know() -> None:
    """Every command with all its options; a value that is named in the table belongs to an argument that exists."""
    full = completion.full_parser("bash")
    (commands,) = (action for action in full._actions if action.metavar == "COMMAND")
    assert isinstance(commands.choices, dict) and sorted(commands.choices) == command_names()
    arguments = {
        (name, action.dest, str(action.metavar)) for name in command_names() for action in parser_of(name)._actions
    }
    for name in command_names():
        theirs = {option for action in commands.choices[name]._actions for option in action.option_strings}
        assert theirs == {option for action in parser_of(name)._actions for option in action.option_strings}
    for key in completion.values():
        assert any(key in (f"{name} {dest}", dest, metavar) for name, dest, metavar in arguments), key
    assert set(VERBS) == {"collect", "grade", "rubric", "report", "export"}


def test_the_help_says_how_to_install_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert minicnn.cli.main(["completion", "--help"]) == 0
    text = capsys.readouterr().out
    for shell in completion.SHELLS:
        assert f"minicnn completion {shell}" in text
    assert max(map(len, text.splitlines())) <= 80
