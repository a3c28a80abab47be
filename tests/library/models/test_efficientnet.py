"""EfficientNet beside its paper: Table 1, the scaling rule, stochastic depth, and the same numbers as torchvision's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import models, nn, summary
from minicnn.models.efficientnet import (
    SCALING,
    TABLE_1,
    EfficientNet,
    MBConv,
    compound_scaling,
    scale_blocks,
    scale_channels,
)
from tests.library.support import peers
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    calibrated,
    evaluation_error,
    from_pth,
    losses_on_digits,
    same_weights,
    training_errors,
    without_gradient,
)

# Published with torchvision's weights: the side of the image, and G multiply-adds.
MULTIPLY_ADDS = {
    "efficientnet_b0": (224, 0.386), "efficientnet_b1": (240, 0.687), "efficientnet_b2": (288, 1.088),
    "efficientnet_b3": (300, 1.827), "efficientnet_b4": (380, 4.394), "efficientnet_b5": (456, 10.266),
    "efficientnet_b6": (528, 19.068), "efficientnet_b7": (600, 37.746),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALING)
def test_parameters_and_multiply_adds(name: str) -> None:
    side, published = MULTIPLY_ADDS[name]
    table = summary(models.create_model(name, init=False), (3, side, side))
    assert table.parameters == SCALING[name][4]
    assert round(table.multiply_adds / 1e9, 3) == published


def test_table_1() -> None:
    """B0's stages: channels, blocks, sizes; 0.39e9 multiply-adds (L2.3.3)."""
    model = models.create_model("efficientnet_b0", init=False)
    table = summary(model)
    for i, (expansion, kernel, stride, channels, blocks, side) in enumerate(TABLE_1, 1):
        assert table.within(f"features.{i}")[-1].output_shape == (1, channels, side, side)
        assert len(model.features[i]) == blocks
        depthwise = model.features[i][0].block[0 if expansion == 1 else 1][0]
        assert (depthwise.kernel_size, depthwise.stride) == ((kernel, kernel), (stride, stride))
        assert depthwise.groups == depthwise.in_channels
    assert round(table.multiply_adds / 1e9, 2) == 0.39


def test_each_step_of_phi_doubles_the_cost() -> None:
    depth, width, resolution = compound_scaling(1)
    assert depth * width**2 * resolution**2 == pytest.approx(2, abs=0.1)
    assert compound_scaling(0) == (1, 1, 1)


def test_published_factors_follow_the_rule() -> None:
    """B1 is phi = 1/2 and B2 to B7 are phi = 1 to 6: depth within 8 %, width within 14 %, resolution within 18 %."""
    for name, phi in zip(list(SCALING)[1:], (0.5, 1, 2, 3, 4, 5, 6), strict=True):
        width, depth, side, _, _ = SCALING[name]
        rule_depth, rule_width, rule_resolution = compound_scaling(phi)
        assert depth == pytest.approx(rule_depth, rel=0.08)
        assert width == pytest.approx(rule_width, rel=0.14)
        assert side / 224 == pytest.approx(rule_resolution, rel=0.18)


@given(st.integers(1, 2000), st.floats(0.5, 3))
def test_channels_are_multiples_of_8_that_lose_at_most_a_tenth(channels: int, width: float) -> None:
    scaled = scale_channels(channels, width)
    assert scaled % 8 == 0 and scaled >= 0.9 * channels * width
    assert scaled <= max(8, channels * width + 8)


def test_blocks_round_up() -> None:
    assert [scale_blocks(n, 1.1) for n in (1, 2, 3, 4)] == [2, 3, 4, 5]


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b2", "efficientnet_b5"])
def test_logits_equal_torchvisions(name: str, tmp_path: Path) -> None:
    peer = getattr(peers.torchvision().models, name)(num_classes=10)
    peer = calibrated(peer, (16, 3, 64, 48), last_norm="block.3.1")  # enough pixels for statistics of the 2x2 maps
    model = from_pth(name, peer, tmp_path / "peer.pth", num_classes=10)
    assert evaluation_error(model, peer, (2, 3, 48, 40)) <= LOGITS_FLOAT32


@pytest.mark.parametrize("name", SCALING)
def test_keys_and_shapes_equal_torchvisions(name: str) -> None:
    torch = peers.torch()
    with torch.device("meta"):
        peer = getattr(peers.torchvision().models, name)()
    model = models.create_model(name, variant="torchvision", init=False)
    expected = [(key, tuple(value.shape)) for key, value in peer.state_dict().items()]
    assert [(key, value.shape) for key, value in model.state_dict().items()] == expected
    theirs = [(m.eps, m.momentum) for m in peer.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == theirs
    drops = [m.p for m in peer.modules() if type(m).__name__ == "StochasticDepth"]
    assert [m.drop_probability for m in model.modules() if isinstance(m, MBConv)] == pytest.approx(drops)


def test_gradients_equal_torchvisions() -> None:
    """With the randomness (dropout, stochastic depth) switched off on both sides."""
    torchvision = peers.torchvision()
    peer = torchvision.models.efficientnet_b0(num_classes=10, dropout=0.0, stochastic_depth_prob=0.0)
    peer = calibrated(peer, (3, 3, 48, 40))
    model = EfficientNet(dropout=0.0, stochastic_depth_prob=0.0, num_classes=10, variant="torchvision")
    errors = training_errors(same_weights(model, peer), peer, (3, 3, 48, 40))
    assert max(errors.values()) <= GRADIENTS_FLOAT64, max(errors, key=errors.get)


def test_stochastic_depth_keeps_the_expectation_and_drops_whole_images() -> None:
    minicnn.manual_seed(0)
    x = minicnn.ones(4000, 2, 3, 3)
    y = minicnn.stochastic_depth(x, 0.25).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert (y == y[:, :1, :1, :1]).all() and abs(y.mean() - 1) < 0.03
    assert minicnn.stochastic_depth(x, 0.25, training=False) is x
    once = minicnn.stochastic_depth(x, 0.5, "batch").numpy()
    assert len(np.unique(once)) == 1
    with pytest.raises(ValueError, match="'row' or 'batch'"):
        minicnn.stochastic_depth(x, 0.5, "column")


def test_a_dropped_block_is_the_identity() -> None:
    block = MBConv(8, 8, 3, 1, 6, 1.0, nn.BatchNorm2d)
    x = minicnn.randn(2, 8, 5, 5)
    np.testing.assert_array_equal(block(x).detach().numpy(), x.numpy())
    assert not (block.eval()(x) == x).all()


def test_it_learns_digits_and_every_parameter_takes_part() -> None:
    minicnn.manual_seed(0)
    model = EfficientNet(0.25, 0.5, 0.0, 10, in_channels=1, stochastic_depth_prob=0.0)
    assert without_gradient(model, (8, 1, 32, 32)) == []
    losses = losses_on_digits(model, enlarged=4, batch=32)
    assert losses[-1] < 0.8 * losses[0]
