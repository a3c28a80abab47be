"""``minicnn.compile`` in evaluation: every family of models, and random graphs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import minicnn
from minicnn import models, nn
from minicnn.backend import cpu
from minicnn.data.transforms import ImageClassification
from minicnn.models import create_model, list_models, model_entry, prediction
from minicnn.models.alexnet import AlexNet
from minicnn.models.densenet import DenseNet
from minicnn.models.efficientnet import EfficientNet
from minicnn.models.googlenet import GoogLeNet
from minicnn.models.resnet import Bottleneck, ResNet
from minicnn.models.vgg import VGG
from tests.library.support.inference import (
    CHANNELS,
    TOLERANCE,
    Instruction,
    Program,
    assert_close,
    assert_same,
    calibrated,
    plainly,
    randomised,
    shown,
)
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import compiling, images

# ------------------------------------------------------------ every family of models


def small_vgg() -> nn.Module:
    return VGG(((8,), (8,), (16, 16), (16,), (16, 512)), batch_norm=True, num_classes=10)


FAMILIES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (lambda: AlexNet(10), 67),
    "alexnet of torchvision": (lambda: AlexNet(10, variant="torchvision"), 67),
    "vgg": (small_vgg, 32),
    "googlenet": (lambda: GoogLeNet(10, variant="paper"), 48),
    "googlenet of torchvision": (
        lambda: GoogLeNet(10, variant="torchvision", transform_input=True, aux_logits=False),
        33,
    ),
    "resnet18": (lambda: create_model("resnet18", 10), 33),
    "bottleneck resnet": (lambda: ResNet(Bottleneck, (1, 1, 1, 1), 10, variant="torchvision"), 32),
    "plain18": (lambda: create_model("plain18", 10), 32),
    "resnet20": (lambda: create_model("resnet20"), 32),
    "plain20": (lambda: create_model("plain20"), 16),
    "densenet": (lambda: DenseNet(8, (2, 3, 2, 2), 10), 33),
    "seresnet18": (lambda: create_model("seresnet18", 10), 32),
    "efficientnet": (lambda: EfficientNet(0.5, 0.6, num_classes=10), 48),
    "deformable resnet": (lambda: create_model("deformable_resnet18", 10), 32),
    "modulated deformable resnet": (lambda: create_model("deformable_resnet18", 10, modulated=True), 32),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_models_gives_the_same_logits(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (AlexNet.__module__, VGG.__module__):
        monkeypatch.setattr(sys.modules[module], "HIDDEN", 16)  # not 100 million parameters
    build, size = FAMILIES[name]
    model = calibrated(randomised(build()), images((4, 3, size, size), seed=1))
    compiled, x = minicnn.compile(model.to(dtype=np.dtype(dtype))), images((2, 3, size, size), dtype)
    with compiling():
        assert_same(compiled, x)
    logits = compiled(x).numpy()
    assert abs(logits[0] - logits[1]).max() > 1e-3 * abs(logits).max()
    alone = any(step.startswith("FixedNorm") for step in shown(compiled))
    assert alone == (name == "densenet" or "deformable" in name)


def test_all_models_on_the_list_are_of_these_families() -> None:
    families = {"alexnet", "cifar_resnet", "deformable", "densenet", "efficientnet", "googlenet", "resnet", "senet"}
    modules = {model_entry(name).builder.__module__ for name in list_models()}
    assert {name.removeprefix("minicnn.models.") for name in modules if "tests" not in name} == families | {"vgg"}


def test_predictions_are_compiled_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full batches, if there are several; the guesses are the same."""
    model = calibrated(randomised(create_model("resnet20")), images((8, 3, 32, 32)))
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(7)]
    transform = ImageClassification(32, 32, (0.5,) * 3, (0.25,) * 3)
    made: list[Any] = []
    monkeypatch.setattr(prediction, "compile", lambda model: made.append(minicnn.compile(model)) or made[-1])
    classifier = models.Classifier("resnet20", model, transform, tuple("abcdefghij"), 3)
    few = list(classifier.predict(pictures, batch_size=7))
    assert not made
    found = list(classifier.predict(pictures, batch_size=3))
    (compiled,) = made
    assert [key[0][0][0] for key in compiled.plans] == [(3, 3, 32, 32)]
    for guessed, expected in zip(found, few, strict=True):
        for guess, wanted in zip(guessed.guesses, expected.guesses, strict=True):
            assert (guess.index, guess.label) == (wanted.index, wanted.label)
            np.testing.assert_allclose(guess.probability, wanted.probability, rtol=1e-4)


# ------------------------------------------------------------ random graphs


def relu_(self: minicnn.Tensor) -> minicnn.Tensor:
    return self.clamp_(min=0)


OPERATIONS = ("conv", "norm", "relu", "add", "conv", "norm", "relu", "add", "silu", "cat", "pool", "view", "flip")


def programs(operations: tuple[str, ...]) -> st.SearchStrategy:
    recent = st.integers(0, 2).map(lambda back: -1 - back)  # mostly chains, as in networks, and any value now and then
    place = st.one_of(recent, recent, st.integers(0, 20))
    instruction = st.tuples(st.sampled_from(operations), place, place, st.integers(0, 15))
    return st.lists(instruction, min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instructions=programs(OPERATIONS), extra=st.integers(0, 30), seed=st.integers(0, 99), small=st.booleans())
def test_random_graphs(instructions: list[Instruction], extra: int, seed: int, small: bool) -> None:
    """Values used twice, or returned and used, residuals that come from anywhere, convolutions behind each other."""
    compiled = minicnn.compile(randomised(Program(instructions, extra), seed).double())
    with compiling(), cpu.small_work(1 << 14 if small else 0):
        assert_same(compiled, images((2, CHANNELS, 5, 5), "float64", seed))
        assert_same(compiled, images((2, CHANNELS, 5, 5), "float64", seed + 1))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    instructions=programs((*OPERATIONS, "add_", "relu_", "more", "add_")),
    extra=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_random_graphs_that_write_in_place(instructions: list[Instruction], extra: int, seed: int) -> None:
    """A write into memory that other values show is followed, or the model runs as it is."""
    compiled = minicnn.compile(randomised(Program(instructions, extra), seed).double())
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(minicnn.Tensor, "relu_", relu_, raising=False)
        for step in (0, 0, 1):
            x = images((2, CHANNELS, 5, 5), "float64", seed + step)
            expected = plainly(compiled.model, x)
            assert_close(compiled(minicnn.Tensor(x.numpy().copy())), expected, 1e-9)
