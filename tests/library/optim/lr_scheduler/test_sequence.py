"""Schedules one after the other, and together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.optim import lr_scheduler
from tests.library.support.schedules import RATES, assert_equal_rates, both, drawn_schedule, follow, make_optimizer


@given(parts=st.lists(drawn_schedule, min_size=1, max_size=3), data=st.data())
def test_schedules_one_after_the_other_equal_pytorch(parts: Any, data: Any) -> None:
    count = len(parts) - 1
    milestones = sorted(data.draw(st.lists(st.integers(1, 40), min_size=count, max_size=count, unique=True)))

    def make(module: Any, optimizer: Any) -> list[Any]:
        children = [getattr(module, name)(optimizer, **options) for name, options in parts]
        return [module.SequentialLR(optimizer, children, milestones=milestones)]

    assert_equal_rates(*both(make))


def test_warm_up_then_cosine() -> None:
    optimizer = make_optimizer()
    warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=4)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=16)
    rates = follow(optimizer, [lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], [4])], 20)[:, 0]
    np.testing.assert_allclose(rates[:4], 0.4 * np.array([0.2, 0.4, 0.6, 0.8]))
    expected = [0.2 * (1 + math.cos(math.pi * epoch / 16)) for epoch in range(17)]
    np.testing.assert_allclose(rates[4:], expected, atol=1e-15)


def test_a_sequence_within_a_sequence() -> None:
    def inner(optimizer: Any) -> Any:
        parts = [lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=99), lr_scheduler.ExponentialLR(optimizer, 0.5)]
        return lr_scheduler.SequentialLR(optimizer, parts, [2])

    expected = [0.5, 0.5, 1.0, 0.5, 0.25]
    for order in (["inner", "constant"], ["constant", "inner"]):
        optimizer = make_optimizer()
        parts = {"inner": inner(optimizer), "constant": lr_scheduler.ConstantLR(optimizer, 0.1, total_iters=99)}
        outer = lr_scheduler.SequentialLR(optimizer, [parts[name] for name in order], [5])
        rates = follow(optimizer, [outer], 9)[:, 0] / RATES[0]
        pieces = {"inner": expected, "constant": [0.1] * 5}
        np.testing.assert_allclose(rates, pieces[order[0]] + pieces[order[1]])
