"""The figure ``backbones``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn.lecture.figures import backbones
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_backbones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backbones, "QUICK", backbones.Size(networks=("resnet18", "plain18"), side=128))
    data = run(backbones, tmp_path)
    assert data.networks.tolist() == ["resnet18", "plain18"]
    assert data.modules.tolist() == [["layer1", "layer2", "layer3", "layer4"]] * 2
    assert data.channels.tolist() == [[64, 128, 256, 512]] * 2
    assert data.strides.tolist() == [[4, 8, 16, 32]] * 2
    np.testing.assert_array_equal(data.sides * data.strides, 128)
    assert [getattr(data, f"c{level}").shape for level in (2, 3, 4, 5)] == [(2, side, side) for side in (32, 16, 8, 4)]
    assert data.picture.shape == (128, 128, 3)
    assert (data.agreement <= 1).all() and (data.agreement[:, 0] > 0.95).all()
    assert (data.agreement[:, :2] > data.unmoved[:, :2] + 0.1).all()  # C4 and C5 are all border here


@pytest.mark.parametrize("step", [0, 1, 3])
def test_agreement_finds_by_how_much_a_map_moved(step: int) -> None:
    whole = np.random.default_rng(0).standard_normal((2, 24, 24))
    still, moved = whole[:, :20, :20], whole[:, step : step + 20, step : step + 20]
    assert backbones.agreement(still, moved, step) == pytest.approx(1)
    assert backbones.agreement(still, 3 * moved + 5, step) == pytest.approx(1)  # a correlation
    assert abs(backbones.agreement(still, moved, step + 1)) < 0.2


def test_the_photograph_has_room_to_be_moved_and_is_a_photograph() -> None:
    picture = backbones.photograph(320)
    assert picture.shape == (352, 352, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1 and picture.std() > 0.1
