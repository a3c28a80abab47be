"""Homework 3, googlenet.py: the holes, filled in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.models.input_size import require_size
from minicnn.nn import functional as F
from minicnn.ops import cat
from minicnn.tensors import Tensor

if TYPE_CHECKING:
    from minicnn.models.googlenet import SMALLEST_INPUT, BasicConv2d, GoogLeNetOutputs, renormalise


class NaiveInception:
    def __init__(self, in_channels, ch1x1, ch3x3, ch5x5, variant):
        super().__init__()
        widths_and_kernels = [(ch1x1, 1), (ch3x3, 3), (ch5x5, 5)]
        for number, (width, kernel) in enumerate(widths_and_kernels, 1):
            branch = BasicConv2d(in_channels, width, variant, kernel_size=kernel, padding=(kernel - 1) // 2)
            setattr(self, f"branch{number}", branch)
        self.branch4 = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        return cat([branch(x) for branch in (self.branch1, self.branch2, self.branch3, self.branch4)], dim=1)


def reduced(in_channels: int, narrow: int, wide: int, kernel: int, variant: str) -> nn.Sequential:
    """1x1 to ``narrow`` channels, then the real convolution."""
    reduction = BasicConv2d(in_channels, narrow, variant, kernel_size=1)
    return nn.Sequential(reduction, BasicConv2d(narrow, wide, variant, kernel_size=kernel, padding=kernel // 2))


class Inception:
    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj, variant):
        super().__init__()
        five = {"paper": 5, "torchvision": 3}[variant]
        self.branch1 = BasicConv2d(in_channels, ch1x1, variant, kernel_size=1)
        self.branch2 = reduced(in_channels, ch3x3red, ch3x3, 3, variant)
        self.branch3 = reduced(in_channels, ch5x5red, ch5x5, five, variant)
        projection = BasicConv2d(in_channels, pool_proj, variant, kernel_size=1)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), projection)

    def forward(self, x):
        found = self.branch1(x)
        for branch in (self.branch2, self.branch3, self.branch4):
            found = cat([found, branch(x)], 1)
        return found


class InceptionAux:
    def forward(self, x):
        height, width = x.shape[-2:]
        fits = 14 <= height <= 16 and 14 <= width <= 16
        if fits and self.variant == "paper":
            # Four by four windows, each averaged by hand.
            rows = [x[:, :, 3 * i : 3 * i + 5] for i in range(4)]
            cells = [[row[:, :, :, 3 * j : 3 * j + 5].mean((2, 3), keepdim=True) for j in range(4)] for row in rows]
            pooled = cat([cat(row, 3) for row in cells], 2)
        else:
            pooled = F.adaptive_avg_pool2d(x, (4, 4))
        hidden = self.fc1(self.conv(pooled).flatten(1)).relu()
        return self.fc2(F.dropout(hidden, self.dropout.p, training=self.training))


def auxiliary_loss(outputs, target, criterion, weight):
    if isinstance(outputs, Tensor):
        return criterion(outputs, target)
    total = criterion(outputs[0], target)
    for i in range(1, len(outputs)):
        total = total + criterion(outputs[i], target) * weight
    return total


class GoogLeNet:
    def forward(self, x):
        require_size(x, SMALLEST_INPUT[self.variant])
        order = (
            "conv1 maxpool1 norm1 conv2 conv3 norm2 maxpool2 inception3a inception3b maxpool3 inception4a inception4b"
        )
        order += " inception4c inception4d inception4e maxpool4 inception5a inception5b avgpool"
        if self.transform_input:
            x = renormalise(x)
        kept = {}
        for name in order.split():
            module = getattr(self, name)
            if module is not None:
                kept[name] = x = module(x)
        logits = self.fc(self.dropout(x.reshape(x.shape[0], -1)))
        if not self.training or not self.aux_logits:
            return logits
        return GoogLeNetOutputs(
            logits, aux_logits1=self.aux1(kept["inception4a"]), aux_logits2=self.aux2(kept["inception4d"])
        )
