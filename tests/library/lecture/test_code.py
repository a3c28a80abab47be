"""The lecture's own PyTorch code runs unchanged with minicnn in torch's place (L2.2.7).

First a network written the way the lecture writes it; then the files it reads, torchvision's published ones for
ResNet, AlexNet, VGG, GoogLeNet and DenseNet, taken from where torchvision is installed.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import models
from minicnn.models.resnet import BasicBlock, Bottleneck, ResNet
from tests.library.support import peers, torch_standin
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    calibrated,
    drawn,
    evaluation_error,
    images,
    labels,
    same_weights,
    training_errors,
)

# ------------------------------------------------------------ without torchvision

RESIDUAL_NETWORK = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class Block(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, norm_layer=nn.BatchNorm2d):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Net(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(Block, 8, 2)
        self.layer2 = self._make_layer(Block, 16, 2, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16 * Block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes * block.expansion, 1, stride, bias=False),
                nn.BatchNorm2d(planes * block.expansion),
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def _forward_impl(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)

    def forward(self, x):
        return self._forward_impl(x)


def train(net, x, y, steps):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    losses = []
    net.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(net, x, y):
    net.eval()
    return (net(x).argmax(dim=1) == y).float().mean().item()
"""


def lecture_code(torch: ModuleType) -> Any:
    return torch_standin.run(RESIDUAL_NETWORK, torch)


def test_code_in_the_lectures_style_trains() -> None:
    minicnn.manual_seed(0)
    code = lecture_code(minicnn)
    x, y = minicnn.tensor(images((16, 3, 8, 8))), minicnn.tensor(labels(16, 10))
    net = code.Net()
    losses = code.train(net, x, y, steps=40)
    assert losses[-1] < 0.1 * losses[0]
    assert code.accuracy(net, x, y) == 1.0


def test_code_in_the_lectures_style_trains_as_with_torch() -> None:
    """The same losses for ten steps of SGD with momentum and weight decay, from the same weights."""
    torch = peers.torch()
    peer = lecture_code(torch).Net().double()
    code = lecture_code(minicnn)
    net = same_weights(code.Net().double(), peer)
    x, y = images((8, 3, 8, 8), np.float64), labels(8, 10)
    expected = lecture_code(torch).train(peer, torch.from_numpy(x), torch.from_numpy(y), steps=10)
    losses = code.train(net, minicnn.tensor(x), minicnn.tensor(y), steps=10)
    assert losses == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------ torchvision's files, unchanged


def pair(file: str, builder: str, **options: Any) -> tuple[Any, Any]:
    """The network of a model file, built with minicnn (its weights undrawn) and with PyTorch."""
    with minicnn.nn.init.skip():
        model = getattr(torch_standin.run_model_file(file, minicnn), builder)(**options)
    code = torch_standin.run_model_file(file, peers.torch())
    return model, drawn(lambda: getattr(code, builder)(**options))


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch looks for the text of the executed source
@pytest.mark.parametrize(
    ("file", "builder", "side", "options"),
    [
        ("resnet", "resnet18", 33, {}),
        ("resnet", "resnet50", 33, {}),
        ("alexnet", "alexnet", 64, {}),
        ("vgg", "vgg11_bn", 32, {}),
        ("googlenet", "googlenet", 64, {"init_weights": True}),
        ("densenet", "densenet121", 64, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_published_file_gives_the_same_logits(file: str, builder: str, side: int, options: dict) -> None:
    model, peer = pair(file, builder, **options)
    shape = (2, 3, side, side)
    same_weights(model, calibrated(peer, shape))
    assert evaluation_error(model, peer, shape) <= LOGITS_FLOAT32


def combined(output: Any) -> Any:
    """The logits; with GoogLeNet's in training, those of its two auxiliary classifiers too."""
    if isinstance(output, tuple):
        return output.logits + 0.3 * (output.aux_logits1 + output.aux_logits2)
    return output


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("file", "builder", "options"),
    [
        ("resnet", "resnet18", {}),
        ("resnet", "resnet50", {}),
        ("googlenet", "googlenet", {"init_weights": True, "dropout": 0.0, "dropout_aux": 0.0}),
        ("densenet", "densenet121", {}),
        pytest.param("densenet", "densenet121", {"memory_efficient": True}, marks=pytest.mark.slow(seconds=6)),
    ],
    ids=["resnet18", "resnet50", "googlenet", "densenet121", "densenet121, checkpointed"],
)
def test_published_file_gives_the_same_gradients(file: str, builder: str, options: dict) -> None:
    """Also DenseNet's memory-efficient form, whose layers are computed again in backward."""
    model, peer = pair(file, builder, num_classes=10, **options)
    shape = (2, 3, 64, 64)
    same_weights(model, calibrated(peer, shape))
    errors = training_errors(model, peer, shape, combined)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= GRADIENTS_FLOAT64, worst


@pytest.mark.parametrize(("name", "block"), [("resnet18", BasicBlock), ("resnet50", Bottleneck)])
def test_minicnns_resnet_has_the_anatomy_of_the_lectures(name: str, block: type) -> None:
    """The same keys, in the same order, for the same logits; the same methods, with the same arguments first."""
    code = torch_standin.run_model_file("resnet", minicnn)
    theirs = getattr(code, name)(num_classes=10).eval()
    ours = models.create_model(name, num_classes=10, variant="torchvision").eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [path for path, _ in ours.named_modules()] == [path for path, _ in theirs.named_modules()]
    ours.load_state_dict(theirs.state_dict())
    x = minicnn.tensor(images((1, 3, 64, 64)))
    with minicnn.no_grad():
        assert np.array_equal(ours(x).numpy(), theirs(x).numpy())

    def arguments(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    for mine, read in ((ResNet, code.ResNet), (block, getattr(code, block.__name__))):
        wanted = arguments(read)
        assert arguments(mine)[: len(wanted)] == wanted
        methods = [method for method, _ in inspect.getmembers(read, inspect.isfunction) if method in vars(read)]
        assert {"forward"} <= set(methods) <= set(vars(mine))
    assert arguments(ResNet._make_layer) == arguments(code.ResNet._make_layer)
