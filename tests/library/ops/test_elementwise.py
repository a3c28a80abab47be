"""Arithmetic, powers, comparisons, activations: values by NumPy and math, kinks, dtypes, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support.strategies import SEEDS, arrays, broadcastable, distinct_pair, normal, random_cotangent

NAN, INF = math.nan, math.inf


def tensor(values, dtype=np.float64, requires_grad=True):
    return minicnn.tensor(np.asarray(values, dtype=dtype), requires_grad=requires_grad)


def gradient_of(fn, *values):
    """The gradients of ``fn(*tensors).sum()``."""
    inputs = [tensor(value) for value in values]
    fn(*inputs).sum().backward()
    found = [x.grad.numpy().tolist() for x in inputs]
    return found[0] if len(found) == 1 else found


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "sub": (lambda a, b: a - b, np.subtract),
    "mul": (lambda a, b: a * b, np.multiply),
    "div": (lambda a, b: a / b, np.divide),
    "maximum": (minicnn.maximum, np.maximum),
    "minimum": (minicnn.minimum, np.minimum),
    "lt": (lambda a, b: a < b, np.less),
    "le": (lambda a, b: a <= b, np.less_equal),
    "gt": (lambda a, b: a > b, np.greater),
    "ge": (lambda a, b: a >= b, np.greater_equal),
    "eq": (lambda a, b: a == b, np.equal),
    "ne": (lambda a, b: a != b, np.not_equal),
}


@pytest.mark.parametrize("name", BINARY)
@given(pair=distinct_pair(low=0.2))
def test_binary_values(name, pair):
    ours, theirs = BINARY[name]
    got = ours(*map(minicnn.tensor, pair))
    assert got.shape == np.broadcast_shapes(*(x.shape for x in pair))
    np.testing.assert_array_equal(got.numpy(), theirs(*pair))


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


@given(x=arrays(), scalar=st.sampled_from([2, -3, 0.5, True]))
def test_python_numbers_on_either_side(x, scalar):
    t = minicnn.tensor(x)
    for got, expected in [
        (t + scalar, x + scalar), (scalar + t, x + scalar), (t - scalar, x - scalar), (scalar - t, scalar - x),
        (t * scalar, x * scalar), (scalar * t, x * scalar), (t / scalar, x / scalar), (scalar / t, scalar / x),
        (t < scalar, x < scalar), (scalar < t, scalar < x), (t == scalar, x == scalar),
    ]:  # fmt: skip
        np.testing.assert_array_equal(got.numpy(), expected)


def test_an_array_on_the_left_gives_a_tensor():
    got = np.ones(3) + tensor([1.0, 2.0, 3.0])
    assert isinstance(got, minicnn.Tensor) and got.requires_grad


def test_alpha():
    a, b = minicnn.tensor([1.0, 2.0]), minicnn.tensor([10.0, 20.0])
    assert minicnn.add(a, b, alpha=3).tolist() == [31.0, 62.0]
    assert minicnn.sub(a, b, alpha=0.5).tolist() == [-4.0, -8.0]


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


def test_the_gradient_of_a_power_of_zero_is_not_nan():
    assert gradient_of(lambda a, b: a**b, [0, 0, 2], [2, 0, 3])[0] == [0, 0, 12]
    assert gradient_of(lambda a, b: a**b, [0, 0, 2], [2, 0, 3])[1] == [0, 0, pytest.approx(8 * math.log(2))]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("fn", "values", "slopes"),
    [
        (minicnn.sigmoid, [0, 0.5, 1], [0, 0.25, 0]),
        (minicnn.tanh, [-1, 0, 1], [0, 1, 0]),
        (F.silu, [0, 0, 1e4], [0, 0.5, 1]),
        (F.hardswish, [0, 0, 1e4], [0, 0.5, 1]),
    ],
)
def test_nothing_overflows_or_warns(fn, values, slopes, dtype):
    x = tensor([-1e4, 0, 1e4], dtype)
    y = fn(x)
    y.sum().backward()
    assert y.tolist() == values and x.grad.tolist() == slopes


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


def test_logic():
    a, b = minicnn.tensor([True, True, False]), minicnn.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (~a).tolist() == [False, False, True]
    assert (a & b).dtype == minicnn.tensor([True]).dtype


# --- broadcasting -------------------------------------------------------------------------------------------------


@given(shapes=broadcastable(), seed=SEEDS)
def test_broadcasting_is_undone_by_summing(shapes, seed):
    """The gradient of ``sum(c * (a + b))`` is ``c`` summed over what was repeated, entry by entry."""
    a, b = (tensor(normal(shape, seed + i)) for i, shape in enumerate(shapes))
    out = a + b
    cotangent = random_cotangent(out.shape, seed)
    out.backward(minicnn.tensor(cotangent))
    for x in (a, b):
        expected = np.zeros(x.shape)
        for index in np.ndindex(out.shape):
            own = index[len(out.shape) - x.ndim :]
            expected[tuple(0 if size == 1 else i for i, size in zip(own, x.shape, strict=True))] += cotangent[index]
        assert x.grad.shape == x.shape
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("operation", ["add", "sub", "mul", "div", "pow", "maximum", "minimum"])
def test_shapes_that_do_not_fit(operation):
    with pytest.raises(ShapeError, match=rf"{operation}: shapes \(2, 3\) and \(2,\) do not broadcast"):
        getattr(minicnn, operation)(minicnn.zeros(2, 3), minicnn.zeros(2))


# --- dtypes -------------------------------------------------------------------------------------------------------

F32, F64, I64, I32, U8, B = (np.dtype(d) for d in ("float32", "float64", "int64", "int32", "uint8", "bool"))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.ones(2, F32), 2.5, F32),
        (np.ones(2, F32), 2, F32),
        (np.ones(2, F32), True, F32),
        (np.ones(2, F64), 2.5, F64),
        (np.ones(2, I64), 2, I64),
        (np.ones(2, I32), 2, I32),
        (np.ones(2, I64), 2.5, F32),  # the default dtype
        (np.ones(2, B), 2, I64),
        (np.ones(2, B), True, B),
        (np.ones(2, U8), 2, U8),
        (np.ones(2, F32), np.ones(2, F64), F64),
        (np.ones(2, F32), np.ones((), F64), F32),  # a number without dimensions does not widen
        (np.ones(2, F32), np.ones(2, I64), F32),
        (np.ones((), F32), np.ones(2, I64), F32),
        (np.ones(2, I32), np.ones(2, I64), I64),
        (np.ones(2, U8), np.ones(2, B), U8),
    ],
)
def test_promotion(left, right, expected):
    a, b = (minicnn.tensor(x) if isinstance(x, np.ndarray) else x for x in (left, right))
    assert (a + b).dtype == expected
    assert (b + a).dtype == expected
    assert (a * b).dtype == expected


@pytest.mark.parametrize("dtype", [I64, I32, U8, B])
def test_integers_divide_as_floats(dtype):
    assert (minicnn.tensor(np.ones(2, dtype)) / 2).tolist() == [0.5, 0.5]
    assert (minicnn.tensor(np.ones(2, dtype)) / 2).dtype == F32
    assert minicnn.exp(minicnn.tensor(np.ones(2, dtype))).dtype == F32


def test_the_default_dtype_is_what_python_floats_become():
    minicnn.set_default_dtype(minicnn.float64)
    try:
        assert minicnn.tensor([1.0]).dtype == F64
        assert (minicnn.tensor([1]) * 0.5).dtype == F64
        assert (minicnn.tensor(np.ones(1, F32)) * 0.5).dtype == F32
    finally:
        minicnn.set_default_dtype(minicnn.float32)


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
