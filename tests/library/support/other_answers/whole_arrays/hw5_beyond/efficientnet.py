"""Homework 5, efficientnet.py: the holes, filled in another way."""

from math import exp, log
from typing import TYPE_CHECKING

from minicnn import nn, ones
from minicnn.models.senet import SqueezeExcitation

if TYPE_CHECKING:
    from minicnn.models.efficientnet import ALPHA_DEPTH, BETA_WIDTH, GAMMA_RESOLUTION, TABLE_1, ConvNorm


def compound_scaling(phi):
    return exp(phi * log(ALPHA_DEPTH)), exp(phi * log(BETA_WIDTH)), exp(phi * log(GAMMA_RESOLUTION))


def scale_channels(channels, width):
    scaled = channels * width
    candidates = range(8, 8 * (2 + int(scaled) // 8) + 8, 8)
    allowed = [number for number in candidates if number >= 0.9 * scaled]
    return min(allowed, key=lambda number: (abs(number - scaled), -number))


def scale_blocks(blocks, depth):
    return -int(-blocks * depth // 1)


def scaled_stages(width, depth):
    _, _, _, channels, blocks, _ = zip(*TABLE_1, strict=True)
    return list(
        zip((scale_channels(c, width) for c in channels), (scale_blocks(b, depth) for b in blocks), strict=True)
    )


class MBConv:
    def __init__(self, in_channels, out_channels, kernel, stride, expansion, drop_probability, norm_layer):
        super().__init__()
        self.block = nn.Sequential()
        self.drop_probability = drop_probability
        self.has_shortcut = not (stride > 1 or in_channels != out_channels)
        wide = scale_channels(in_channels, expansion)
        if in_channels != wide:
            self.block.append(ConvNorm(in_channels, wide, 1, norm_layer))
        self.block.append(ConvNorm(wide, wide, kernel, norm_layer, groups=wide, stride=stride))
        self.block.append(SqueezeExcitation(wide, max(in_channels // 4, 1), lambda z: z * z.sigmoid()))
        self.block.append(ConvNorm(wide, out_channels, 1, norm_layer, activate=False))

    def forward(self, x):
        branch = self.block(x)
        if not self.has_shortcut:
            return branch
        if self.training:
            # Dropout on a column of ones decides for each image, and scales what stays.
            branch = branch * nn.functional.dropout(ones(len(x), 1, 1, 1, dtype=x.dtype), self.drop_probability)
        return branch + x
