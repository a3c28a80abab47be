"""The figure ``scaling``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.lecture.figures import scaling
from minicnn.models.efficientnet import SCALING
from minicnn.nn.summary import multiply_adds
from minicnn.tensors import Tensor
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_scaling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scaling, "QUICK", scaling.Steps(images=16, networks=("efficientnet_b0",), phis=(1,)))
    data = run(scaling, tmp_path)
    assert data.way.tolist() == ["base", *scaling.WAYS] and data.phi.tolist() == [0, 1, 1, 1, 1]
    assert data.sizes.tolist() == [[8, 2, 4], [11, 2, 4], [8, 4, 4], [8, 2, 6], [9, 2, 5]]
    assert (data.losses > 0).all() and ((data.errors >= 0) & (data.errors <= 100)).all()
    assert data.efficientnets.tolist() == ["efficientnet_b0"]
    assert (data.parameters[0], round(data.efficientnet_macs[0] / 1e9, 2)) == (5_288_548, 0.39)


def test_multiply_adds_of_the_base_are_those_counted_by_hand() -> None:
    stem, stage1 = 16 * 9 * 1 * 8, 4 * (16 * 9 * 8 * 8)
    stage2 = 4 * 9 * 8 * 16 + 3 * (4 * 9 * 16 * 16) + 4 * 8 * 16  # and the 1x1 convolution of the shortcut
    assert multiply_adds(scaling.SmallNet(), (1, 4, 4)) == stem + stage1 + stage2 + 16 * 10


@pytest.mark.parametrize("way", scaling.WAYS)
def test_each_way_spends_about_what_it_may(way: str) -> None:
    base = multiply_adds(scaling.SmallNet(), (1, scaling.SIDE, scaling.SIDE))
    changed = set()
    for phi in scaling.FULL.phis:
        channels, blocks, side = scaling.scaled(way, phi)
        spent = multiply_adds(scaling.SmallNet(channels, blocks), (1, side, side)) / base
        assert 0.8 < spent / 2**phi < 1.2  # sizes are whole numbers
        now = {
            "width": channels > scaling.CHANNELS,
            "depth": blocks > scaling.BLOCKS,
            "resolution": side > scaling.SIDE,
        }
        changed |= {name for name, grew in now.items() if grew}
    assert changed == ({"width", "depth", "resolution"} if way == "compound" else {way})


def test_resized_pixels_are_means_of_what_lies_under_them() -> None:
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)
    labels = np.arange(2)

    def at(side: int) -> np.ndarray:
        return scaling.resized((images, labels), side)[0]

    np.testing.assert_allclose(at(8), images, rtol=1e-6)
    np.testing.assert_allclose(at(4), images.reshape(2, 1, 4, 2, 4, 2).mean(axis=(3, 5)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(at(16), images.repeat(2, axis=2).repeat(2, axis=3), rtol=1e-5)
    for side in (5, 6, 11):
        assert at(side).shape == (2, 1, side, side)
        np.testing.assert_allclose(at(side).mean(axis=(2, 3)), images.mean(axis=(2, 3)), atol=1e-6)


def test_loss_and_error_of_a_network_that_always_says_the_same() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(minicnn.tensor(np.log([0.5, 0.25, 0.25]).astype(np.float32)))

        def forward(self, x: Tensor) -> Tensor:
            return self.logits.unsqueeze(0) + minicnn.zeros(len(x), 1)

    loss, error = scaling.loss_and_error(Stubborn(), (np.zeros((4, 1, 1, 1), np.float32), np.array([0, 0, 1, 0])))
    assert loss == pytest.approx((3 * np.log(2) + np.log(4)) / 4) and error == 25


def test_losses_are_compared_at_equal_multiply_adds() -> None:
    way = np.array(["base", *(name for name in scaling.WAYS for _ in range(2))])
    macs = np.array([100, *[200, 400] * 3, 200, 300])
    losses = np.array([1.0, 0.8, 0.6, 0.7, 0.7, 0.9, 0.3, 0.5, 0.4])
    table_rows = np.zeros((9, 3), int)
    data = scaling.Scaling(way, np.array([0, *[1, 2] * 4]), table_rows, macs, np.stack([losses - 0.1, losses + 0.1], 1),
                           np.zeros((9, 2)), np.array([]), np.zeros((0, 3)), np.zeros(0), np.zeros(0))  # fmt: skip
    assert scaling.loss_at(data, "width", 100) == pytest.approx(1)
    assert scaling.loss_at(data, "width", 400) == pytest.approx(0.6)
    assert scaling.loss_at(data, "width", 200 * np.sqrt(2)) == pytest.approx(0.7)  # half way by logarithms
    assert scaling.verdict(data) == (  # resolution's 0.3 is beyond what the compound networks may spend
        "test loss 1.000 at the start, and with 3.0 times the multiply-adds width 0.683, depth 0.700, "
        "resolution 0.549, compound 0.400: compound did best here"
    )


def test_the_full_figure_counts_every_efficientnet() -> None:
    assert scaling.FULL.networks == tuple(SCALING) and len(SCALING) == 8
