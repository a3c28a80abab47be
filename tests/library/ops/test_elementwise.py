"""Functions of one number: values by math, and their slopes at kinks and edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support.leaves import gradient_of, tensor
from tests.library.support.strategies import arrays

NAN, INF = math.nan, math.inf


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


UNARY = {  # name -> (operation, the same of one Python number)
    "neg": (lambda x: -x, lambda v: -v),
    "abs": (minicnn.abs, abs),
    "square": (minicnn.square, lambda v: v * v),
    "power": (lambda x: x**3, lambda v: v * v * v),
    "base": (lambda x: 2.0**x, lambda v: 2.0**v),
    "exp": (minicnn.exp, math.exp),
    "sin": (minicnn.sin, math.sin),
    "cos": (minicnn.cos, math.cos),
    "tanh": (minicnn.tanh, math.tanh),
    "sigmoid": (minicnn.sigmoid, sigmoid),
    "relu": (F.relu, lambda v: max(v, 0.0)),
    "relu6": (F.relu6, lambda v: min(max(v, 0.0), 6.0)),
    "leaky_relu": (F.leaky_relu, lambda v: v if v > 0 else 0.01 * v),
    "silu": (F.silu, lambda v: v * sigmoid(v)),
    "hardtanh": (F.hardtanh, lambda v: min(max(v, -1.0), 1.0)),
    "hardsigmoid": (F.hardsigmoid, lambda v: min(max(v / 6 + 0.5, 0.0), 1.0)),
    "hardswish": (F.hardswish, lambda v: v * min(max(v / 6 + 0.5, 0.0), 1.0)),
    "clamp": (lambda x: x.clamp(-1.5, 0.5), lambda v: min(max(v, -1.5), 0.5)),
    "floor": (minicnn.floor, math.floor),
    "ceil": (minicnn.ceil, math.ceil),
    "sign": (minicnn.sign, lambda v: (v > 0) - (v < 0)),
    "where": (lambda x: minicnn.where(x > 0, x, -3.0), lambda v: v if v > 0 else -3.0),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 9.0), lambda v: 9.0 if v > 0 else v),
}
POSITIVE = {
    "log": (minicnn.log, math.log),
    "sqrt": (minicnn.sqrt, math.sqrt),
    "rsqrt": (minicnn.rsqrt, lambda v: 1 / math.sqrt(v)),
    "power": (lambda x: x**-0.5, lambda v: v**-0.5),
}


@pytest.mark.parametrize("name", UNARY)
@given(x=arrays(low=-8.0, high=8.0))
def test_unary_values(name, x):
    ours, theirs = UNARY[name]
    expected = np.array([theirs(float(v)) for v in x.ravel()], dtype=float).reshape(x.shape)
    np.testing.assert_allclose(ours(minicnn.tensor(x)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", POSITIVE)
@given(x=arrays(low=1e-3, high=8.0))
def test_values_of_positive_numbers(name, x):
    ours, theirs = POSITIVE[name]
    expected = np.array([theirs(float(v)) for v in x.ravel()]).reshape(x.shape)
    np.testing.assert_allclose(ours(minicnn.tensor(x)).numpy(), expected, rtol=1e-12)


# --- kinks and edges (PyTorch's choices, kept here for where PyTorch is not installed) ----------------------------

KINKS = [
    ("relu", F.relu, [-1, 0, 2], [0, 0, 1]),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), [-1, 0, 2], [0.2, 0.2, 1]),
    ("relu6", F.relu6, [0, 3, 6], [0, 1, 0]),
    ("hardtanh", F.hardtanh, [-1, 0, 1], [0, 1, 0]),
    ("abs", lambda x: x.abs(), [-2, 0, 2], [-1, 0, 1]),
    ("clamp", lambda x: x.clamp(-1, 1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
    ("clamp min", lambda x: x.clamp(min=0), [-1, 0, 1], [0, 1, 1]),
    ("clamp max", lambda x: x.clamp(max=0), [-1, 0, 1], [1, 1, 0]),
    ("0 ** 2", lambda x: x**2, [0], [0]),
    ("0 ** 1", lambda x: x**1, [0], [1]),
    ("0 ** 0", lambda x: x**0, [0, -2], [0, 0]),
    ("0 ** 0.5", lambda x: x**0.5, [0], [INF]),
    ("sqrt 0", lambda x: x.sqrt(), [0], [INF]),
    ("log 0", lambda x: x.log(), [0], [INF]),
    ("tanh far out", lambda x: x.tanh(), [-1000, 1000], [0, 0]),
    ("sigmoid far out", lambda x: x.sigmoid(), [-1000, 1000], [0, 0]),
    ("silu far out", F.silu, [-1000, 1000], [0, 1]),
]


@pytest.mark.parametrize(("fn", "x", "expected"), [k[1:] for k in KINKS], ids=[k[0] for k in KINKS])
def test_gradient_at_the_kink(fn, x, expected):
    assert gradient_of(fn, x) == expected


def test_a_tie_is_shared():
    assert gradient_of(minicnn.maximum, [1, 1, 2], [1, 2, 1]) == [[0.5, 0, 1], [0.5, 1, 0]]
    assert gradient_of(minicnn.minimum, [1, 1, 2], [1, 2, 1]) == [[0.5, 1, 0], [0.5, 0, 1]]


@pytest.mark.filterwarnings("error")
def test_undefined_results_do_not_warn():
    """They are NaN or infinite, as in PyTorch and on a GPU; ``detect_anomaly`` is what looks for them."""
    x = tensor([0.0, -1.0])
    y = x.log() + x.sqrt() + 1 / x
    y.sum().backward()
    assert not np.isfinite(y.detach().numpy()).any()


def test_nan_and_infinity_are_found():
    x = minicnn.tensor([1.0, NAN, INF, -INF])
    assert x.isnan().tolist() == [False, True, False, False]
    assert x.isinf().tolist() == [False, False, True, True]
    assert x.isfinite().tolist() == [True, False, False, False]
    assert minicnn.maximum(x, minicnn.tensor(0.0)).isnan().tolist() == [False, True, False, False]


# --- errors ---------------------------------------------------------------------------------------------------------


def test_clamp_needs_a_bound():
    with pytest.raises(ValueError, match="at least one of min and max"):
        minicnn.zeros(2).clamp()


def test_where_needs_bools():
    with pytest.raises(TypeError, match="bool condition, got int64"):
        minicnn.where(minicnn.tensor([1, 0]), minicnn.zeros(2), minicnn.ones(2))


def test_residual_add_does_not_broadcast():
    with pytest.raises(ShapeError, match=r"branch has shape \(2, 3\), the shortcut \(3,\)"):
        minicnn.ops.residual_add(minicnn.zeros(2, 3), minicnn.zeros(3))
    assert minicnn.ops.residual_add(minicnn.ones(2), minicnn.ones(2)).tolist() == [2.0, 2.0]
