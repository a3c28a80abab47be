"""The learning-rate schedules: PyTorch's rates, the formulas, composition, state, and errors."""

from __future__ import annotations

import json
import math
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

EPOCHS = 50
RATES = (0.4, 0.01)

gammas = st.floats(0.3, 1.0)
factors = st.floats(0.05, 1.0)
SCHEDULES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "StepLR": st.fixed_dictionaries({"step_size": st.integers(1, 20), "gamma": gammas}),
    "MultiStepLR": st.fixed_dictionaries({"milestones": st.lists(st.integers(1, EPOCHS), max_size=5), "gamma": gammas}),
    "ExponentialLR": st.fixed_dictionaries({"gamma": st.floats(0.8, 1.0)}),
    "ConstantLR": st.fixed_dictionaries({"factor": factors, "total_iters": st.integers(0, 60)}),
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": factors, "end_factor": st.floats(0, 1), "total_iters": st.integers(1, 60)}
    ),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": st.integers(1, 60), "eta_min": st.floats(0, 0.005)}),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": st.integers(1, 20), "T_mult": st.integers(1, 3), "eta_min": st.floats(0, 0.005)}
    ),
    "LambdaLR": st.sampled_from(
        [{"lr_lambda": lambda epoch: 1 / (1 + epoch)}, {"lr_lambda": [math.cos, lambda epoch: 0.9**epoch]}]
    ),
}
drawn_schedule = st.sampled_from(sorted(SCHEDULES)).flatmap(
    lambda name: SCHEDULES[name].map(lambda options: (name, options))
)


def make_optimizer(library: Any = minicnn) -> Any:
    groups = [{"params": [library.zeros(2, requires_grad=True)], "lr": rate} for rate in RATES]
    return library.optim.SGD(groups, lr=1.0)


def follow(optimizer: Any, schedulers: list[Any], epochs: int = EPOCHS) -> np.ndarray:
    """The rates of both groups over the epochs: (epochs + 1, 2)."""
    rates = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(epochs):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    return np.array(rates, dtype=np.float64)


def both(make: Callable[[Any, Any], list[Any]], epochs: int = EPOCHS) -> tuple[np.ndarray, np.ndarray]:
    """What ``make(lr_scheduler module, optimizer)`` sets, with minicnn and with PyTorch."""
    results = []
    for library in (minicnn, peers.torch()):
        optimizer = make_optimizer(library)
        results.append(follow(optimizer, make(library.optim.lr_scheduler, optimizer), epochs))
    return results[0], results[1]


def assert_equal_rates(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


# ---- the same rates as PyTorch's -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@given(data=st.data())
def test_fifty_epochs_equal_pytorch(name: str, data: Any) -> None:
    options = data.draw(SCHEDULES[name])
    assert_equal_rates(*both(lambda module, optimizer: [getattr(module, name)(optimizer, **options)]))


@given(first=drawn_schedule, second=drawn_schedule)
def test_two_schedules_of_one_optimizer_multiply_as_in_pytorch(first: Any, second: Any) -> None:
    assert_equal_rates(
        *both(lambda module, optimizer: [getattr(module, n)(optimizer, **o) for n, o in (first, second)])
    )


@given(parts=st.lists(drawn_schedule, min_size=1, max_size=3), data=st.data())
def test_schedules_one_after_the_other_equal_pytorch(parts: Any, data: Any) -> None:
    count = len(parts) - 1
    milestones = sorted(data.draw(st.lists(st.integers(1, 40), min_size=count, max_size=count, unique=True)))

    def make(module: Any, optimizer: Any) -> list[Any]:
        children = [getattr(module, name)(optimizer, **options) for name, options in parts]
        return [module.SequentialLR(optimizer, children, milestones=milestones)]

    assert_equal_rates(*both(make))


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


# ---- the formulas --------------------------------------------------------------------------------------------

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


def test_a_plateau_by_hand() -> None:
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1)
    rates = []
    for loss in [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"] / RATES[0])
    #   best, better, bad, second bad: halve, (cooldown), bad, second bad: halve
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


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
