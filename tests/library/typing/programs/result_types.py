"""What an editor believes that calls return."""

from __future__ import annotations

from typing import Any, assert_type

import minicnn as torch
from minicnn import Tensor, models, nn
from minicnn.models.googlenet import GoogLeNet
from minicnn.models.resnet import ResNet

x = torch.randn(2, 3, 4)
assert_type(torch.tensor([1.0]), Tensor)
assert_type(x.sum(1), Tensor)
assert_type(x.add_(1), Tensor)
assert_type(x == 1, Tensor)
assert_type(2 - x, Tensor)
assert_type(x[0], Tensor)
assert_type(x.T, Tensor)
assert_type(x.float(), Tensor)
assert_type(x.max(), Tensor)
values, indices = x.max(1)
assert_type(values, Tensor)
assert_type(indices, Tensor)
assert_type(torch.min(x, 1).indices, Tensor)
assert_type(x.topk(2).values, Tensor)
assert_type(x.chunk(2), tuple[Tensor, ...])
assert_type(x.shape, tuple[int, ...])
assert_type(x.size(), tuple[int, ...])
assert_type(x.size(0), int)
assert_type(x.dim(), int)
assert_type(x.is_contiguous(), bool)
assert_type(torch.equal(x, x), bool)
assert_type(x.grad, Tensor | None)
assert_type(x.requires_grad_(), Tensor)
assert_type(x.device, torch.device)
assert_type(list(iter(x)), list[Tensor])
assert_type(torch.nn.functional.relu(x), Tensor)
assert_type(torch.zeros_like(x), Tensor)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x), x


def first(module: nn.Module) -> None:
    assert_type(module(x), Any)


pair = Pair()
first(pair)
assert_type(pair(x), tuple[Tensor, Tensor])
assert_type(pair.linear, nn.Linear)
assert_type(pair.linear(x), Tensor)
assert_type(pair.linear.weight, nn.Parameter)
assert_type(pair.eval(), Pair)
assert_type(torch.compile(pair), Pair)
assert_type(pair.state_dict()["linear.weight"], Tensor)
assert_type(nn.Sequential(nn.ReLU())(x), Tensor)
assert_type(nn.Sequential(nn.ReLU())[0], nn.Module)
assert_type(nn.CrossEntropyLoss()(x[:, :, 0], torch.tensor([0, 1])), Tensor)
assert_type(models.resnet18(num_classes=2), ResNet)
assert_type(models.googlenet(num_classes=2), GoogLeNet)
