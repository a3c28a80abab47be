"""SENet beside its paper: the gates, the table, the block on other networks, and the same numbers as timm's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import models, nn, summary
from minicnn.models.resnet import ResNet
from minicnn.models.senet import CONFIGS, SEBasicBlock, SqueezeExcitation, insert_se
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

LAST_NORM = {"seresnet18": "bn2", "seresnet34": "bn2", "seresnet50": "bn3", "seresnet101": "bn3", "seresnet152": "bn3"}


def test_gates_by_hand() -> None:
    """Equations 2 to 4 in NumPy, with the 1x1 convolutions as the matrices they are."""
    minicnn.manual_seed(0)
    se = SqueezeExcitation(32).double()
    x = np.random.default_rng(0).standard_normal((2, 32, 5, 3))
    w1, b1, w2, b2 = (p.detach().numpy().reshape(p.shape[0], -1) for p in se.parameters())
    z = x.mean(axis=(2, 3))  # equation 2
    s = 1 / (1 + np.exp(-(np.maximum(z @ w1.T + b1.T, 0) @ w2.T + b2.T)))  # equation 3
    assert w1.shape == (2, 32) and w2.shape == (32, 2)
    np.testing.assert_allclose(se(minicnn.tensor(x)).detach().numpy(), x * s[:, :, None, None], rtol=1e-12)
    np.testing.assert_allclose(se.gates(minicnn.tensor(x)).detach().numpy()[:, :, 0, 0], s, rtol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters(name: str) -> None:
    model = models.create_model(name, variant="torchvision", init=False)
    assert summary(model).parameters == CONFIGS[name][2]


def test_numbers_of_the_paper() -> None:
    """28 088 024 parameters (L2.3.2); 3.87e9 multiply-adds, 0.26 % more than ResNet-50 (section 4)."""
    table, plain = (summary(models.create_model(name, init=False)) for name in ("seresnet50", "resnet50"))
    assert table.parameters == 28_088_024
    assert round(table.multiply_adds / 1e9, 2) == round(3.86, 2)
    assert table.multiply_adds / plain.multiply_adds - 1 < 0.0026


@pytest.mark.parametrize("variant", ["paper", "torchvision"])
def test_reduction(variant: str) -> None:
    block = SEBasicBlock(64, 64, variant=variant)
    assert block.se.fc1.weight.shape[0] == {"paper": 4, "torchvision": 8}[variant]


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_timms(name: str, tmp_path: Path) -> None:
    peer = calibrated(peers.timm().create_model(name, num_classes=10), (2, 3, 40, 33), last_norm=LAST_NORM[name])
    model = from_pth(name, peer, tmp_path / "peer.pth", num_classes=10)
    assert evaluation_error(model, peer, (2, 3, 40, 33)) <= LOGITS_FLOAT32


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50"])
def test_gradients_equal_timms(name: str) -> None:
    peer = calibrated(peers.timm().create_model(name, num_classes=10), (2, 3, 40, 33), last_norm=LAST_NORM[name])
    model = same_weights(models.create_model(name, num_classes=10, variant="torchvision"), peer)
    errors = training_errors(model, peer, (2, 3, 40, 33))
    assert max(errors.values()) <= GRADIENTS_FLOAT64, max(errors, key=errors.get)


def test_the_variants_differ() -> None:
    paper, public = (models.create_model("seresnet50", variant=v, init=False) for v in ("paper", "torchvision"))
    assert paper.layer2[0].conv1.stride == (2, 2) and public.layer2[0].conv2.stride == (2, 2)


def test_se_on_other_networks() -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 3, stride=2))
    insert_se(net, ["0", "2"], reduction=8, input_shape=(3, 9, 9))
    assert net[0][1].fc1.weight.shape == (4, 32, 1, 1) and net[2][1].fc1.weight.shape == (2, 16, 1, 1)
    assert net(minicnn.zeros(1, 3, 9, 9)).shape == (1, 16, 3, 3)
    vgg = insert_se(models.create_model("vgg11_bn", init=False), ["features.3"])
    assert vgg.features[3][1].fc1.in_channels == 64
    with pytest.raises(ValueError, match="features.31"):
        insert_se(vgg, ["features.310"])


def test_it_learns_digits_and_every_parameter_takes_part() -> None:
    minicnn.manual_seed(0)
    model = ResNet(SEBasicBlock, (1, 1, 1, 1), 10, in_channels=1)
    assert without_gradient(model, (4, 1, 32, 32)) == []
    losses = losses_on_digits(model, batch=32, steps=6)
    assert losses[-1] < 0.8 * losses[0]
