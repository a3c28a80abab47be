"""``minicnn export``: the file, what it says of itself, and one clear line for all that can be asked wrongly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.models import create_model, load_classifier
from tests.library.support.blots import picture, save_tinynet
from tests.library.support.onnx_runs import Runtime, error, ours
from tests.library.support.tiny_training import register_tinynet

onnx = pytest.importorskip("onnx", reason="writes ONNX")
register_tinynet()
Command = Callable[..., tuple[int, str, str]]


def properties(path: Path) -> dict[str, Any]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_a_run_becomes_a_file(minicnn_command: Command, tmp_path: Path) -> None:
    minicnn_command("train", "tinynet", "--epochs", "1", "--batch-size", "256", "--out", "run", "--quiet")
    status, out, err = minicnn_command("export", "run", "--onnx", "m.onnx")
    assert (status, err) == (0, "")
    assert " ".join(out.split()) == (
        "m.onnx: tinynet, 694 parameters, 5 nodes of opset 19, 0.0 MB; any number of images of 1x8x8; checked"
    )
    assert minicnn_command("export", "tinynet", "--weights", "run", "--onnx", "again.onnx", "--quiet") == (0, "", "")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()
    found = properties(tmp_path / "m.onnx")
    assert found["model"] == "tinynet" and json.loads(found["classes"]) == [str(n) for n in range(10)]
    assert json.loads(found["input_shape"]) == [1, 8, 8] and len(json.loads(found["mean"])) == 1
    images = np.random.default_rng(0).random((3, 1, 8, 8)).astype("f")
    model = load_classifier(tmp_path / "run" / "model.safetensors").model
    exported = onnx.load(tmp_path / "m.onnx")
    assert error(Runtime(exported)(images)[0], ours(model, images)[0]) < 1e-5
    assert [value.name for value in exported.graph.output] == ["logits"]


def test_the_metadata_make_the_network_usable_alone(minicnn_command: Command, tmp_path: Path) -> None:
    """A picture, prepared by what the file says, gets the logits that minicnn's own prediction has."""
    save_tinynet(tmp_path / "w.npz")
    assert minicnn_command("export", "tinynet", "--weights", "w.npz", "--onnx", "m.onnx", "--quiet") == (0, "", "")
    found = properties(tmp_path / "m.onnx")
    from minicnn.data.transforms import ImageClassification

    shape, resize, mean, std = (json.loads(found[key]) for key in ("input_shape", "resize", "mean", "std"))
    transform = ImageClassification(shape[1:], tuple(resize), mean, std)
    logits = Runtime(onnx.load(tmp_path / "m.onnx"))(np.asarray(transform(picture()))[None])[0][0]
    shares = np.exp(logits) / np.exp(logits).sum()
    (prediction,) = load_classifier(tmp_path / "w.npz").predict([picture()], 1)
    assert prediction.guesses[0].label == json.loads(found["classes"])[int(logits.argmax())]
    assert prediction.guesses[0].probability == pytest.approx(shares.max(), abs=1e-6)


def test_random_weights_are_said_to_be_random(minicnn_command: Command, tmp_path: Path) -> None:
    status, _, err = minicnn_command("export", "resnet20", "--onnx", "m.onnx", "--classes", "7", "--size", "16")
    assert status == 0 and err == "minicnn: warning: resnet20 has random weights: --weights names trained ones\n"
    (x,), (y,) = onnx.load(tmp_path / "m.onnx").graph.input, onnx.load(tmp_path / "m.onnx").graph.output
    assert [dim.dim_value for dim in x.type.tensor_type.shape.dim] == [0, 3, 16, 16]
    assert y.type.tensor_type.shape.dim[1].dim_value == 7


def test_a_folder_that_is_called_like_a_model_is_not_in_the_way(minicnn_command: Command, tmp_path: Path) -> None:
    (tmp_path / "tinynet").mkdir()
    assert minicnn_command("export", "tinynet", "--onnx", "m.onnx", "--size", "8", "--quiet")[0] == 0
    save_tinynet(tmp_path / "w.npz")
    assert minicnn_command("export", "tinynet", "--weights", "w.npz", "--onnx", "m.onnx", "--quiet") == (0, "", "")


@pytest.mark.slow(3)
def test_the_variant_is_that_of_the_weights(minicnn_command: Command, tmp_path: Path) -> None:
    model = create_model("googlenet", 2, "torchvision")
    minicnn.save(model.state_dict(), tmp_path / "w.safetensors")
    options = ("--weights", "w.safetensors", "--classes", "2", "--size", "32", "--onnx", "m.onnx", "--quiet")
    assert minicnn_command("export", "googlenet", *options)[0] == 0
    found = properties(tmp_path / "m.onnx")
    assert found["variant"] == "torchvision" and "classes" in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet21", "--onnx", "m.onnx"], "no model is called 'resnet21'; did you mean 'resnet20'?"),
        (["resnet20"], "the following arguments are required: --onnx"),
        (["resnet20", "--onnx", "nowhere/m.onnx"], "No such file or directory: nowhere/m.onnx"),
        (["resnet20", "--onnx", "."], "--onnx . is a folder: name the file in it"),
        (["resnet20", "--onnx", "m.onnx", "--weights", "w.npz"], "No such file or directory: w.npz"),
        (["resnet20", "--onnx", "m.onnx", "--opset", "3"], "opset_version (=3) must be from 18 to"),
        (["resnet20", "--onnx", "m.onnx", "--variant", "x"], "resnet20 has no variant 'x'"),
        (["googlenet", "--onnx", "m.onnx", "--size", "8"], "googlenet does not fit images of 3x8x8 (see --size)"),
        (["deformable_resnet18", "--onnx", "m.onnx", "--opset", "18"], "needs opset_version 19 or later, got 18"),
        (["empty", "--onnx", "m.onnx"], "the folder empty holds no model.safetensors"),
        (["empty", "--onnx", "m.onnx", "--weights", "w.npz"], "--weights and a run folder contradict each other"),
    ],
)  # fmt: skip
def test_misuse_is_one_line(minicnn_command: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = minicnn_command("export", *arguments)
    lines = [line for line in err.splitlines() if "warning" not in line]
    assert (status, out, len(lines)) == (2, "", 1) and message in lines[0]
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]


def test_without_the_library_the_extra_is_named(minicnn_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, out, err = minicnn_command("export", "resnet20", "--onnx", "m.onnx")
    assert (status, out) == (2, "") and 'pip install "minicnn-lecture[onnx]"' in err and err.count("\n") == 1
