"""Concatenations that begin alike share their memory, and the gradients at them too; results are those of eager."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.models.densenet import DenseBlock
from minicnn.nn import functional as F
from tests.library.support.steps import Twins, images

GROWTH = 3
READERS = ("norm", "norm", "two norms", "conv", "both", "itself")
Layer = tuple[int, str, bool]  # how many of the images it joins, how it reads them, whether they are returned too


class Dense(nn.Module):
    """Each layer joins some of the images so far, the first ones, and adds new ones to the list."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = [(min(count, number + 1), *rest) for number, (count, *rest) in enumerate(layers)]
        self.norms = nn.ModuleList([nn.BatchNorm2d(GROWTH * count) for count, _, _ in self.layers])
        self.others = nn.ModuleList([nn.BatchNorm2d(GROWTH * count) for count, _, _ in self.layers])
        self.convs = nn.ModuleList([nn.Conv2d(GROWTH * count, GROWTH, 1, bias=False) for count, _, _ in self.layers])

    def forward(self, x: minicnn.Tensor) -> list[minicnn.Tensor]:
        images, returned = [x], []
        for (count, reader, kept), norm, other, conv in zip(
            self.layers, self.norms, self.others, self.convs, strict=True
        ):
            joined: Any = minicnn.cat(images[:count], 1)
            read = {
                "norm": lambda: F.relu(norm(joined)),  # noqa: B023
                "two norms": lambda: F.relu(norm(joined)) + other(joined),  # noqa: B023
                "conv": lambda: joined,  # noqa: B023
                "both": lambda: F.relu(norm(joined)) + joined,  # noqa: B023
                "itself": lambda: F.relu(norm(joined) + joined),  # noqa: B023
            }[reader]()
            images.append(conv(read))
            returned += [joined] if kept else []
        return [*returned, images[-1]]


layers = st.lists(
    st.tuples(st.sampled_from([99, 99, 99, 1, 2]), st.sampled_from(READERS), st.sampled_from([False, False, True])),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers, st.integers(0, 99))
def test_random_dense_networks(layers: list[Layer], seed: int) -> None:
    minicnn.manual_seed(seed)
    twins = Twins(Dense(layers).double(), 1e-9)
    for step in range(2):
        twins.step(images((2, GROWTH, 4, 5), "float64", seed + step), input_grad=step == 1)


@pytest.mark.parametrize("training", [True, False])
def test_a_dense_block_copies_each_image_once(training: bool) -> None:
    network = nn.Sequential(DenseBlock(4, 8, 4, drop_rate=0, memory_efficient=False), nn.BatchNorm2d(24))
    twins = Twins(network.train(training), 1e-2)
    twins.step(images((2, 8, 6, 6)))
    (plan,) = twins.compiled.plans.values()
    assert str(plan).count("only what is new is copied") == 5 and "cat_channels" not in str(plan)


def test_what_is_returned_shares_nothing() -> None:
    twins = Twins(Dense([(99, "norm", True)] * 3), 1e-2)
    twins.step(images((2, GROWTH, 4, 4)))
    (plan,) = twins.compiled.plans.values()
    assert "only what is new is copied" not in str(plan)
