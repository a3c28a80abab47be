"""Deformable ResNet: starts as a ResNet, keeps its keys, and moves its offsets when training asks for it."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.data.bundled import bundled_digits
from minicnn.models.deformable import DeformableResNet, OffsetConv2d
from minicnn.models.resnet import BasicBlock
from tests.library.support.model_checks import without_gradient


@pytest.mark.parametrize(("name", "count"), [("deformable_resnet18", 4), ("deformable_resnet50", 3)])
def test_the_3x3_convolutions_of_the_last_stage(name: str, count: int) -> None:
    model = models.create_model(name, init=False)
    deformable = [path for path, m in model.named_modules() if isinstance(m, nn.DeformConv2d)]
    assert len(deformable) == count and all(path.startswith("layer4.") for path in deformable)


@pytest.mark.parametrize("modulated", [False, True])
def test_it_starts_as_the_resnet_whose_weights_it_is_given(modulated: bool) -> None:
    minicnn.manual_seed(0)
    plain = models.resnet18(num_classes=7).eval()
    model = models.deformable_resnet18(num_classes=7, modulated=modulated).eval()
    result = model.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys and all(".offsets." in key for key in result.missing_keys)
    x = minicnn.randn(2, 3, 64, 48)
    with minicnn.no_grad():
        same = np.allclose(model(x).numpy(), plain(x).numpy(), rtol=1e-4, atol=1e-4)
    assert same is not modulated  # a mask of 1/2 halves the convolutions


def test_offsets_have_their_own_learning_rate() -> None:
    model = models.deformable_resnet18(num_classes=3)
    rest, offsets = model.parameter_groups(0.1, 0.5)
    assert (rest["lr"], offsets["lr"]) == (0.1, 0.05) and len(offsets["params"]) == 8
    assert len(rest["params"]) + len(offsets["params"]) == len(list(model.parameters()))


def test_every_parameter_takes_part() -> None:
    minicnn.manual_seed(0)
    model = DeformableResNet(BasicBlock, (1, 1, 1, 1), 5, modulated=True)
    assert without_gradient(model, (2, 3, 64, 48)) == []


def warped_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits enlarged to 16 x 16 under random affine maps: rotated up to 40 degrees, scaled, sheared, shifted."""
    affine_transform = pytest.importorskip("scipy.ndimage").affine_transform
    rng = np.random.default_rng(seed)
    digits, targets = bundled_digits()
    chosen = rng.choice(len(targets), count, replace=False)
    images = np.empty((count, 1, 16, 16), np.float32)
    for i, source in enumerate(digits[chosen] / 8 - 1):
        angle, scale, shear = np.radians(rng.uniform(-40, 40)), rng.uniform(0.7, 1.3), rng.uniform(-0.3, 0.3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[1, shear], [0, 1]]) / scale / 2  # from 16 x 16 to 8 x 8
        offset = 3.5 - matrix @ (np.array([7.5, 7.5]) + rng.uniform(-1, 1, 2))
        images[i, 0] = affine_transform(source, matrix, offset, (16, 16), order=1, cval=-1.0)
    return images, targets[chosen].astype(np.int64)


class Small(nn.Module):
    """Two ordinary convolutions and a deformable one, for 16 x 16 images."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.deformable = OffsetConv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        x = nn.functional.relu(self.deformable(self.body(x)))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def test_on_warped_digits_the_loss_falls_and_the_offsets_move() -> None:
    minicnn.manual_seed(0)
    images, targets = warped_digits(256, seed=0)
    model = Small()
    optimizer = minicnn.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(40):
        rows = np.arange(64) + 64 * (step % 4)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(minicnn.tensor(images[rows])), minicnn.tensor(targets[rows]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:4])
    with minicnn.no_grad():
        offsets, _ = model.deformable.where(model.body(minicnn.tensor(images[:64])))
    assert float(offsets.abs().mean()) > 0.005  # pixels; zero at the start
    assert float(offsets.std(0).mean()) > 0.001  # and not the same for all images
