"""The text behind a module, and how files are named on a page that may be given away."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicnn import nn
from minicnn.explore.recording import record
from minicnn.explore.source import shown, source_of
from minicnn.models import create_model
from minicnn.tensors import Tensor

from .networks import PACKAGE, Twice


def test_the_text_of_a_forward_is_in_the_file_at_its_number() -> None:
    model = create_model("seresnet18", init=False)
    for module in model.modules():
        found = source_of(module, None)
        assert found is not None
        lines = (PACKAGE / found.file).read_text(encoding="utf-8").splitlines()
        text = found.text.splitlines()
        assert text[0].startswith("def forward(")
        assert [line.strip() for line in lines[found.first - 1 :][: len(text)]] == [line.strip() for line in text]
        assert lines[found.line - 1].strip().startswith(("class ", "@"))


def test_a_method_that_does_the_work_is_shown_in_place_of_forward() -> None:
    model = create_model("resnet18")
    recording = record(model, Tensor.wrap(Twice().conv.weight.detach().array.repeat(22, 2).repeat(22, 3)[:1]))
    found = source_of(model, recording.codes[""])
    assert found is not None and found.text.startswith("def _forward_impl(")
    assert source_of(model, None).text.startswith("def forward(")  # type: ignore[union-attr]
    inside = [step.line.number for step in recording.steps if step.module == "" and step.line is not None]
    assert all(found.first <= number < found.first + len(found.text.splitlines()) for number in inside)


def test_a_module_without_a_file() -> None:
    space: dict = {"nn": nn, "__name__": "typed"}
    exec("class Typed(nn.Module):\n    def forward(self, x):\n        return x.relu()\n", space)
    model = space["Typed"]()
    assert source_of(model, None) is None
    (step,) = record(model, Tensor([[[[1.0]]]])).steps
    assert step.kind == "ReLU" and step.line is not None and (step.line.number, step.line.text) == (3, "")


def test_files_below_the_package_and_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(str(PACKAGE / "models" / "vgg.py")) == "models/vgg.py"
    assert shown(str(tmp_path / "mine" / "net.py")) == "mine/net.py"
    assert shown("/home/somebody/net.py") == "net.py"
    assert shown("<stdin>") == "<stdin>"
