"""Schedules of every kind with drawn options, and the rates that they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minicnn
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
