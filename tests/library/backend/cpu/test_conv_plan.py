<<<<<<< HEAD
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
=======
"""How a direct convolution is cut into work; ``test_conv.py`` computes with each way of it."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.backend.cpu.conv_plan import ConvPlan
from minicnn.backend.cpu.sweep import forward_sweep
from minicnn.backend.cpu.tiles import panel_widths
from tests.library.support.convolutions import WAYS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workers", [1, 3])
def test_every_position_and_filter_is_computed_once(way: str, workers: int) -> None:
    (n, channels, height, width), (filters, *_), window = WAYS[way]
    sweep = forward_sweep(window, (height, width))
    x_shape, y_shape = (n, height, width, channels), (n, *sweep.count, filters)
    dtype = np.dtype(np.float32)
    plan = ConvPlan(sweep, x_shape, y_shape, 1, dtype, None, False, workers, channels * 4, filters * 4)
    assert plan.way == way.split(",")[0]
    step = filters * 4
    written = np.concatenate([tile["write"] // step + np.arange(tile["rows"]) for tile in plan.tiles])
    rows = int(plan.blocks["rows"][0]) if plan.way == "blocks" else n * sweep.count[0]
    assert sorted(written) == list(range(rows * sweep.count[1]))
    assert len(plan.panels) == len(panel_widths(filters, 4)) and plan.panels["lanes"].sum() == filters
>>>>>>> refs/heads/cpuconv
