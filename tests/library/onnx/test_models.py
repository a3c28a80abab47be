"""Every model of the registry: what onnxruntime computes from its file is what minicnn computes, to rounding."""

from __future__ import annotations

import sys

import pytest

from minicnn.models import list_models, model_entry
from minicnn.models.alexnet import AlexNet
from minicnn.models.vgg import VGG
from tests.library.support.onnx_runs import disagreement

QUICK = ("resnet20", "deformable_resnet18")
TOLERANCE = 5e-5  # 6e-6 was the largest

CASES = [
    pytest.param(name, variant, marks=[] if name in QUICK and variant == "paper" else pytest.mark.slow(seconds=3))
    for name in list_models()
    if model_entry(name).builder.__module__.startswith("minicnn.models.")  # not those that other tests register
    for variant in model_entry(name).variants
]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_the_runtime_computes_what_we_compute(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For batches of one, two and five images."""
    for module in (AlexNet.__module__, VGG.__module__):
        monkeypatch.setattr(sys.modules[module], "HIDDEN", 64)  # not 100 million parameters
    assert disagreement(name, variant) <= TOLERANCE
