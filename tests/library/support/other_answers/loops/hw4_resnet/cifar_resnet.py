"""Homework 4, cifar_resnet.py: the holes, filled in another way."""

import minicnn
from minicnn import nn
from minicnn.models.resnet import PlainBlock


class ZeroPadShortcut:
    def forward(self, x):
        n, c, h, w = x.shape
        rows = list(range(0, h, self.stride))
        columns = list(range(0, w, self.stride))
        kept = x[:, :, rows][:, :, :, columns]
        if self.new_channels == 0:
            return kept
        zeros = minicnn.zeros(n, self.new_channels, len(rows), len(columns), dtype=x.dtype)
        return minicnn.cat([kept, zeros], dim=1)


def blocks_per_stage(depth):
    n = 1
    while 6 * n + 2 < depth:
        n += 1
    if 6 * n + 2 != depth:
        raise ValueError(f"a network of {depth} layers cannot be built")
    return n


class CifarResNet:
    def _make_layer(self, block, planes, blocks, stride):
        stage = nn.Sequential()
        for number in range(blocks):
            step = stride if number == 0 else 1
            shortcut = None
            if block is not PlainBlock and (step != 1 or self.inplanes != planes):
                shortcut = ZeroPadShortcut(self.inplanes, planes, step)
            stage.append(block(self.inplanes, planes, step, shortcut))
            self.inplanes = planes
        return stage
