"""Every model of the registry, compiled for training: what eager gives, over several steps."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.models import create_model, list_models
from minicnn.models.alexnet import AlexNet
from minicnn.models.vgg import VGG

from .steps import TOLERANCE, Twins, images

SIZES = {"alexnet": 67, "vgg": 32, "googlenet": 64, "resnet20": 16, "plain20": 16}


def small(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    for module in (AlexNet.__module__, VGG.__module__):
        monkeypatch.setattr(sys.modules[module], "HIDDEN", 16)  # not 100 million parameters
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 32)
    return create_model(name, num_classes=5), size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list_models())
def test_training_steps(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    minicnn.manual_seed(0)
    model, size = small(name, monkeypatch)
    twins = Twins(model.to(dtype=np.dtype(dtype)), TOLERANCE[dtype])
    for seed in range(3):
        twins.step(images((2, 3, size, size), dtype, seed))
    assert len(twins.compiled.plans) == 1
