"""Every model of the registry, compiled for training: what eager gives, over several steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.backend import cpu
from minicnn.models import create_model, list_models, model_entry
from minicnn.models.alexnet import AlexNet
from minicnn.models.densenet import DenseNet
from minicnn.models.vgg import VGG
from tests.library.support.steps import TOLERANCE, Twins, images

SIZES = {"alexnet": 67, "vgg": 32, "googlenet": 64}


def small(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    for module in (AlexNet.__module__, VGG.__module__):
        monkeypatch.setattr(sys.modules[module], "HIDDEN", 16)  # not 100 million parameters
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    size = 16 if model_entry(name).input_size == 32 else size
    if name == "densenet121":
        return DenseNet(32, (3, 4, 3, 2), num_classes=5), size  # not 58 layers
    return create_model(name, num_classes=5), size


FAMILIES = ("alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet20", "densenet121", "seresnet18", "efficientnet_b0",
            "deformable_resnet18")  # fmt: skip
# Some further kinds of block. ``MINICNN_EVERY_MODEL=1 pytest -m slow`` takes them all, and a quarter of an hour.
RELATIVES = ("vgg16", "resnet50", "plain18", "resnet56", "seresnet50", "densenet169")
EVERY = set(list_models()) if os.environ.get("MINICNN_EVERY_MODEL") else set(RELATIVES)
FURTHER = [name for name in list_models() if name in EVERY - set(FAMILIES)]


def slow_but(first: str, names: Iterable[str]) -> list[Any]:
    return [name if name == first else pytest.param(name, marks=pytest.mark.slow(seconds=5)) for name in names]


@pytest.mark.parametrize("name", slow_but("resnet20", [*FAMILIES, *FURTHER]))
def test_training_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, with the kernels for everything."""
    minicnn.manual_seed(0)
    model, size = small(name, monkeypatch)
    exploding = 10 if name == "plain110" else 1  # its gradients are millions
    twins = Twins(model.to(dtype=np.dtype("float64")), exploding * TOLERANCE["float64"])
    for seed in range(2 if name in FAMILIES else 1):
        twins.step(images((4, 3, size, size), "float64", seed))
    assert len(twins.compiled.plans) == 1


@pytest.mark.parametrize("name", slow_but("efficientnet_b0", FAMILIES))
def test_training_steps_in_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels only where they pay."""
    minicnn.manual_seed(0)
    model, size = small(name, monkeypatch)
    twins = Twins(model, TOLERANCE["float32"], cpu.SMALL)
    for seed in range(2):
        twins.step(images((4, 3, size, size), "float32", seed), lr=1e-4, input_grad=seed == 1)
    assert len(twins.compiled.plans) == 2
