"""Random small networks in training: compiled as eager, whatever stands behind what."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.nn import functional as F
from tests.library.support.steps import Twins, images

CHANNELS = 4
LAYERS = ("conv", "norm", "relu", "add", "conv", "norm", "relu", "add", "silu", "cat", "pool", "gate", "drop", "keep",
          "in place", "no grad", "double")  # fmt: skip
Instruction = tuple[str, int, int, int]  # what, two values by number, which of a few layers: weights may be shared


class Network(nn.Module):
    """Instructions on a growing list of images of one size; returns the last value, and two others' means."""

    def __init__(self, instructions: list[Instruction], extra: int) -> None:
        super().__init__()
        self.instructions, self.extra = instructions, extra
        self.first = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(CHANNELS, CHANNELS, 1 + 2 * (i % 2), padding=i % 2, bias=i > 1, groups=i % 2 + 1)
                for i in range(4)
            ]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(CHANNELS, affine=i > 0) for i in range(3)])
        self.joins = nn.ModuleList([nn.Conv2d(2 * CHANNELS, CHANNELS, 1) for _ in range(2)])

    def forward(self, x: minicnn.Tensor) -> tuple[minicnn.Tensor, ...]:
        values = [self.first(x)]
        for what, i, j, layer in self.instructions:
            values.append(self.run(what, values[i % len(values)], values[j % len(values)], layer))
        return values[-1] * 1, values[self.extra % len(values)].mean((2, 3)), values[0].mean()

    def run(self, what: str, a: Any, b: Any, layer: int) -> Any:
        if what == "no grad":
            with minicnn.no_grad():
                return F.relu(self.norms[layer % 3](a))
        if what == "in place":
            c = a * 1
            c += b
            return c
        return {
            "conv": lambda: self.convs[layer % 4](a),
            "norm": lambda: self.norms[layer % 3](a),
            "relu": lambda: F.relu(a),
            "silu": lambda: F.silu(a),
            "add": lambda: a + b,
            "double": lambda: a + a,
            "cat": lambda: self.joins[layer % 2](minicnn.cat([a, b], 1)),
            "pool": lambda: F.max_pool2d(a, 3, 1, 1),
            "gate": lambda: a * F.sigmoid(F.adaptive_avg_pool2d(b, 1)),
            "drop": lambda: F.dropout(a, 0.3),
            "keep": lambda: a.detach(),
        }[what]()


place = st.one_of(st.integers(0, 2).map(lambda back: -1 - back), st.integers(0, 20))
instructions = st.lists(st.tuples(st.sampled_from(LAYERS), place, place, st.integers(0, 11)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instructions=instructions, extra=st.integers(0, 30), seed=st.integers(0, 99), small=st.booleans())
def test_random_networks(instructions: list[Instruction], extra: int, seed: int, small: bool) -> None:
    minicnn.manual_seed(seed)
    twins = Twins(Network(instructions, extra).double(), 1e-9, 1 << 14 if small else 0)
    for step in range(3):
        twins.step(images((2, 3, 5, 5), "float64", seed + step), input_grad=step == 2)
