"""The figure ``paths``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.lecture.analyses import blocks
from minicnn.lecture.figures import paths
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = paths.Lesions(images=24, depths=(14,), samples=2, batch=2, draws=2, removed=(0, 2, 6), swaps=(0, 1))
    monkeypatch.setattr(paths, "QUICK", size)
    data = run(paths, tmp_path)
    assert data.magnitudes.shape == (7, 2) and data.shares.sum() == pytest.approx(1)
    assert data.strided.tolist() == [False, False, True, False, True, False]
    assert (data.without_several[0] == data.resnet_error).all()  # the lesion of zero blocks is the original
    assert (data.shuffled[0] == data.resnet_error).all() and (data.tau[0] == 1).all()
    assert np.ptp(data.without_several[2]) == 0  # all six blocks are the same ones in each draw
    assert (data.tau[1] < 1).all()
    for errors in (data.without_block, data.without_layer, data.without_several, data.shuffled):
        assert ((errors >= 0) & (errors <= 100)).all()
    assert len(data.without_layer) == 9


def test_the_layers_of_the_vgg_that_can_be_removed_keep_the_shape() -> None:
    minicnn.manual_seed(0)
    model = paths.SmallVGG().eval()
    x = minicnn.randn(2, 1, 8, 8)
    assert model(x).shape == (2, 10)
    for name in model.removable:
        with blocks.replaced({model.get_submodule(name): lambda x: x}):
            assert model(x).shape == (2, 10)
    assert len(model.layers) == 12 and model.removable == [f"layers.{i}" for i in (1, 2, 3, 5, 6, 7, 9, 10, 11)]
