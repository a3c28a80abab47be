"""Small networks whose graphs are known, and a check of any graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minicnn
from minicnn import nn
from minicnn.explore.steps import INPUT
from minicnn.nn import functional as F
from minicnn.tensors import Tensor

PACKAGE = Path(minicnn.__file__).parent


class Twice(nn.Module):
    """One convolution that runs twice, and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        once = self.conv(x)
        twice = self.conv(once.relu())
        return self.fc((twice + once).mean((2, 3)))


class Branches(nn.Module):
    """Several inputs to one ``cat``, a gate, a view, and a module that runs in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
        self.right = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = nn.Linear(6, 6)
        self.head = nn.Linear(6 * 4 * 4, 5)
        self.auxiliary = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        joined = minicnn.cat([self.left(x), self.right(x)], 1)
        gate = F.sigmoid(self.gate(joined.mean((2, 3)))).view(1, 6, 1, 1)
        out = joined * gate
        if self.training:
            self.auxiliary(out.mean((2, 3)))
        out = F.max_pool2d(out, 2)
        return self.head(out.flatten(1))


class InPlace(nn.Module):
    """Writes into what a layer has returned."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x.relu_()
        x[:, 0] = 5.0
        return self.fc(x.mean((2, 3)))


def edges(steps: Any) -> list[tuple[str, str, list[int]]]:
    """Of each step the module, the kind and the inputs."""
    return [(step.module, step.kind, step.inputs) for step in steps]


def assert_connected(steps: Any, result: int) -> None:
    """Each step reads earlier ones or the input, and the result depends on the input."""
    reached = {INPUT}
    for step in steps:
        assert step.inputs and all(INPUT <= at < step.id for at in step.inputs)
        assert len(set(step.inputs)) == len(step.inputs)
        if reached & set(step.inputs):
            reached.add(step.id)
    assert {step.id for step in steps} <= reached and result in reached
