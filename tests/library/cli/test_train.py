"""``minicnn train``: its run folder, its lines, its options, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.training import RunFolder, load_checkpoint

Command = Callable[..., tuple[int, str, str]]

TINY = ("train", "tinynet", "--epochs", "2", "--batch-size", "256")


def test_train_leaves_a_run_folder_and_plain_lines(minicnn_command: Command, tmp_path: Path) -> None:
    status, out, error = minicnn_command(*TINY)
    lines = out.replace("\n  ", " ").splitlines()
    assert (status, error) == (0, "")
    assert lines[0].startswith("tinynet on digits: 694 parameters; 1260 training, 179 validation, 358 test images")
    assert lines[1] == "run folder: runs/tinynet-digits-1"
    assert re.fullmatch(r"epoch 1/2  loss \d\.\d{4}  top-1 +[\d.]+%  val \d\.\d{4} +[\d.]+%  [\d,]+ im/s", lines[2])
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
