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
