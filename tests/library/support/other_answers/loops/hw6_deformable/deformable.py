"""Homework 6, deformable.py: the holes, filled in another way."""

import numpy as np

from minicnn import nn


class OffsetConv2d:
    def __init__(self, *args, modulated, **options):
        super().__init__(*args, **options)
        self.modulated, self.taps = modulated, int(np.prod(self.kernel_size))
        self.offsets = nn.Conv2d(
            self.in_channels,
            2 * self.taps + self.taps * modulated,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
        nn.init.constant_(self.offsets.weight, 0.0)
        nn.init.constant_(self.offsets.bias, 0.0)

    def where(self, x):
        says = self.offsets(x)
        if self.modulated:
            return says[:, : -self.taps], 1 / (1 + (-says[:, -self.taps :]).exp())
        return says, None

    def forward(self, x):
        offset, mask = self.where(x)
        return nn.functional.deform_conv2d(
            x, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )
