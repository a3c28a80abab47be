"""The ways in which a convolution is cut into work."""

from __future__ import annotations

from typing import Any

import pytest

from minicnn.backend.cpu import conv, conv_plan, memory
from minicnn.backend.reference import conv as reference
from tests.library.support import strategies
from tests.library.support.convolutions import WAYS, agree


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_cutting_the_work(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x_shape, weight_shape, window = WAYS[way]
    x = strategies.normal(x_shape, 0).astype("float32")
    weight = strategies.normal(weight_shape, 1).astype("float32")
    taken = []

    def noted(*args: Any) -> conv_plan.ConvPlan:  # nothing from a cache
        taken.append(conv_plan.ConvPlan(*args))
        return taken[-1]

    monkeypatch.setattr(conv, "conv_plan", noted)
    monkeypatch.setattr(conv_plan, "BLOCK_BYTES", 1 << 14)  # several blocks an image
    with memory.guarded():
        agree(conv.conv2d(x, weight, window), reference.conv2d(x, weight, window))
    assert taken[0].way == way.split(",")[0]
    assert way != "blocks" or taken[0].blocks["blocks"][0] > 2
    assert way != "direct, one row" or int(taken[0].tiles["rows"].sum()) == 2 * 9 * 8
