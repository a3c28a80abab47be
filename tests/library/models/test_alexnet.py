"""AlexNet beside its paper: every layer of section 3.5, and the same numbers as torchvision's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.errors import ShapeError
from minicnn.models.alexnet import (
    BIASES,
    INPUT_SIZE,
    LAYERS,
    MULTIPLY_ADDS,
    NEURONS,
    PARAMETERS,
    SMALLEST_INPUT,
    VARIANTS,
    AlexNet,
)
from tests.library.support import peers
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    drawn,
    evaluation_error,
    from_pth,
    images,
    losses_on_digits,
    training_errors,
    walk,
    without_gradient,
)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """The width of the linear layers, which hold almost all parameters, in a test that must be quick."""
    # Not by its dotted name: minicnn.models.alexnet is the builder.
    monkeypatch.setattr(sys.modules[AlexNet.__module__], "HIDDEN", 128)
    return 128


def undrawn(**options: object) -> nn.Module:
    return models.create_model("alexnet", init=False, **options)


def layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(path, m) for path, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


# ------------------------------------------------------------ the paper's layers


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers(variant: str) -> None:
    """Kernels, maps, parameters and multiply-adds, layer by layer."""
    model = undrawn(variant=variant)
    side = INPUT_SIZE[variant]
    found = walk(model, (1, 3, side, side))
    assert [path for path, _ in layers(model)] == [here for here, _, _ in LAYERS[variant]]
    for (_, layer), (here, kernels, output) in zip(layers(model), LAYERS[variant], strict=True):
        assert layer.weight.shape == kernels
        assert found.shapes[here] == (1, *output)
    assert found.shapes["avgpool"] == found.shapes[f"features.{len(model.features) - 1}"] == (1, 256, 6, 6)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[variant]
    assert found.multiply_adds == MULTIPLY_ADDS[variant]


def test_numbers_of_the_paper() -> None:
    """60 million parameters, 650 000 neurons, layer by layer except the first; torchvision's 0.714e9 multiply-adds."""
    neurons = [int(np.prod(output)) for _, _, output in LAYERS["paper"]]
    assert neurons == [290_400, *NEURONS[1:]]
    assert round(sum(neurons), -4) == 660_000 and round(sum(NEURONS), -4) == 620_000  # "650 000" lies between
    assert int(PARAMETERS["paper"] / 1e6) == 60
    assert round(MULTIPLY_ADDS["torchvision"] / 1e9, 3) == 0.714
    linear = sum(np.prod(kernels) for here, kernels, _ in LAYERS["paper"] if here.startswith("classifier"))
    assert round(100 * linear / PARAMETERS["paper"]) == 96


def test_sections_3_and_4_of_the_paper() -> None:
    """ReLU after all layers but the last; norm after the first two convolutions; pools overlap; dropout; two GPUs."""
    model = undrawn()
    kinds = [type(module).__name__ for module in (*model.features, *model.classifier)]
    conv, norm, pool = ["Conv2d", "ReLU"], ["LocalResponseNorm"], ["MaxPool2d"]
    convolutions = (conv + norm + pool) * 2 + conv * 3 + pool
    assert kinds == [*convolutions, *["Linear", "ReLU", "Dropout"] * 2, "Linear"]
    assert [layer.groups for _, layer in layers(model)[:5]] == [1, 2, 1, 2, 2]
    for module in model.modules():
        if isinstance(module, nn.MaxPool2d):
            assert (module.kernel_size, module.stride) == (3, 2)
        if isinstance(module, nn.Dropout):
            assert module.p == 0.5


def test_local_response_norm_is_equation_of_section_3_3() -> None:
    norm = next(module for module in undrawn().modules() if isinstance(module, nn.LocalResponseNorm))
    a = 100 * images((1, 9, 2, 2), np.float64)
    with minicnn.no_grad():
        b = norm(minicnn.tensor(a)).numpy()
    k, n, alpha, beta = 2, 5, 1e-4, 0.75
    for i in range(9):
        near = a[:, max(0, i - n // 2) : min(9 - 1, i + n // 2) + 1]
        expected = a[:, i] / (k + alpha * (near**2).sum(axis=1)) ** beta
        np.testing.assert_allclose(b[:, i], expected, rtol=1e-12)


def test_initialisation_of_section_5() -> None:
    minicnn.manual_seed(0)
    model = models.alexnet()
    for (_, layer), value in zip(layers(model), BIASES, strict=True):
        weight = layer.weight.detach().numpy()
        assert weight.std() == pytest.approx(0.01, rel=0.02) and abs(weight.mean()) < 2e-4
        assert (layer.bias.detach().numpy() == value).all()
    ones = [here for (here, _), value in zip(layers(model), BIASES, strict=True) if value == 1]
    assert ones == ["features.4", "features.10", "features.12", "classifier.0", "classifier.3"]


# ------------------------------------------------------------ sizes and arguments


@pytest.mark.parametrize("variant", VARIANTS)
def test_smallest_input(variant: str) -> None:
    model = undrawn(variant=variant, num_classes=3, in_channels=1).eval()
    side = SMALLEST_INPUT[variant]
    with minicnn.no_grad():
        assert model(minicnn.zeros(1, 1, side, side + 40)).shape == (1, 3)
    message = f"^AlexNet: expected images of at least {side}x{side} pixels, got {side}x{side - 1}"
    with pytest.raises(ShapeError, match=message):
        model(minicnn.zeros(1, 1, side, side - 1))
    # The convolutions themselves have nothing left to pool there: the limit is not higher than it must be.
    with pytest.raises(ShapeError, match="kernel"):
        model.features(minicnn.zeros(1, 1, side, side - 1))
    with pytest.raises(ShapeError, match=r"batch of images \(N, C, H, W\), got shape \(1, 100, 100\)"):
        model(minicnn.zeros(1, 100, 100))


def test_arguments() -> None:
    with pytest.raises(ValueError, match="variant"):
        AlexNet(variant="2014")
    model = undrawn(num_classes=7, in_channels=2, dropout=0.25)
    assert model.features[0].in_channels == 2 and model.classifier[-1].out_features == 7
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.25}
    assert (models.model_entry("alexnet").public_variant, models.model_entry("alexnet").input_size) == (
        "torchvision",
        227,
    )


# ------------------------------------------------------------ training


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_trains_on_digits(variant: str) -> None:
    minicnn.manual_seed(0)
    model = models.create_model("alexnet", num_classes=10, in_channels=1, variant=variant, dropout=0.0)
    losses = losses_on_digits(model, batch=8, lr=3e-4, enlarged=9, optimizer=minicnn.optim.Adam)
    assert losses[-1] < 0.95 * losses[0]
    model.zero_grad()
    assert not without_gradient(model, (2, 1, 72, 72))


# ------------------------------------------------------------ the same as torchvision's


def torchvisions(hidden: int = 4096) -> Any:
    """Torchvision's network with 10 classes, linear layers of that width, and nothing dropped."""
    torch, torchvision = peers.torch(), peers.torchvision()

    def build() -> Any:
        peer = torchvision.models.alexnet(num_classes=10, dropout=0.0)
        for index, (inputs, outputs) in {1: (256 * 6 * 6, hidden), 4: (hidden, hidden), 6: (hidden, 10)}.items():
            peer.classifier[index] = torch.nn.Linear(inputs, outputs)
        return peer

    return drawn(build)


def test_same_numbers_as_torchvision(narrow: int, tmp_path: Path) -> None:
    """Logits, loss and every gradient, with the weights of one ``.pth`` file."""
    shape = (2, 3, 67, 63)
    peer = torchvisions(narrow)
    model = from_pth("alexnet", peer, tmp_path / "alexnet.pth", num_classes=10, dropout=0.0)
    assert model.variant == "torchvision"
    assert evaluation_error(model, peer, shape) <= LOGITS_FLOAT32
    errors = training_errors(model, peer, shape)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= GRADIENTS_FLOAT64, worst


def test_same_logits_as_torchvision_at_full_size(tmp_path: Path) -> None:
    peer = torchvisions()
    model = from_pth("alexnet", peer, tmp_path / "alexnet.pth", num_classes=10)
    assert evaluation_error(model, peer, (1, 3, 224, 224)) <= LOGITS_FLOAT32
