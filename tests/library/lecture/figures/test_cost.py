"""The figure ``cost``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn.lecture.figures import cost
from minicnn.models import create_model
from minicnn.models.googlenet import PARAMETERS
from minicnn.models.registry import model_entry
from minicnn.nn.summary import summary
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    families = {"GoogLeNet": ("googlenet",), "ResNet": ("resnet18", "resnet34"), "EfficientNet": ("efficientnet_b0",)}
    monkeypatch.setattr(cost, "FAMILIES", families)
    monkeypatch.setattr(cost, "QUICK_MEASURED", ("googlenet", "resnet18"))
    data = run(cost, tmp_path, other_seed=False)  # the time, which is measured, is new in any run
    assert data.names.tolist() == ["googlenet", "resnet18", "resnet34", "efficientnet_b0"]
    assert data.accuracy.tolist() == pytest.approx([68.7, 72.12, 75.48, 77.1])
    assert np.isfinite(data.seconds).tolist() == np.isfinite(data.peak_bytes).tolist() == [True, True, False, False]
    own = summary(create_model("resnet34", init=False))
    assert data.multiply_adds[2] == own.multiply_adds and data.parameters[2] == own.parameters
    assert data.activation_bytes[2] == own.activation_bytes
    assert data.parameters[0] == PARAMETERS["paper"][0]  # without what only trains
    assert data.front(("GoogLeNet", "ResNet")) == [0, 1, 2] and data.front(tuple(families)) == [3]
    # Two maps of 64 channels and 112 x 112 pixels are there at once at least: a convolution's output and its norm's.
    assert data.peak_bytes[1] >= 2 * 4 * 64 * 112**2
    assert data.density[3] == pytest.approx(77.1 / 5.288548)


def test_every_network_has_an_accuracy_and_a_source() -> None:
    names = [name for family in cost.FAMILIES.values() for name in family]
    scores = [cost.REPRODUCED.get(name, model_entry(name).score) for name in names]
    assert all(score[0] is not None and score[2] for score in scores)
    assert set(cost.MEASURED) | set(cost.QUICK_MEASURED) <= set(names) and set(cost.COMPARED) <= set(cost.FAMILIES)
