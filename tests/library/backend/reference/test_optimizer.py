"""Updates of lists of parameters in plain NumPy: each as if it were alone, and the gradients untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.reference.optimizer import adam_step, sgd_step
from tests.library.support.strategies import SEEDS, normal

SHAPES = [(), (3,), (2, 3)]
COMMON = {"lr": st.floats(0.01, 0.5), "weight_decay": st.sampled_from([0.0, 0.1]), "maximize": st.booleans()}


def lists(seed: int, count: int) -> list[list[np.ndarray]]:
    return [[normal(shape, seed + 10 * k + i) for i, shape in enumerate(SHAPES)] for k in range(count)]


@given(
    options=st.fixed_dictionaries(
        {**COMMON, "momentum": st.sampled_from([0.0, 0.9]), "dampening": st.sampled_from([0.0, 0.5])}
    ),
    seed=SEEDS,
)
def test_sgd_is_its_equations_for_each_parameter(options: dict[str, Any], seed: int) -> None:
    params, first, second = lists(seed, 3)
    kept, buffers = [p.copy() for p in params], [None] * len(params)
    for grads in (first, second):
        buffers = sgd_step(params, grads, buffers, **options)
    for found, p, *both in zip(params, kept, first, second, strict=True):
        b = None
        for grad in both:
            g = (-grad if options["maximize"] else grad) + options["weight_decay"] * p
            if options["momentum"]:
                b = g if b is None else options["momentum"] * b + (1 - options["dampening"]) * g
                g = b
            p = p - options["lr"] * g
        np.testing.assert_allclose(found, p, rtol=1e-12, atol=1e-12)
    assert (buffers[0] is None) == (options["momentum"] == 0)


@given(
    options=st.fixed_dictionaries({**COMMON, "decoupled_weight_decay": st.booleans()}),
    amsgrad=st.booleans(),
    seed=SEEDS,
)
def test_adam_is_its_equations_for_each_parameter(options: dict[str, Any], amsgrad: bool, seed: int) -> None:
    params, first, second = lists(seed, 3)
    kept, untouched = [p.copy() for p in params], [g.copy() for g in first]
    means, squares, largest = ([np.zeros(shape) for shape in SHAPES] for _ in range(3))
    for step, grads in enumerate((first, second), 1):
        adam_step(
            params, grads, means, squares, largest if amsgrad else None, steps=[step] * len(params), eps=1e-3, **options
        )
    for found, p, *both in zip(params, kept, first, second, strict=True):
        m = v = top = 0.0
        for step, grad in enumerate(both, 1):
            g, shrink = -grad if options["maximize"] else grad, options["weight_decay"]
            if options["decoupled_weight_decay"]:
                p = p * (1 - options["lr"] * shrink)
            else:
                g = g + shrink * p
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            top = np.maximum(top, v)
            v_hat = (top if amsgrad else v) / (1 - 0.999**step)
            p = p - options["lr"] * m / (1 - 0.9**step) / (np.sqrt(v_hat) + 1e-3)
        np.testing.assert_allclose(found, p, rtol=1e-9, atol=1e-12)
    for grad, before in zip(first, untouched, strict=True):
        np.testing.assert_array_equal(grad, before)
