"""Homework 4, resnet.py: the holes, filled in another way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.ops.joining import stack
from minicnn.tensors import Tensor

if TYPE_CHECKING:
    from minicnn.models.resnet import CONFIGS, PlainBlock, conv3x3


def residual_add(branch, shortcut):
    pair = [branch, shortcut]
    if len({tuple(x.shape) for x in pair}) > 1:
        raise ShapeError("branch and shortcut: " + " against ".join(str(x.shape) for x in pair))
    return stack(pair).sum(0)


def projection(in_planes, out_planes, stride, norm_layer):
    shortcut = nn.Sequential()
    shortcut.add_module("0", nn.Conv2d(in_planes, out_planes, (1, 1), (stride, stride), bias=False))
    shortcut.add_module("1", norm_layer(out_planes))
    return shortcut


class BasicBlock:
    def __init__(self, inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer, variant):
        super().__init__()
        for name, value, only in (("groups", groups, 1), ("base_width", base_width, 64), ("dilation", dilation, 1)):
            if value != only:
                raise ValueError(f"{name} (={value}) must be {only} in a basic block")
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        _add_pair(self, 1, conv3x3(inplanes, planes, stride), norm(planes))
        _add_pair(self, 2, conv3x3(planes, planes), norm(planes))
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        return _residual(self, x, 2)


class Bottleneck:
    def __init__(self, inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer, variant):
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        width = math.floor(planes * base_width / 64) * groups
        strides = {"paper": (stride, 1, 1), "torchvision": (1, stride, 1)}[variant]
        channels = (inplanes, width, width, self.expansion * planes)
        for i in range(3):
            kernel = 3 if i == 1 else 1
            conv = nn.Conv2d(
                channels[i],
                channels[i + 1],
                kernel,
                strides[i],
                padding=dilation * (kernel // 2),
                dilation=dilation if i == 1 else 1,
                groups=groups if i == 1 else 1,
                bias=False,
            )
            _add_pair(self, i + 1, conv, norm(channels[i + 1]))
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        return _residual(self, x, 3)


class ResNet:
    def _make_layer(self, block, planes, blocks, stride, dilate):
        def build(reads: int, step: int, dilation: int) -> nn.Module:
            shortcut = None
            if block is not PlainBlock and (reads, step) != (writes, 1):
                shortcut = projection(reads, writes, step, self._norm_layer)
            return block(
                reads,
                planes,
                stride=step,
                downsample=shortcut,
                groups=self.groups,
                base_width=self.base_width,
                dilation=dilation,
                norm_layer=self._norm_layer,
                variant=self.variant,
            )

        writes = planes * block.expansion
        first = build(self.inplanes, 1 if dilate else stride, self.dilation)
        self.dilation *= stride if dilate else 1
        self.inplanes = writes
        return nn.Sequential(first, *(build(writes, 1, self.dilation) for _ in range(blocks - 1)))

    def _forward_impl(self, x):
        stem = ("conv1", "bn1", "relu", "maxpool")
        stages = ("layer1", "layer2", "layer3", "layer4")
        for name in stem + stages:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


def _build(name, num_classes, options):
    row = CONFIGS[name]
    return ResNet(num_classes=num_classes, block=row[0], layers=list(row[1]), **options)


def _add_pair(block: nn.Module, number: int, conv: nn.Module, norm: nn.Module) -> None:
    setattr(block, f"conv{number}", conv)
    setattr(block, f"bn{number}", norm)


def _residual(block: nn.Module, x: Tensor, convolutions: int) -> Tensor:
    out = x
    for number in range(1, convolutions + 1):
        out = getattr(block, f"bn{number}")(getattr(block, f"conv{number}")(out))
        if number < convolutions:
            out = out.clamp(min=0)
    shortcut = x if block.downsample is None else block.downsample(x)
    return residual_add(shortcut, out).clamp(min=0)
