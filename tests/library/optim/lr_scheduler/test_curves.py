"""The schedules that are functions of the epoch: PyTorch's rates, and the formulas."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.optim import lr_scheduler
from tests.library.support import peers
from tests.library.support.schedules import (
    EPOCHS,
    RATES,
    SCHEDULES,
    assert_equal_rates,
    both,
    drawn_schedule,
    follow,
    make_optimizer,
)


@pytest.mark.parametrize("name", SCHEDULES)
@given(data=st.data())
def test_fifty_epochs_equal_pytorch(name: str, data: Any) -> None:
    options = data.draw(SCHEDULES[name])
    assert_equal_rates(*both(lambda module, optimizer: [getattr(module, name)(optimizer, **options)]))


@given(schedule=drawn_schedule, epoch=st.integers(0, 60))
def test_jumping_to_an_epoch_equals_pytorch(schedule: Any, epoch: int) -> None:
    name, options = schedule
    rates = []
    for library in (minicnn, peers.torch()):
        optimizer = make_optimizer(library)
        scheduler = getattr(library.optim.lr_scheduler, name)(optimizer, **options)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's advice against the argument
            scheduler.step(epoch)
        rates.append(scheduler.get_last_lr())
    assert_equal_rates(*rates)


# Not the warm restarts: PyTorch begins the first period here, minicnn goes on in the one the epoch belongs to.
@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"CosineAnnealingWarmRestarts"}))
@given(data=st.data())
def test_starting_in_the_middle_equals_pytorch(name: str, data: Any) -> None:
    options = data.draw(SCHEDULES[name])
    last_epoch = data.draw(st.integers(0, 30))

    def make(module: Any, optimizer: Any) -> list[Any]:
        for group in optimizer.param_groups:
            group["initial_lr"] = 3 * group["lr"]
        return [getattr(module, name)(optimizer, last_epoch=last_epoch, **options)]

    assert_equal_rates(*both(make, epochs=20))


FORMULAS: list[tuple[str, dict[str, Any], Callable[[int], float]]] = [
    ("StepLR", {"step_size": 7, "gamma": 0.5}, lambda e: 0.5 ** (e // 7)),
    ("MultiStepLR", {"milestones": [30, 10, 10], "gamma": 0.5}, lambda e: 0.5 ** (2 * (e >= 10) + (e >= 30))),
    ("ExponentialLR", {"gamma": 0.9}, lambda e: 0.9**e),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}, lambda e: 0.25 if e < 4 else 1.0),
    ("LinearLR", {"start_factor": 0.1, "total_iters": 9}, lambda e: 0.1 + 0.9 * min(e, 9) / 9),
    ("CosineAnnealingLR", {"T_max": 20}, lambda e: (1 + math.cos(math.pi * e / 20)) / 2),
    ("CosineAnnealingWarmRestarts", {"T_0": 10}, lambda e: (1 + math.cos(math.pi * (e % 10) / 10)) / 2),
    ("LambdaLR", {"lr_lambda": lambda e: 1 / (e + 1)}, lambda e: 1 / (e + 1)),
]


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=[name for name, _, _ in FORMULAS])
def test_rates_follow_the_formula(name: str, options: dict[str, Any], formula: Callable[[int], float]) -> None:
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    expected = np.outer([formula(epoch) for epoch in range(EPOCHS + 1)], RATES)
    np.testing.assert_allclose(follow(optimizer, [scheduler]), expected, rtol=1e-9, atol=1e-15)
