"""What flows back, against central differences, a naive Grad-CAM, and the lecture's analysis."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import AutogradError
from minicnn.explore import gradients
from minicnn.explore.recording import record
from minicnn.lecture.analyses.receptive_field import centre_gradient
from minicnn.nn.functional import cross_entropy
from minicnn.tensors import Tensor


@pytest.fixture
def net() -> nn.Sequential:
    minicnn.manual_seed(0)
    layers = nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 9, 5)
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def image() -> Tensor:
    return Tensor(np.random.default_rng(1).standard_normal((1, 2, 5, 5)))


def test_the_gradient_at_each_step_by_central_differences(net: nn.Sequential, image: Tensor) -> None:
    target = Tensor(np.array([3]))
    recording = record(net, image)
    found = gradients.arriving(cross_entropy(recording.output, target), recording.steps, recording.image)
    assert len(found) == len(net)
    x, epsilon = image, 1e-6
    for at, layer in enumerate(net):
        x = layer(x).detach()
        rest, values = net[at + 1 :], x.numpy()
        slopes = np.empty(values.size)
        for index in range(values.size):
            losses = []
            for sign in (1, -1):
                moved = values.copy()
                moved.reshape(-1)[index] += sign * epsilon
                losses.append(cross_entropy(rest(Tensor(moved)), target).item())
            slopes[index] = (losses[0] - losses[1]) / (2 * epsilon)
        assert found[at] == pytest.approx(np.sqrt((slopes**2).mean()), rel=1e-5)


def test_the_tape_is_free_afterwards_and_nothing_keeps_a_gradient(net: nn.Sequential, image: Tensor) -> None:
    recording = record(net, image)
    loss = recording.output.sum()
    gradients.arriving(loss, recording.steps, recording.image)
    assert all(parameter.grad is None for parameter in net.parameters()) and recording.image.grad is None
    with pytest.raises(AutogradError, match="freed"):
        loss.backward()


def test_no_gradient_arrives_where_the_tape_is_cut() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu().detach().sum() + x.mean()

    recording = record(Net(), minicnn.ones(1, 1, 2, 2))
    kinds = [step.kind for step in recording.steps]
    found = gradients.arriving(recording.output, recording.steps, recording.image)
    assert dict(zip(kinds, found, strict=True)) == {"ReLU": None, "Sum": None, "Mean": 1.0, "Add": 1.0}


def test_grad_cam_against_loops(net: nn.Sequential, image: Tensor) -> None:
    kept = {}
    recording = record(net, image, lambda step, output: kept.update({step.id: output}))
    cam, peak = gradients.class_map(recording.output[0, 2], kept[2])
    maps = net[:3](image).detach().numpy()[0]
    weights = net[4].weight.detach().numpy()[2].reshape(4, 3, 3)
    expected = np.zeros((3, 3))
    for channel in range(4):
        alpha = sum(weights[channel, row, column] for row in range(3) for column in range(3)) / 9
        for row in range(3):
            for column in range(3):
                expected[row, column] += alpha * maps[channel, row, column]
    expected = np.maximum(expected, 0)
    assert peak == pytest.approx(expected.max()) and peak > 0
    np.testing.assert_allclose(cam * peak, expected, atol=1e-12)


def test_where_a_unit_looks_as_the_lecture_measures_it(net: nn.Sequential, image: Tensor) -> None:
    kept = {}
    recording = record(net, image, lambda step, output: kept.update({step.id: output}))
    for at in (0, 2):
        np.testing.assert_allclose(
            gradients.sensitivity(kept[at], recording.image), centre_gradient(net[: at + 1], image), rtol=1e-12
        )


def test_the_rms_of_vanishing_and_of_large_gradients() -> None:
    assert gradients.rms(np.full((3, 4), 1e-30, np.float32)) == pytest.approx(1e-30)
    assert gradients.rms(np.array([3e38, -3e38], np.float32)) == pytest.approx(3e38)
    assert gradients.rms(np.zeros((0,), np.float32)) == 0
