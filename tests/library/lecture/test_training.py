"""The small training loop that the figures share."""

from __future__ import annotations

import math

import numpy as np

import minicnn
from minicnn import nn
from minicnn.lecture.training import digit_images, fit
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.resnet import BasicBlock


def test_the_small_training_loop_trains_and_repeats_itself() -> None:
    weights, told = [], []
    for _ in range(2):
        minicnn.manual_seed(0)
        model = CifarResNet(BasicBlock, 8, in_channels=1)
        fit(model, digit_images("train", 130), 3, np.random.default_rng(0), on_epoch=lambda *line: told.append(line))
        weights.append(model.fc.weight.detach().numpy().copy())
    np.testing.assert_array_equal(*weights)
    assert [line[0] for line in told] == [1, 2, 3] * 2 and told[:3] == told[3:]
    assert told[2][1] < told[0][1] and 0 <= told[2][2] < told[0][2] <= 100


def test_more_epochs_than_images_for_a_batch() -> None:
    images, labels = digit_images("test", 10, size=16)
    assert images.shape == (10, 1, 16, 16) and labels.shape == (10,) and images.dtype == np.float32
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    fit(model, (images, labels), 1, np.random.default_rng(0))


def test_the_learning_rate_falls_to_zero_along_a_cosine() -> None:
    rates: list[float] = []

    class Watched(minicnn.optim.SGD):
        def step(self, closure: None = None) -> None:
            rates.append(self.param_groups[0]["lr"])
            super().step()

    data = np.zeros((40, 1, 2, 2), np.float32), np.zeros(40, np.int64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    fit(model, data, 2, np.random.default_rng(0), lr=0.5, batch_size=10, optimizer=Watched)
    np.testing.assert_allclose(rates, [0.25 * (1 + math.cos(math.pi * k / 8)) for k in range(8)])
