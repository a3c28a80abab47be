"""Layers beside PyTorch's with the same numbers in them, and a small network of them."""

from __future__ import annotations

import inspect

import numpy as np

from minicnn import nn
from tests.library.support import peers

IMAGE = (2, 4, 9, 8)


def numbers(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype) * 3


def shake(module: nn.Module) -> None:
    """Parameters and statistics that are not their defaults."""
    rng = np.random.default_rng(5)
    state = {
        key: rng.uniform(0.5, 1.5, tensor.shape) if tensor.dtype.kind == "f" else tensor
        for key, tensor in module.state_dict().items()
    }
    module.load_state_dict(state)


def twins(build):
    """The same layer with the same numbers, ours and PyTorch's, both float64."""
    torch = peers.torch()
    ours, theirs = build(nn).double(), build(torch.nn).double()
    shake(ours)
    theirs.load_state_dict({key: torch.tensor(t.numpy()) for key, t in ours.state_dict().items()})
    return torch, ours, theirs


def shared_arguments(ours, theirs) -> tuple[list[tuple[str, object]], list[tuple[str, object]]]:
    """Names and defaults, in order, of the arguments that both functions have."""
    mine, others = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    return [(p.name, p.default) for p in mine.values() if p.name in others], [
        (p.name, p.default) for p in others.values() if p.name in mine
    ]


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None

    def forward(self, x):
        return self.relu(self.bn1(self.conv1(x)) + x)


class Net(nn.Module):
    """A ResNet in miniature: a stem, a Sequential of blocks, a head."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.layer2 = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.conv1(x)))
        return self.fc(self.avgpool(x).flatten(1))
