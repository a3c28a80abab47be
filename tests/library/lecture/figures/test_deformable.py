"""The figure ``deformable``: a small run, and what holds in any run."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import lecture, nn
from minicnn.lecture import Settings
from minicnn.lecture.figures import deformable


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


TINY = deformable.DigitsAndCrops(images=64, crops=64)

STRIDE, LAYERS, STEM_RADIUS = deformable.STEM_STRIDE, deformable.LAYERS, 1


def network(offsets: Callable[[np.random.Generator], np.ndarray]) -> nn.Module:
    """A network for images of 48 x 48 pixels whose layers are told their ``offsets``, (18, 24, 24) or (18, 1, 1)."""
    minicnn.manual_seed(0)
    rng = np.random.default_rng(0)
    net = deformable.SmallNet(3, 2, deformable=True).eval()
    for conv in net.convs:
        told = minicnn.tensor(np.broadcast_to(offsets(rng), (1, 18, 24, 24)).astype(np.float32))
        conv.where = lambda x, told=told: (told, None)
    return net


def pixels_that_count(net: nn.Module, image: np.ndarray, pixel: tuple[int, int]) -> set[tuple[int, int]]:
    """The input pixels on which the last layer's output at ``pixel`` depends."""
    x = minicnn.tensor(image[None], requires_grad=True)
    last = net.maps(x)[-2]
    net.convs[-1](last)[0, :, pixel[0], pixel[1]].sum().backward()
    return {(int(r), int(c)) for r, c in np.argwhere(np.abs(x.grad.numpy()[0]).sum(0))}


def around(points: np.ndarray, radius: int) -> set[tuple[int, int]]:
    steps = range(-radius, radius + 1)
    return {(int(r) + i, int(c) + j) for r, c in points for i, j in product(steps, steps)}


def test_before_training_the_points_are_the_rigid_grid_of_three_convolutions() -> None:
    minicnn.manual_seed(0)
    net = deformable.SmallNet(3, 2, deformable=True)
    image = np.random.default_rng(0).standard_normal((3, 48, 48)).astype(np.float32)
    points = deformable.sampling_points(net, image, (12, 10))
    along = {-3: 1, -2: 3, -1: 6, 0: 7, 1: 6, 2: 3, 3: 1}  # ways to reach it in three steps of -1, 0 or 1
    steps = product(range(-LAYERS, LAYERS + 1), repeat=2)
    expected = {(24 + STRIDE * i, 20 + STRIDE * j): along[i] * along[j] for i, j in steps}
    assert Counter(map(tuple, points)) == expected and sum(expected.values()) == 9**LAYERS


def test_points_of_whole_offsets_are_exactly_the_pixels_with_a_gradient() -> None:
    net = network(lambda rng: rng.integers(-1, 2, (18, 24, 24)))
    image = np.random.default_rng(1).standard_normal((3, 48, 48)).astype(np.float32)
    points = deformable.sampling_points(net, image, (12, 12))
    assert np.abs(points - 24).max() > LAYERS * STRIDE  # some have left the rigid grid
    assert pixels_that_count(net, image, (12, 12)) == around(points, STEM_RADIUS)


def test_pixels_with_a_gradient_lie_around_the_points() -> None:
    net = network(lambda rng: rng.uniform(-1.5, 1.5, (18, 1, 1)))
    image = np.random.default_rng(1).standard_normal((3, 48, 48)).astype(np.float32)
    points = deformable.sampling_points(net, image, (12, 12))
    pixels = np.array(sorted(pixels_that_count(net, image, (12, 12))))
    distance = np.abs(pixels[:, None] - points).max(axis=2).min(axis=1)
    # Each layer reads less than one pixel of its map away from its point; the stem sees a pixel to each side.
    assert len(pixels) > 100 and distance.max() < LAYERS * STRIDE + STEM_RADIUS


@pytest.mark.slow
def test_deformable_from_digits_to_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deformable, "QUICK", TINY)
    told: list[str] = []
    data, cached, _ = lecture.run(deformable.FIGURE, tmp_path, Settings(quick=True, progress=told.append))
    again, from_cache, _ = lecture.run(deformable.FIGURE, tmp_path, Settings(quick=True))
    assert (cached, from_cache) == (False, True) and len(told) == 4
    assert data.before.shape == data.after.shape == (9**LAYERS, 2) and data.picture.shape == (48, 48, 3)
    assert np.abs(data.before - data.centre).max() == LAYERS * STRIDE
    assert data.offset_size > 0 and not np.array_equal(data.before, data.after)
    assert data.errors.shape == (3, 1) and ((data.errors >= 0) & (data.errors <= 100)).all()
    assert deformable.verdict(again) == deformable.verdict(data)
    assert [row[0] for row in rows(tmp_path / "deformable-quick.csv")[1:]] == list(deformable.NETWORKS)


def test_the_wider_network_has_no_fewer_parameters() -> None:
    counts = [
        sum(parameter.numel() for parameter in deformable.SmallNet(1, 10, *options).parameters())
        for options in deformable.NETWORKS.values()
    ]
    assert counts == [7402, 16282, 15232]


def test_the_standard_and_the_deformable_network_start_alike() -> None:
    minicnn.manual_seed(3)
    standard = deformable.SmallNet(1, 10, deformable=False).eval()
    other = deformable.SmallNet(1, 10, deformable=True).eval()
    result = other.load_state_dict(standard.state_dict(), strict=False)
    assert not result.unexpected_keys and all(".offsets." in key for key in result.missing_keys)
    x = minicnn.randn(2, 1, 16, 16)
    np.testing.assert_allclose(other(x).detach().numpy(), standard(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_warped_digits_are_the_digits_when_nothing_is_warped() -> None:
    class Still:
        """A generator that turns, shears and shifts by nothing and scales by one."""

        def uniform(self, low: float, high: float, size: int | None = None) -> float | np.ndarray:
            value = 1.0 if low > 0 else 0.0
            return value if size is None else np.full(size, value)

    digit = np.add.outer(np.arange(8.0), 10 * np.arange(8.0)).astype(np.float32)[None, None]
    warped = deformable.warp(digit, Still())[0, 0]
    assert warped.shape == (16, 16)
    inside = slice(1, 15)  # between the outermost pixels of the digit a ramp stays a ramp
    places = (np.arange(16) - 7.5) / 2 + 3.5
    np.testing.assert_allclose(warped[inside, inside], np.add.outer(places, 10 * places)[inside, inside], rtol=1e-5)


def test_a_digit_is_turned_and_moved_about_its_middle() -> None:
    """By a right angle and one pixel of the result: the pixels of the enlarged digit, elsewhere."""

    class Quarter:
        """A generator that turns by its ``angle`` in degrees, moves by one pixel down, and does nothing else."""

        def __init__(self, angle: float, moved: int) -> None:
            self.angle, self.moved = angle, moved

        def uniform(self, low: float, high: float, size: int | None = None) -> float | np.ndarray:
            if size is not None:
                return np.array([self.moved, 0.0])
            return {-45: self.angle, 0.6: 1.0, -0.4: 0.0}[low]

    digit = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    still = deformable.warp(digit, Quarter(0, 0))[0, 0]
    turned = deformable.warp(digit, Quarter(90, 0))[0, 0]
    np.testing.assert_allclose(turned[1:-1, 1:-1], np.rot90(still, -1)[1:-1, 1:-1], atol=1e-4)
    moved = deformable.warp(digit, Quarter(0, 1))[0, 0]
    np.testing.assert_allclose(moved[2:-1, 1:-1], still[1:-2, 1:-1], atol=1e-4)


def test_crops_come_from_both_photographs() -> None:
    crops, labels = deformable.photograph_crops(6, np.random.default_rng(0))
    assert crops.shape == (6, 3, 48, 48) and labels.tolist() == [0, 1] * 3
    assert all(crop.std() > 0.01 for crop in crops)
