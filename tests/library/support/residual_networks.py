"""Small residual networks, and a batch for them."""

from __future__ import annotations

import numpy as np
from hypothesis import settings

import minicnn
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.resnet import BasicBlock

few = settings(max_examples=25, deadline=None)


def small_resnet(depth: int = 14, block: type[BasicBlock] = BasicBlock) -> CifarResNet:
    """A residual network in float64 whose batch norms are not the identity."""
    minicnn.manual_seed(0)
    model = CifarResNet(block, depth, in_channels=1).double().eval()
    rng = np.random.default_rng(0)
    for name, buffer in model.named_buffers():
        if "running_var" in name:
            buffer.data = minicnn.tensor(rng.uniform(0.5, 1.5, buffer.shape))
        elif "running_mean" in name:
            buffer.data = minicnn.tensor(rng.normal(0, 0.1, buffer.shape))
    return model


def batch(count: int = 3, size: int = 8, channels: int = 1) -> tuple[minicnn.Tensor, minicnn.Tensor]:
    rng = np.random.default_rng(1)
    return minicnn.tensor(rng.standard_normal((count, channels, size, size))), minicnn.tensor(np.arange(count) % 10)
