"""DenseNet beside its paper: Table 1, the growth of channels, and the same numbers as torchvision's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import models, nn, summary
from minicnn.models.densenet import CONFIGS, TABLE_1, DenseBlock, DenseNet
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

MULTIPLY_ADDS = {"densenet121": 2.834, "densenet161": 7.728, "densenet169": 3.360, "densenet201": 4.291}  # published, G


@pytest.mark.parametrize("name", CONFIGS)
def test_table_1(name: str) -> None:
    """Depth, output sizes, parameters and multiply-adds."""
    model = models.create_model(name, init=False)
    table = summary(model)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == int(name.removeprefix("densenet"))
    assert table.parameters == CONFIGS[name][2]
    assert round(table.multiply_adds / 1e9, 3) == MULTIPLY_ADDS[name]
    for _, here, side in TABLE_1:
        assert table.within(here)[-1].output_shape[2:] == (side, side)


def test_a_block_concatenates_all_outputs_behind_its_input() -> None:
    minicnn.manual_seed(0)
    block = DenseBlock(3, 5, 4, 0.0, False).eval()
    x = minicnn.randn(2, 5, 6, 7)
    with minicnn.no_grad():
        y = block(x)
        by_hand = x
        for layer in block.values():
            by_hand = minicnn.cat([by_hand, layer([by_hand])], 1)
    assert y.shape == (2, 5 + 3 * 4, 6, 7)
    np.testing.assert_array_equal(y[:, :5].numpy(), x.numpy())
    np.testing.assert_allclose(y.numpy(), by_hand.numpy(), rtol=1e-6, atol=1e-6)


def test_memory_efficient_gives_the_same_gradients() -> None:
    gradients = []
    for memory_efficient in (False, True):
        minicnn.manual_seed(1)
        model = DenseNet(4, (2, 2), 5, memory_efficient=memory_efficient).double()
        x = minicnn.randn(2, 3, 32, 32, dtype=minicnn.float64, requires_grad=True)
        nn.functional.cross_entropy(model(x), minicnn.tensor([1, 3])).backward()
        gradients.append([x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
    for plain, recomputed in zip(*gradients, strict=True):
        np.testing.assert_allclose(recomputed, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_torchvisions(name: str, tmp_path: Path) -> None:
    peer = calibrated(getattr(peers.torchvision().models, name)(num_classes=10), (2, 3, 33, 40))
    model = from_pth(name, peer, tmp_path / "peer.pth", num_classes=10)
    assert evaluation_error(model, peer, (2, 3, 33, 40)) <= LOGITS_FLOAT32


def test_gradients_equal_torchvisions() -> None:
    peer = calibrated(peers.torchvision().models.densenet121(num_classes=10), (3, 3, 33, 40))
    model = same_weights(models.densenet121(num_classes=10), peer)
    errors = training_errors(model, peer, (3, 3, 33, 40))
    assert max(errors.values()) <= GRADIENTS_FLOAT64, max(errors, key=errors.get)


def test_it_learns_digits_and_every_parameter_takes_part() -> None:
    minicnn.manual_seed(0)
    model = DenseNet(8, (2, 2, 2, 2), 10, in_channels=1)
    assert without_gradient(model, (4, 1, 32, 32)) == []
    losses = losses_on_digits(model, enlarged=4, batch=32)
    assert losses[-1] < 0.8 * losses[0]


def test_dropout_only_in_training() -> None:
    minicnn.manual_seed(0)
    model = DenseNet(4, (2, 2), 3, drop_rate=0.5)
    x = minicnn.randn(2, 3, 32, 32)
    with minicnn.no_grad():
        assert (model.eval()(x) == model(x)).all()
        assert not (model.train()(x) == model(x)).all()
