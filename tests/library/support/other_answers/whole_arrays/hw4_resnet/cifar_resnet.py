"""Homework 4, cifar_resnet.py: the holes, filled in another way."""

from __future__ import annotations

import minicnn
from minicnn import nn
from minicnn.models.resnet import PlainBlock
from minicnn.nn import functional as F


class ZeroPadShortcut:
    def forward(self, x):
        kept = F.max_pool2d(x, kernel_size=1, stride=self.stride)  # the largest of one pixel is that pixel
        into = minicnn.cat([minicnn.eye(x.shape[1]), minicnn.zeros(self.new_channels, x.shape[1])])
        return F.conv2d(kept, into.to(x.dtype).reshape(*into.shape, 1, 1))


def blocks_per_stage(depth):
    if depth in (2, 1, 0) or depth < 0:
        raise ValueError("too few layers")
    if depth == 8:
        return 1
    if depth < 8:
        raise ValueError("not 6n + 2 layers")
    return 1 + _blocks_of_large(depth - 6)


class CifarResNet:
    def _make_layer(self, block, planes, blocks, stride):
        reads = [self.inplanes] + [planes] * (blocks - 1)
        steps = [stride] + [1] * (blocks - 1)
        self.inplanes = planes
        shortcuts = [
            None if block is PlainBlock or (c == planes and s == 1) else ZeroPadShortcut(c, planes, s)
            for c, s in zip(reads, steps, strict=False)
        ]
        return nn.Sequential(*(block(c, planes, s, m) for c, s, m in zip(reads, steps, shortcuts, strict=False)))


def _blocks_of_large(depth: int) -> int:
    whole, rest = depth // 6, depth % 6
    if rest != 2:
        raise ValueError("not 6n + 2 layers")
    return whole
