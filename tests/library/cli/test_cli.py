"""The ``minicnn`` command: help, the shell, and one clear line for all that can be asked wrongly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import cli
from minicnn.models import list_models

ROOT = Path(minicnn.__file__).parents[1]


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which ``minicnn`` is this package's command."""
    line = f'minicnn() {{ "{sys.executable}" -m minicnn "$@"; }}; {command}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # most shells do not have it, and without it pipes fail later
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=120)


Command = Callable[..., tuple[int, str, str]]
TINY = ("train", "tinynet", "--epochs", "2", "--batch-size", "256")


# --- what works -----------------------------------------------------------------------------------------------


def test_models_lists_each_with_its_size(minicnn_command: Command) -> None:
    status, out, error = minicnn_command("models")
    assert (status, error) == (0, "")
    table = out.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table] == ["model", *list_models()]
    assert "11,689,512" in next(line for line in table if line.startswith("resnet18 "))


def test_help_lists_every_command_and_the_version_is_told(minicnn_command: Command) -> None:
    status, out, _ = minicnn_command("--help")
    assert status == 0
    for name in cli.command_names():
        assert f"  {name} " in out
        assert cli.load_command(name).HELP in " ".join(out.split())
        assert minicnn_command(name, "--help")[0] == 0
    assert minicnn_command()[1] == out
    assert minicnn_command("--version")[:2] == (0, f"minicnn {minicnn.__version__}\n")


def test_help_fits_a_terminal(minicnn_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = minicnn_command("train", "--help")[1]
    options = [line for line in out.splitlines() if line.startswith("  -")]
    assert len(out.splitlines()) < 40
    assert [line for line in options if not re.search(r"\S  +\S", line)] == []  # each with its text on its line
    assert max(map(len, out.splitlines())) <= 80


GREET = """
HELP = "say hello"
def add_arguments(parser): parser.add_argument("name")
def run(args): return print("hello", args.name) or 0
"""


def test_a_new_command_is_a_new_file(minicnn_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greet.py").write_text(GREET)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert minicnn_command("greet", "Ada") == (0, "hello Ada\n", "")
    assert "say hello" in minicnn_command("--help")[1]
    sys.modules.pop("minicnn.cli.greet")


def test_no_command_imports_what_is_slow_before_it_runs() -> None:
    code = "import sys; from minicnn.cli import main; main(['--help']); print(*sys.modules)"
    result = shell(f'"{sys.executable}" -c "{code}"')
    loaded = set(result.stdout.splitlines()[-1].split())
    assert loaded & {"matplotlib", "tqdm", "PIL", "numba", "safetensors", "shtab", "minicnn.training"} == set()


# --- the shell ------------------------------------------------------------------------------------------------


def test_a_closed_pipe_is_quiet() -> None:
    result = shell("minicnn models | head -n 1; echo status ${PIPESTATUS[0]}")
    assert result.stdout.splitlines()[0].startswith("model")
    assert result.stderr == ""
    for command in ("minicnn --help", "minicnn models resnet18"):
        assert shell(f"{command} | true").stderr == ""


def test_python_m_minicnn_hands_on_the_exit_status() -> None:
    assert shell("minicnn --version").stdout == f"minicnn {minicnn.__version__}\n"
    result = shell("minicnn train resnte20")
    assert result.returncode == 2
    assert "did you mean 'resnet20'?" in result.stderr


# --- misuse: one line, exit status 2 --------------------------------------------------------------------------


def one_image_class(tmp_path: Path) -> str:
    """A folder of pictures with a single class."""
    from PIL import Image

    (tmp_path / "pictures/cats").mkdir(parents=True)
    for number in range(20):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / f"pictures/cats/{number}.png")
    return "folder:pictures"


def damaged_run(tmp_path: Path) -> str:
    """A run whose checkpoint ends in the middle."""
    assert cli.main([*TINY, "--quiet", "--out", "run"]) == 0
    (tmp_path / "run/result.json").unlink()
    checkpoint = tmp_path / "run/checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    return "run"


def foreign_checkpoint(tmp_path: Path) -> str:
    damaged_run(tmp_path)
    np.savez(tmp_path / "run/checkpoint.npz", weight=np.ones(3))
    return "run"


def other_networks_checkpoint(tmp_path: Path) -> str:
    """A run folder into which another run's checkpoint was copied."""
    damaged_run(tmp_path)
    assert cli.main([*TINY, "--quiet", "--seed", "9", "--out", "other"]) == 0
    (tmp_path / "other/checkpoint.npz").rename(tmp_path / "run/checkpoint.npz")
    return "run"


def lost_checkpoint(tmp_path: Path) -> str:
    damaged_run(tmp_path)
    (tmp_path / "run/checkpoint.npz").unlink()
    return "run"


def damaged_config(tmp_path: Path) -> str:
    damaged_run(tmp_path)
    (tmp_path / "run/config.json").write_text('{"model": ')
    return "run"


def no_run(tmp_path: Path) -> str:
    (tmp_path / "empty").mkdir()
    return "empty"


MISUSES = {
    "no model": (["train"], r"which model\?.*minicnn train resnet20"),
    "unknown model": (["train", "resnte20"], r"no model is called 'resnte20'; did you mean 'resnet20'\?"),
    "unknown command": (["trian"], r"no command 'trian'; did you mean 'train'\?"),
    "unknown command, far off": (["dance"], r"no command 'dance'; expected one of: .*train"),
    "unknown option": (["train", "tinynet", "--epoch"], r"--epoch"),
    "unknown option before": (["--quiet"], r"unrecognized arguments: --quiet"),
    "a word for a number": (
        ["train", "tinynet", "--epochs", "many"],
        r"--epochs: expected a whole number from 1 .* got 'many'",
    ),
    "negative epochs": ([*TINY[:2], "--epochs", "-1"], r"--epochs: expected a whole number from 1 .* got '-1'"),
    "no epochs": ([*TINY[:2], "--epochs", "0"], r"--epochs: expected a whole number from 1 .* got '0'"),
    "no batch": ([*TINY, "--batch-size", "0"], r"--batch-size: expected a whole number from 1 .* got '0'"),
    "negative rate": ([*TINY, "--lr", "-0.1"], r"--lr: expected a number above 0 .* got '-0.1'"),
    "rate nan": ([*TINY, "--lr", "nan"], r"--lr: expected a number above 0 .* got 'nan'"),
    "negative decay": ([*TINY, "--weight-decay", "-1"], r"--weight-decay: expected a number from 0 .* got '-1'"),
    "unknown optimizer": ([*TINY, "--optimizer", "lion"], r"one of sgd, adam, adamw, got 'lion'"),
    "negative seed": ([*TINY, "--seed", "-1"], r"--seed: expected a whole number from 0 .* got '-1'"),
    "seed of a figure": (["lecture", "depth", "--quick", "--seed", "-1"], r"--seed: expected a whole number from 0"),
    "rate beyond float32": ([*TINY, "--lr", "1e300"], r"--lr: expected a number above 0 to 3e\+38"),
    "no folder to write to": ([*TINY, "--out", ""], r"--out: expected a word"),
    "figures into a file": (["lecture", "depth", "--quick", "--out", "run/file"], r"--out: "),
    "a picture beyond memory": (["bench", "resnet18", "--size", "999999999"], r"--size: expected a whole number"),
    "a summary beyond counting": (["summary", "resnet18", "--input", "3,9999999,9"], r"--input: expected channels"),
    "no name of a file": (["predict", "", "--weights", "w.npz"], r"IMAGE: expected a word"),
    "unknown device": ([*TINY, "--device", "gpu"], r"--device: expected a device like 'cpu'.*got 'gpu'"),
    "unknown data": ([*TINY, "--data", "digit"], r"'digit'.*did you mean 'digits'\?"),
    "data without folder": ([*TINY, "--data", "cifar10"], r"cifar10 needs a folder"),
    "missing folder": ([*TINY, "--data", "folder:nowhere"], r"nowhere"),
    "missing cifar": ([*TINY, "--data", "cifar10:nowhere"], r"nowhere"),
    "images beyond memory": ([*TINY, "--image-size", "1000000000"], r"--image-size\): .* needs at least .* GB"),
    "images too large": ([*TINY, "--image-size", "9"], r"tinynet does not fit images of 9x9 .*--image-size.*: "),
    "one class": ([*TINY, "--data", one_image_class], r"at least 2 classes, .*pictures.* 1"),
    "no such run": (["train", "--resume", "nowhere"], r"no run folder nowhere"),
    "no run in it": (["train", "--resume", no_run], r"empty holds no run"),
    "damaged checkpoint": (["train", "--resume", damaged_run], r"run/checkpoint.npz is damaged"),
    "foreign checkpoint": (
        ["train", "--resume", foreign_checkpoint],
        r"checkpoint.npz is damaged or not a run's: not a checkpoint.*start the run again",
    ),
    "other checkpoint": (["train", "--resume", other_networks_checkpoint], r"other settings than config.json"),
    "lost checkpoint": (["train", "--resume", lost_checkpoint], r"metrics but no checkpoint"),
    "damaged config": (["train", "--resume", damaged_config], r"config.json is damaged or not a run's"),
    "resume, other rate": (["train", "--resume", damaged_run, "--lr", "0.3"], r"--lr 0.3 contradicts .*0.1; leave it"),
    "resume, other model": (["train", "resnet20", "--resume", damaged_run], r"MODEL resnet20 contradicts.*tinynet"),
    "resume, other epochs": (["train", "--resume", damaged_run, "--epochs", "9"], r"--epochs 9 contradicts.* 2"),
    "resume elsewhere": (["train", "--resume", damaged_run, "--out", "there"], r"--out and --resume contradict"),
    "folder taken": ([*TINY, "--out", damaged_run], r"run exists already.*--resume"),
    "out is a file": ([*TINY, "--out", "run/file"], r"[Nn]ot"),
    "no such models": (["models", "transformer"], r"no model has 'transformer' in its name"),
}


@pytest.mark.parametrize(("arguments", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_one_clear_line(
    arguments: list[str | Callable[[Path], str]],
    message: str,
    minicnn_command: Command,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    if "run/file" in arguments:
        (tmp_path / "run").write_text("a file where a folder should be")
    prepared = [argument if isinstance(argument, str) else argument(tmp_path) for argument in arguments]
    capfd.readouterr()
    before = sorted(tmp_path.rglob("*"))
    status, out, error = minicnn_command(*prepared)
    assert status == 2
    assert out == ""
    assert re.fullmatch(r"minicnn: error: [^\n]+\n", error), error
    assert re.search(message, error), error
    assert sorted(tmp_path.rglob("*")) == before, "a command that was refused left something behind"


def test_debug_shows_the_traceback(minicnn_command: Command) -> None:
    assert "Traceback" in minicnn_command("train", "resnte20", "--debug")[2]
    assert "Traceback" not in minicnn_command("train", "resnte20")[2]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MemoryError("cannot allocate 9 TiB"), 1, "error: out of memory. cannot allocate 9 TiB"),
        (OSError(28, "No space left on device", "run/x"), 1, "error: No space left on device: run/x"),
        (KeyError("surprise"), 1, "error: KeyError: 'surprise' (--debug shows where)"),
        (minicnn.errors.ShapeError("first\nsecond\nthird"), 1, "error: first ... (2 more lines with --debug)"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_a_failure_is_one_line_too(
    error: BaseException, status: int, message: str, minicnn_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(cli.load_command("models"), "run", fail)
    assert minicnn_command("models") == (status, "", f"minicnn: {message}\n")
