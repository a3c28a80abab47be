"""The schedule that watches a metric: PyTorch's, by hand, and resumed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.optim import lr_scheduler
from tests.library.support import peers
from tests.library.support.schedules import RATES, assert_equal_rates, make_optimizer


@given(
    mode=st.sampled_from(["min", "max"]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 4),
    min_lr=st.sampled_from([0.0, 0.005, [0.1, 0.001]]),
    eps=st.sampled_from([1e-8, 0.01]),
    metrics=st.lists(st.floats(-3, 3), min_size=10, max_size=30),
)
def test_plateaus_are_noticed_as_in_pytorch(metrics: list[float], **options: Any) -> None:
    results = []
    for library in (minicnn, peers.torch()):
        optimizer = make_optimizer(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, **options)
        rates = []
        for metric in metrics:
            scheduler.step(library.tensor(metric) if metric > 0 else metric)
            rates.append(list(scheduler.get_last_lr()))
        results.append(rates)
    assert_equal_rates(*results)


def test_a_plateau_by_hand() -> None:
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1)
    rates = []
    for loss in [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"] / RATES[0])
    #   best, better, bad, second bad: halve, (cooldown), bad, second bad: halve
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_a_resumed_plateau_remembers() -> None:
    first = make_optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(first, patience=2)
    for loss in (1.0, 1.0, 1.0):
        scheduler.step(loss)
    second = make_optimizer()
    resumed = lr_scheduler.ReduceLROnPlateau(second, patience=2)
    resumed.load_state_dict(scheduler.state_dict())
    resumed.step(1.0)
    assert second.param_groups[0]["lr"] == pytest.approx(0.04)
