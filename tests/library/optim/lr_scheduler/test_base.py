"""What all schedules share: rates changed by hand, two at once, state, and errors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.optim import SGD, lr_scheduler
from tests.library.support import peers
from tests.library.support.schedules import EPOCHS, assert_equal_rates, both, drawn_schedule, follow, make_optimizer

# ---- the same rates as PyTorch's -----------------------------------------------------------------------------


@given(first=drawn_schedule, second=drawn_schedule)
def test_two_schedules_of_one_optimizer_multiply_as_in_pytorch(first: Any, second: Any) -> None:
    assert_equal_rates(
        *both(lambda module, optimizer: [getattr(module, n)(optimizer, **o) for n, o in (first, second)])
    )


@given(schedule=drawn_schedule)
def test_a_rate_changed_by_hand_is_treated_as_in_pytorch(schedule: Any) -> None:
    name, options = schedule
    results = []
    for library in (minicnn, peers.torch()):
        optimizer = make_optimizer(library)
        scheduler = getattr(library.optim.lr_scheduler, name)(optimizer, **options)
        follow(optimizer, [scheduler], 3)
        optimizer.param_groups[0]["lr"] *= 0.5
        results.append(follow(optimizer, [scheduler], 20))
    assert_equal_rates(*results)


# ---- a schedule of one's own ---------------------------------------------------------------------------------


def test_a_schedule_of_ones_own_needs_only_get_lr() -> None:
    class Harmonic(lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base / (1 + self.last_epoch) for base in self.base_lrs]

    optimizer = make_optimizer()
    np.testing.assert_allclose(follow(optimizer, [Harmonic(optimizer)], 3)[:, 0], 0.4 / np.array([1, 2, 3, 4]))


# ---- state ---------------------------------------------------------------------------------------------------


@given(parts=st.lists(drawn_schedule, min_size=1, max_size=2), stop=st.integers(0, 30))
def test_a_resumed_schedule_goes_on_bit_identically(parts: Any, stop: int) -> None:
    def make(optimizer: Any) -> Any:
        children = [getattr(lr_scheduler, name)(optimizer, **options) for name, options in parts]
        if len(children) == 1:
            return children[0]
        return lr_scheduler.SequentialLR(optimizer, children, milestones=[10])

    through = make_optimizer()
    expected = follow(through, [make(through)])

    first = make_optimizer()
    scheduler = make(first)
    follow(first, [scheduler], stop)
    saved = json.loads(json.dumps([scheduler.state_dict(), first.state_dict()]))
    second = make_optimizer()
    resumed = make(second)
    resumed.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    assert resumed.last_epoch == stop
    np.testing.assert_array_equal(follow(second, [resumed], EPOCHS - stop), expected[stop:])


def test_callable_objects_are_saved_functions_are_not() -> None:
    class Slope:
        def __init__(self, slope: float) -> None:
            self.slope = slope

        def __call__(self, epoch: int) -> float:
            return 1 - self.slope * epoch

    saved = lr_scheduler.LambdaLR(make_optimizer(), [Slope(0.1), lambda epoch: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"slope": 0.1}, None]
    optimizer = make_optimizer()
    resumed = lr_scheduler.LambdaLR(optimizer, [Slope(0.5), lambda epoch: 1.0])
    resumed.load_state_dict(saved)
    np.testing.assert_allclose(follow(optimizer, [resumed], 1)[1], [0.36, 0.01])


def test_the_last_rates_are_a_copy() -> None:
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    scheduler.get_last_lr()[0] = 7.0
    assert scheduler.get_last_lr() == [0.2, 0.005] == [group["lr"] for group in optimizer.param_groups]


def test_a_saved_state_does_not_change_with_the_schedule_nor_the_schedule_with_it() -> None:
    optimizer = make_optimizer()
    for scheduler in (lr_scheduler.MultiStepLR(optimizer, [1, 2]), sequence(2, [3])):
        saved = scheduler.state_dict()
        saved["milestones"].append(9)
        saved["_last_lr"][0] = 9.0
        assert 9 not in scheduler.milestones and 9.0 not in scheduler.get_last_lr()
        saved = scheduler.state_dict()
        scheduler.load_state_dict(saved)
        saved["milestones"].append(9)
        assert 9 not in scheduler.milestones


# ---- errors --------------------------------------------------------------------------------------------------


def sequence(parts: int, milestones: list[int], optimizer: Any = None) -> Any:
    optimizer = optimizer or make_optimizer()
    children = [lr_scheduler.ConstantLR(optimizer) for _ in range(parts)]
    return lr_scheduler.SequentialLR(optimizer, children, milestones)


def other_state() -> None:
    saved = lr_scheduler.StepLR(make_optimizer(), 3).state_dict()
    lr_scheduler.CosineAnnealingLR(make_optimizer(), 10).load_state_dict(saved)


L = lr_scheduler
WRONG_CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no optimizer": (lambda: L.StepLR([1.0], 3), TypeError, "list"),
    "no optimizer, lambda": (lambda: L.LambdaLR(3, abs), TypeError, "int"),
    "step size": (lambda: L.StepLR(make_optimizer(), 0), ValueError, r"`step_size` \(=0\)"),
    "factor": (lambda: L.ConstantLR(make_optimizer(), 1.5), ValueError, r"`factor` \(=1.5\)"),
    "start": (lambda: L.LinearLR(make_optimizer(), start_factor=0), ValueError, r"`start_factor` \(=0\)"),
    "end": (lambda: L.LinearLR(make_optimizer(), end_factor=2), ValueError, r"`end_factor` \(=2\)"),
    "iterations": (lambda: L.LinearLR(make_optimizer(), total_iters=0), ValueError, r"`total_iters` \(=0\)"),
    "T_max": (lambda: L.CosineAnnealingLR(make_optimizer(), 0), ValueError, r"`T_max` \(=0\)"),
    "T_0": (lambda: L.CosineAnnealingWarmRestarts(make_optimizer(), 0), ValueError, r"`T_0` \(=0\)"),
    "lambdas": (lambda: L.LambdaLR(make_optimizer(), [abs]), ValueError, "expected 2 functions.*got 1"),
    "no schedules": (lambda: sequence(0, []), ValueError, "got 0 schedules"),
    "milestones": (lambda: sequence(2, [1, 2]), ValueError, r"milestones=\[1, 2\]"),
    "falling": (lambda: sequence(3, [5, 2]), ValueError, r"milestones=\[5, 2\]"),
    "jump": (lambda: sequence(2, [5]).step(3), ValueError, "epoch 3"),
    "stranger": (
        lambda: L.SequentialLR(make_optimizer(), [L.ConstantLR(make_optimizer())], []),
        ValueError,
        "another optimizer",
    ),
    "plateau in sequence": (
        lambda: L.SequentialLR(make_optimizer(), [L.ReduceLROnPlateau(make_optimizer())], []),
        ValueError,
        "ReduceLROnPlateau",
    ),
    "plateau factor": (lambda: L.ReduceLROnPlateau(make_optimizer(), factor=1.0), ValueError, r"`factor` \(=1.0\)"),
    "mode": (lambda: L.ReduceLROnPlateau(make_optimizer(), mode="low"), ValueError, "'low'"),
    "threshold": (lambda: L.ReduceLROnPlateau(make_optimizer(), threshold_mode="x"), ValueError, "'x'"),
    "min_lr": (lambda: L.ReduceLROnPlateau(make_optimizer(), min_lr=[0.1]), ValueError, "2 values in `min_lr`"),
    "middle": (lambda: L.StepLR(make_optimizer(), 3, last_epoch=5), KeyError, "initial_lr"),
    "other state": (other_state, ValueError, "missing.*T_max.*unexpected.*gamma"),
    "no rule": (lambda: L.LRScheduler(make_optimizer()), NotImplementedError, "get_lr"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls_are_refused_with_the_value_quoted(case: str) -> None:
    call, error, message = WRONG_CALLS[case]
    with pytest.raises(error, match=message):
        call()


def test_stepping_before_the_optimizer_warns_once() -> None:
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match="skips the first learning rate"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        fresh = SGD([minicnn.zeros(1, requires_grad=True)], lr=0.1)
        other = lr_scheduler.ExponentialLR(fresh, 0.5)
        fresh.step()
        other.step()
