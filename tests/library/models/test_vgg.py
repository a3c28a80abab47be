"""VGG beside its paper: Tables 1 and 2, and the same numbers as torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.errors import ShapeError
from minicnn.models.vgg import CONFIGS, SIDES, SMALLEST_INPUT, TABLE_1, TABLE_2
from tests.library.support import peers
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    calibrated,
    drawn,
    evaluation_error,
    from_pth,
    losses_on_digits,
    training_errors,
    walk,
    without_gradient,
)

NETWORKS = {network: name for name, (network, norm, *_) in CONFIGS.items() if not norm}


def undrawn(name: str, **options: Any) -> nn.Module:
    return models.create_model(name, init=False, **options)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """The width of the linear layers, which hold nine of ten parameters, in a test that must be quick."""
    monkeypatch.setattr("minicnn.models.vgg.HIDDEN", 64)
    return 64


# ------------------------------------------------------------ the paper's tables


@pytest.mark.parametrize(("network", "name"), NETWORKS.items(), ids=NETWORKS.values())
def test_tables_1_and_2(network: str, name: str) -> None:
    """Filters, output sizes, parameters and multiply-adds; a network's name counts its layers."""
    _, _, parameter_count, multiply_adds = CONFIGS[name]
    model = undrawn(name)
    found = walk(model, (1, 3, 224, 224))
    shapes = [found.shapes[path] for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    expected = [
        (1, filters, side, side) for stage, side in zip(TABLE_1[network], SIDES, strict=True) for filters in stage
    ]
    assert shapes == expected
    assert all(conv.kernel_size == (3, 3) for conv in convolutions(model))
    pooled = [found.shapes[path] for path, module in model.named_modules() if isinstance(module, nn.MaxPool2d)]
    assert [shape[2] for shape in pooled] == [side // 2 for side in SIDES]
    assert found.shapes["avgpool"] == (1, 512, 7, 7) == pooled[-1]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert [layer.out_features for layer in linear] == [4096, 4096, 1000]
    assert name == f"vgg{len(shapes) + len(linear)}"
    assert parameters(model) == parameter_count
    assert round(parameter_count / 1e6) == TABLE_2[network]
    assert round(found.multiply_adds / 1e9, 3) == multiply_adds / 1e9


@pytest.mark.parametrize("name", [name for name, (_, norm, *_) in CONFIGS.items() if norm])
def test_with_batch_norm(name: str) -> None:
    """A norm behind each convolution, two parameters a channel, nothing else."""
    network, _, parameter_count, multiply_adds = CONFIGS[name]
    plain = name.removesuffix("_bn")
    model = undrawn(name)
    kinds = [type(module).__name__ for module in model.features]
    assert kinds.count("BatchNorm2d") == len(convolutions(model))
    for kind, following in zip(kinds, kinds[1:], strict=False):
        assert (kind == "Conv2d") == (following == "BatchNorm2d")
    without = [kind for kind in kinds if kind != "BatchNorm2d"]
    assert without == [type(module).__name__ for module in undrawn(plain).features]
    channels = sum(sum(stage) for stage in TABLE_1[network])
    assert parameters(model) == parameter_count == CONFIGS[plain][2] + 2 * channels
    assert multiply_adds == CONFIGS[plain][3]


def test_three_small_kernels_instead_of_a_large_one() -> None:
    """Section 2.3: three 3x3 convolutions see 7x7 pixels, with 27 C^2 weights instead of 49 C^2."""
    channels = 4
    stack = nn.Sequential(*[nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(3)])
    assert parameters(stack) == 27 * channels**2
    x = minicnn.zeros(1, channels, 15, 15, requires_grad=True)
    stack(x)[0, 0, 7, 7].backward()
    rows, columns = np.nonzero(x.grad.numpy()[0].any(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 10, 4, 10)


# ------------------------------------------------------------ initialisation, sizes, arguments


@pytest.mark.usefixtures("narrow")
def test_initialisation() -> None:
    minicnn.manual_seed(0)
    model = models.vgg13_bn()
    for conv in convolutions(model)[1:]:
        weight = conv.weight.detach().numpy()
        assert weight.std() == pytest.approx((2 / (9 * len(weight))) ** 0.5, rel=0.02)
    assert model.classifier[0].weight.detach().numpy().std() == pytest.approx(0.01, rel=0.02)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.detach().numpy().any()
        elif parameter.ndim == 1:
            assert (parameter.detach().numpy() == 1).all()


@pytest.mark.usefixtures("narrow")
def test_smallest_input() -> None:
    model = undrawn("vgg11", num_classes=3, in_channels=1).eval()
    side = SMALLEST_INPUT
    with minicnn.no_grad():
        assert model(minicnn.zeros(1, 1, side, side + 40)).shape == (1, 3)
    with pytest.raises(ShapeError, match="^VGG: expected images of at least 32x32 pixels, got 31x32"):
        model(minicnn.zeros(1, 1, side - 1, side))
    with pytest.raises(ShapeError, match="kernel"):
        model.features(minicnn.zeros(1, 1, side - 1, side))


def test_arguments() -> None:
    model = undrawn("vgg11_bn", num_classes=7, in_channels=2, dropout=0.25)
    assert model.features[0].in_channels == 2 and model.classifier[-1].out_features == 7
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.25, 0.25]
    assert [module.p for module in undrawn("vgg11").modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


# ------------------------------------------------------------ training


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("name", "factor"), [("vgg11", 0.95), ("vgg11_bn", 0.8)])
def test_it_trains_on_digits(name: str, factor: float) -> None:
    minicnn.manual_seed(0)
    model = models.create_model(name, num_classes=10, in_channels=1, dropout=0.0)
    losses = losses_on_digits(model, batch=8, lr=3e-4, enlarged=4, optimizer=minicnn.optim.Adam)
    assert losses[-1] < factor * losses[0]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_receives_a_gradient(name: str) -> None:
    assert not without_gradient(models.create_model(name, num_classes=10), (4, 3, 32, 32))


# ------------------------------------------------------------ the same as torchvision's


def torchvisions(name: str, hidden: int = 4096) -> Any:
    """Torchvision's network with 10 classes, linear layers of that width, and nothing dropped."""
    torch, torchvision = peers.torch(), peers.torchvision()

    def build() -> Any:
        peer = getattr(torchvision.models, name)(num_classes=10, init_weights=False, dropout=0.0)
        for index, (inputs, outputs) in {0: (512 * 7 * 7, hidden), 3: (hidden, hidden), 6: (hidden, 10)}.items():
            peer.classifier[index] = torch.nn.Linear(inputs, outputs)
        return peer

    return drawn(build)


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn", "vgg16", "vgg19_bn"])
def test_same_numbers_as_torchvision(name: str, narrow: int, tmp_path: Path) -> None:
    """Logits, loss, every gradient and the running statistics, with the weights of one ``.pth`` file."""
    shape = (2, 3, 32, 34)
    peer = calibrated(torchvisions(name, narrow), shape)
    model = from_pth(name, peer, tmp_path / "vgg.pth", num_classes=10, dropout=0.0)
    assert evaluation_error(model, peer, shape) <= LOGITS_FLOAT32
    errors = training_errors(model, peer, shape)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= GRADIENTS_FLOAT64, worst


@pytest.mark.slow
def test_same_logits_as_torchvision_at_full_width(tmp_path: Path) -> None:
    peer = torchvisions("vgg19")
    model = from_pth("vgg19", peer, tmp_path / "vgg19.pth", num_classes=10)
    assert evaluation_error(model, peer, (1, 3, 32, 32)) <= LOGITS_FLOAT32
