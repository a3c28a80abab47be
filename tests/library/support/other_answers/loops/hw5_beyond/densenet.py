"""Homework 5, densenet.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.ops import cat

if TYPE_CHECKING:
    from minicnn.models.densenet import BOTTLENECK, COMPRESSION


class DenseLayer:
    def __init__(self, in_channels, growth_rate, drop_rate, memory_efficient):
        super().__init__()
        self.drop_rate, self.memory_efficient = drop_rate, memory_efficient
        channels = [in_channels, BOTTLENECK * growth_rate, growth_rate]
        for number, kernel in ((1, 1), (2, 3)):
            before, behind = channels[number - 1], channels[number]
            self.add_module(f"norm{number}", nn.BatchNorm2d(before))
            self.add_module(f"relu{number}", nn.ReLU())
            self.add_module(f"conv{number}", nn.Conv2d(before, behind, kernel, padding=kernel // 2, bias=False))

    def squeeze(self, *earlier):
        everything = earlier[0]
        for output in earlier[1:]:
            everything = cat([everything, output], 1)
        return self.conv1(nn.functional.relu(self.norm1(everything)))

    def grow(self, x):
        x = self.conv2(nn.functional.relu(self.norm2(x)))
        return nn.Dropout(self.drop_rate)(x) if self.training else x


class DenseBlock:
    def __init__(self, layers, in_channels, growth_rate, drop_rate, memory_efficient):
        super().__init__()
        channels = in_channels
        for number in range(1, layers + 1):
            layer = DenseLayer(channels, growth_rate, drop_rate=drop_rate, memory_efficient=memory_efficient)
            self.update({f"denselayer{number}": layer})
            channels += growth_rate

    def forward(self, x):
        # Only one tensor is kept, and it grows: a layer does not mind getting its input in one piece.
        for layer in self.values():
            x = cat([x, layer([x])], 1)
        return x


class Transition:
    def __init__(self, in_channels, out_channels):
        super().__init__()
        layers = {
            "norm": nn.BatchNorm2d(in_channels),
            "relu": nn.ReLU(),
            "conv": nn.Conv2d(in_channels, out_channels, 1, bias=False),
            "pool": nn.AvgPool2d(2),
        }
        for name, layer in layers.items():
            self.add_module(name, layer)


def compressed(channels):
    kept = 0
    while (kept + 1) / channels <= COMPRESSION:
        kept += 1
    return kept
