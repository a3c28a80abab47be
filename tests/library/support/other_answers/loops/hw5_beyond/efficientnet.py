"""Homework 5, efficientnet.py: the holes, filled in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn import nn
from minicnn.models.senet import SqueezeExcitation
from minicnn.tensors import Tensor

if TYPE_CHECKING:
    from minicnn.models.efficientnet import ALPHA_DEPTH, BETA_WIDTH, GAMMA_RESOLUTION, TABLE_1, ConvNorm


def compound_scaling(phi):
    bases = (ALPHA_DEPTH, BETA_WIDTH, GAMMA_RESOLUTION)
    return tuple(pow(base, phi) for base in bases)


def scale_channels(channels, width):
    wanted = channels * width
    below = int(wanted // 8) * 8
    above = below + 8
    nearest = below if wanted - below < above - wanted else above
    if nearest < 0.9 * wanted:
        nearest = above
    return max(nearest, 8)


def scale_blocks(blocks, depth):
    scaled = blocks * depth
    return int(scaled) if scaled == int(scaled) else int(scaled) + 1


def scaled_stages(width, depth):
    stages = []
    for _, _, _, channels, blocks, _ in TABLE_1:
        stages.append((scale_channels(channels, width), scale_blocks(blocks, depth)))
    return stages


def random_numbers(count: int) -> np.ndarray:
    """``count`` numbers in [0, 1)."""
    return np.random.default_rng(7).random(count)


class MBConv:
    def __init__(self, in_channels, out_channels, kernel, stride, expansion, drop_probability, norm_layer):
        super().__init__()
        wide = scale_channels(in_channels, expansion)
        widen = [] if wide == in_channels else [ConvNorm(in_channels, wide, 1, norm_layer)]
        self.block = nn.Sequential(
            *widen,
            ConvNorm(wide, wide, kernel=kernel, norm_layer=norm_layer, stride=stride, groups=wide),
            SqueezeExcitation(wide, reduced=in_channels // 4 or 1, activation=nn.SiLU()),
            ConvNorm(wide, out_channels, 1, norm_layer, activate=False),
        )
        self.has_shortcut = (stride, in_channels) == (1, out_channels)
        self.drop_probability = drop_probability

    def forward(self, x):
        if not self.has_shortcut:
            return self.block(x)
        p = self.drop_probability
        if not self.training or p == 0:
            return x + self.block(x)
        if p == 1:
            return x
        # One coin for each image.
        stays = (random_numbers(x.shape[0]) >= p).astype(x.dtype)
        return x + self.block(x) * Tensor(stays.reshape(-1, 1, 1, 1) / (1 - p))
