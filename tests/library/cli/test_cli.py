"""The ``minicnn`` command: what it prints, its exit status, and one clear line for all that can be asked wrongly."""

from __future__ import annotations

import json
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
from minicnn.training import RunFolder, load_checkpoint
from tests.library.support.tiny_training import register_tinynet

ROOT = Path(minicnn.__file__).parents[1]
register_tinynet()


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which ``minicnn`` is this package's command."""
    line = f'minicnn() {{ "{sys.executable}" -m minicnn "$@"; }}; {command}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # most shells do not have it, and without it pipes fail later
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def minicnn_command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process and an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(arguments)
        out, error = capfd.readouterr()
        return status, out, error

    return run


Command = Callable[..., tuple[int, str, str]]
TINY = ("train", "tinynet", "--epochs", "2", "--batch-size", "256")


# --- what works -----------------------------------------------------------------------------------------------


def test_train_leaves_a_run_folder_and_plain_lines(minicnn_command: Command, tmp_path: Path) -> None:
    status, out, error = minicnn_command(*TINY)
    lines = out.splitlines()
    assert (status, error) == (0, "")
    assert lines[0].startswith("tinynet on digits: 694 parameters; 1260 training, 179 validation, 358 test images")
    assert lines[1] == "run folder: runs/tinynet-digits-1"
    assert re.fullmatch(
        r"epoch 1/2  train loss \d\.\d{4}  top-1 .*%  validation loss .* top-1 .*%  [\d,]+ images/s", lines[2]
    )
    assert re.match(r"test accuracy \d+\.\d\d % \(top-5 .*\) after 2 epochs in \d+ s: runs/tinynet-digits-1", lines[4])
    assert len(lines) == 5
    assert "\r" not in out

    folder = RunFolder(tmp_path / "runs/tinynet-digits-1")
    files = [
        ".lock",
        "checkpoint.npz",
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "model.safetensors",
        "result.json",
    ]
    assert sorted(file.name for file in folder.path.iterdir()) == files
    metrics = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [line["epoch"] for line in metrics] == [1, 2]
    assert {"train_loss", "train_top1", "train_top5", "validation_loss", "validation_top1", "lr"} <= metrics[0].keys()
    result = json.loads(folder.result.read_text())
    assert lines[4].startswith(f"test accuracy {100 * result['test_top1']:.2f} %")

    weights, state = minicnn.load(folder.weights), load_checkpoint(folder.checkpoint)
    assert weights.keys() == state["model"].keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(value.numpy(), state["model"][key].numpy(), err_msg=key)
    model = minicnn.models.create_model("tinynet", in_channels=1)
    model.load_state_dict(weights)
    test = minicnn.data.digits("test")
    images, targets = test.batch(np.arange(len(test)), np.random.default_rng(0))
    answers = model.eval()(images).detach().numpy().argmax(axis=1)
    assert np.mean(answers == targets.numpy()) == pytest.approx(result["test_top1"])


def test_the_weights_say_what_is_needed_to_use_them(minicnn_command: Command, tmp_path: Path) -> None:
    minicnn_command(*TINY, "--quiet", "--out", "run")
    card = json.loads(minicnn.serialization.load_metadata(tmp_path / "run/model.safetensors")["minicnn"])
    data = minicnn.data.open_data("digits")
    assert card["model"] == "tinynet"
    assert tuple(card["classes"]) == data.classes
    assert tuple(card["input_shape"]) == (1, 8, 8)
    assert (tuple(card["mean"]), tuple(card["std"])) == (data.mean, data.std)


def test_quiet_prints_only_the_result(minicnn_command: Command) -> None:
    status, out, error = minicnn_command(*TINY, "--quiet", "--out", "here")
    assert (status, error) == (0, "")
    assert re.fullmatch(r"test accuracy .*: here\n", out)


def test_the_same_seed_gives_the_same_run_and_another_one_another(minicnn_command: Command, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert minicnn_command(*TINY, "--quiet", "--seed", seed, "--out", name)[0] == 0
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_options_reach_the_run(minicnn_command: Command, tmp_path: Path) -> None:
    options = {"lr": 0.03, "weight_decay": 0.001, "optimizer": "adam", "batch_size": 512, "seed": 5, "image_size": 7}
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert minicnn_command("train", "tinynet", "--epochs", "1", "--out", "run", *arguments)[0] == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config == {**config, **options, "epochs": 1}
    group = load_checkpoint(tmp_path / "run/checkpoint.npz")["optimizer"]["param_groups"][0]
    assert (group["initial_lr"], group["weight_decay"]) == (0.03, 0.001)


def test_the_interrupted_run_says_how_to_go_on(
    minicnn_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = RunFolder.append_metrics

    def interrupt(folder: RunFolder, line: dict[str, float]) -> None:
        append(folder, line)
        if line["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append_metrics", interrupt)
        status, out, error = minicnn_command(*TINY, "--epochs", "4", "--out", "run")
    assert status == 130
    assert error == "minicnn: stopped; go on with: minicnn train --resume run\n"
    status, out, _ = minicnn_command("train", "--resume", "run")
    assert status == 0
    assert "run folder: run, after epoch 2" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["3/4", "4/4"]
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 4


def test_a_diverging_run_fails_with_advice_and_names_the_operation_when_asked(minicnn_command: Command) -> None:
    wild = (*TINY, "--lr", "1e30", "--out")
    with np.errstate(all="ignore"):
        status, out, error = minicnn_command(*wild, "run")
        assert status == 1
        assert len(error.splitlines()) == 1
        assert "--detect-anomaly" in error
        assert "lower the learning rate" in error
        status, out, error = minicnn_command("train", "--resume", "run", "--detect-anomaly")
    assert status == 1
    assert "Sequential" in error  # the path of the module


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
        assert cli.load_command(name).HELP in out
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
    assert loaded & {"sklearn", "matplotlib", "tqdm", "PIL", "numba", "safetensors", "minicnn.training"} == set()


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
        r"checkpoint.npz is damaged or no run's: not a checkpoint.*start the run again",
    ),
    "other checkpoint": (["train", "--resume", other_networks_checkpoint], r"other settings than config.json"),
    "lost checkpoint": (["train", "--resume", lost_checkpoint], r"metrics but no checkpoint"),
    "damaged config": (["train", "--resume", damaged_config], r"config.json is damaged or no run's"),
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
