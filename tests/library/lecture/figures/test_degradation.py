"""The figure ``degradation``: a small run, and what holds in any run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import lecture
from minicnn.data import digits, open_data
from minicnn.lecture import Settings
from minicnn.lecture.analyses.lesion import error_rate
from minicnn.lecture.figures import degradation
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.resnet import BasicBlock, PlainBlock
from minicnn.models.senet import SEBasicBlock
from minicnn.tensors import Tensor
from tests.library.support.figure_checks import run


def shallow_model(name: str, num_classes: int, in_channels: int) -> CifarResNet:
    """A network of the kind of ``name``, with 8 layers for 20 and 14 for 56."""
    block = PlainBlock if name.startswith("plain") else BasicBlock
    return CifarResNet(block, 8 if name.endswith("20") else 14, num_classes, in_channels)


@pytest.mark.slow
def test_degradation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(degradation, "create_model", shallow_model)
    monkeypatch.setattr(degradation, "QUICK", degradation.Size(seeds=2, epochs=1, images=10))
    data = run(degradation, tmp_path, other_seed=False)
    assert data.train_loss.shape == data.train_error.shape == data.test_error.shape == (4, 2, 1)
    for errors in (data.train_error, data.test_error):
        np.testing.assert_allclose(errors / 10, np.round(errors / 10))  # of ten images
    assert data.data == "digits" and (data.train_loss > 0).all()
    monkeypatch.setattr(degradation, "QUICK", degradation.Size(seeds=1, epochs=1, images=10))
    other, cached, _ = lecture.run(replace(degradation.FIGURE, name="other"), tmp_path, Settings(quick=True, seed=1))
    assert not cached and not np.array_equal(other.train_loss[:, 0], data.train_loss[:, 0])
    np.testing.assert_array_equal(other.train_loss[:, 0], data.train_loss[:, 1])  # the second seed of 0 is 1


def test_the_images_of_degradation_are_the_first_ones_of_their_split() -> None:
    images, labels = degradation.load(open_data("digits", augment=False), "test", 5)
    expected = digits("test")
    np.testing.assert_array_equal(images, [expected[i][0] for i in range(5)])
    np.testing.assert_array_equal(labels, expected.labels[:5])
    assert len(degradation.load(open_data("digits", augment=False), "test", None)[0]) == len(expected)


def test_curves_end_with_the_errors_of_the_trained_network() -> None:
    minicnn.manual_seed(0)
    train, test = (degradation.load(open_data("digits", augment=False), split, 64) for split in ("train", "test"))
    model = CifarResNet(SEBasicBlock, 8, in_channels=1)
    size = degradation.Size(seeds=1, epochs=3, images=64)
    loss, train_error, test_error = degradation.curves(model, train, test, size, seed=0, tell=lambda line: None)
    assert loss.shape == (3,) and loss[2] < loss[0] and train_error[2] < train_error[0]
    assert test_error[2] == error_rate(model, *map(Tensor, test))


def degraded(*training: tuple[float, ...]) -> degradation.Degradation:
    """Curves of one epoch with these training errors, a tuple of seeds for each network."""
    errors = np.array(training, float)[:, :, None]
    return degradation.Degradation(errors / 100, errors, errors + 1, "digits")


def test_degradation_says_with_how_many_seeds_the_deeper_trained_worse() -> None:
    data = degraded((1, 2, 3), (2, 1, 4), (5, 5, 5), (5, 4, 3))
    assert degradation.verdict(data) == (
        "of the plain networks the deeper ended with 2.3 % training error, the other with 2.0 %: "
        "the deeper trained worse with 2 of 3 seeds; "
        "of the residual networks the deeper ended with 4.0 % training error, the other with 5.0 %: "
        "the deeper trained worse with 0 of 3 seeds"
    )
    header, rows = degradation.table(data)
    assert dict(zip(header, rows[0], strict=False)) | {"spread": None} == {
        "network": "plain20", "training error %": 2.0, "training loss": 0.02, "test error %": 3.0, "spread": None
    }  # fmt: skip
    assert rows[0][2] == rows[0][6] == pytest.approx(np.sqrt(2 / 3), abs=1e-3)
