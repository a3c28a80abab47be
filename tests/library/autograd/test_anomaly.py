"""``detect_anomaly`` names the operation and the module of the first NaN or infinity."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.autograd import Function
from minicnn.errors import AnomalyError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.layers(x))


def test_forward_names_operation_module_and_index():
    net = Net()
    with minicnn.no_grad():
        net.head.weight[1, 2] = float("nan")
    with minicnn.detect_anomaly(), pytest.raises(AnomalyError, match=r"NaN.*\(0, 1\).*Linear.*Net\.head"):
        net(minicnn.ones(1, 3))


def test_an_infinity_that_came_in_is_told_apart():
    with minicnn.detect_anomaly(), pytest.raises(AnomalyError, match=r"infinity.*argument 0 already had one"):
        minicnn.tensor([1.0, float("inf")]) * 2


class BadGradient(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        return dy * np.nan


class Broken(nn.Module):
    def forward(self, x):
        return BadGradient.apply(x)


def test_backward_names_operation_and_module():
    net = nn.Sequential(nn.Linear(3, 3), Broken())
    with minicnn.detect_anomaly():
        out = net(minicnn.ones(1, 3)).sum()
        with pytest.raises(AnomalyError, match=r"NaN.*backward of BadGradient.*argument 0, in Sequential\.1"):
            out.backward()


def test_backward_only_says_what_to_do():
    x = minicnn.zeros(2, requires_grad=True)
    out = x.sqrt().sum()  # slope infinite at 0
    with minicnn.detect_anomaly(), pytest.raises(AnomalyError, match="Sqrt.*run the forward inside"):
        out.backward()


def test_silent_when_all_is_well_and_off_afterwards():
    net = Net()
    with minicnn.detect_anomaly():
        net(minicnn.ones(1, 3)).sum().backward()
    assert np.isnan(minicnn.tensor([-1.0]).log().item())
