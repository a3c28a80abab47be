"""Homework 3, googlenet.py: the holes, filled in another way."""

from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.models.input_size import require_size
from minicnn.ops import cat
from minicnn.tensors import Tensor

if TYPE_CHECKING:
    from minicnn.models.googlenet import SMALLEST_INPUT, BasicConv2d, GoogLeNetOutputs, renormalise


class NaiveInception:
    def __init__(self, in_channels, ch1x1, ch3x3, ch5x5, variant):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, variant=variant, kernel_size=(1, 1))
        self.branch2 = BasicConv2d(in_channels, ch3x3, variant=variant, kernel_size=(3, 3), padding="same")
        self.branch3 = BasicConv2d(in_channels, ch5x5, variant=variant, kernel_size=(5, 5), padding="same")
        self.branch4 = nn.MaxPool2d((3, 3), stride=(1, 1), padding=(1, 1))

    def forward(self, x):
        a, b, c, d = self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)
        return cat((cat((a, b), 1), cat((c, d), 1)), -3)


class Inception:
    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj, variant):
        super().__init__()

        def unit(channels: int, filters: int, size: int) -> BasicConv2d:
            return BasicConv2d(channels, filters, variant=variant, kernel_size=size, padding="same")

        self.branch1 = unit(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(unit(in_channels, ch3x3red, 1), unit(ch3x3red, ch3x3, 3))
        size = 3 if variant == "torchvision" else 5
        self.branch3 = nn.Sequential(unit(in_channels, ch5x5red, 1), unit(ch5x5red, ch5x5, size))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, pool_proj, 1))

    def forward(self, x):
        # The channels first, so that the maps can simply be stacked.
        found = [getattr(self, f"branch{i}")(x).transpose(0, 1) for i in (1, 2, 3, 4)]
        return cat(found, 0).transpose(0, 1)


class InceptionAux:
    def forward(self, x):
        adaptive = self.variant != "paper" or min(x.shape[2:]) < 14 or max(x.shape[2:]) > 16
        pooled = nn.AdaptiveAvgPool2d((4, 4))(x) if adaptive else nn.AvgPool2d(5, stride=3)(x)
        values = self.conv(pooled).reshape(len(x), 128 * 16)
        values = nn.ReLU()(self.fc1(values))
        if self.training:
            values = self.dropout(values)
        return self.fc2(values)


def auxiliary_loss(outputs, target, criterion, weight):
    parts = list(outputs) if isinstance(outputs, tuple) else [outputs]
    weights = [1.0] + [weight] * (len(parts) - 1)
    losses = [w * criterion(part, target) for w, part in zip(weights, parts, strict=True)]
    return sum(losses[1:], losses[0])


class GoogLeNet:
    def forward(self, x):
        require_size(x, SMALLEST_INPUT[self.variant])
        stem = [self.conv1, self.maxpool1, self.norm1, self.conv2, self.conv3, self.norm2, self.maxpool2]
        lower = [self.inception3a, self.inception3b, self.maxpool3, self.inception4a]
        upper = [self.inception4e, self.maxpool4, self.inception5a, self.inception5b, self.avgpool]

        def through(modules: list, maps: Tensor) -> Tensor:
            return nn.Sequential(*(module for module in modules if module is not None))(maps)

        after_4a = through(stem + lower, renormalise(x) if self.transform_input else x)
        after_4d = through([self.inception4b, self.inception4c, self.inception4d], after_4a)
        auxiliary = ()
        if self.training and self.aux_logits:
            auxiliary = (self.aux2(after_4d), self.aux1(after_4a))
        logits = self.fc(self.dropout(through(upper, after_4d).mean((2, 3))))
        return GoogLeNetOutputs(logits, *auxiliary) if auxiliary else logits
