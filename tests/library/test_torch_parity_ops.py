"""Same values and same gradients as PyTorch, for every operation that PyTorch has, ties and edge cases included."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library import peers
from tests.library.cases import CASES, Case, as_tensors, as_tuple

torch = peers.torch()

NAN, INF = math.nan, math.inf


def outcome(lib, run, arrays, seed=0):
    """Values of ``run(lib, *tensors)``, and the gradients under random cotangents (None where there is none)."""
    inputs = as_tensors(lib, arrays)
    outputs = as_tuple(run(lib, *inputs))
    rng = np.random.default_rng(seed)
    cotangents = [lib.tensor(np.asarray(rng.standard_normal(tuple(y.shape)))) for y in outputs]
    pairs = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if pairs:
        lib.autograd.backward([y for y, _ in pairs], [c for _, c in pairs])
    values = [np.asarray(y.detach().numpy()) for y in outputs]
    return values, [None if x.grad is None else x.grad.numpy() for x in inputs]


def assert_same(run, arrays, tolerance=1e-8):
    ours, theirs = (outcome(lib, run, arrays) for lib in (minicnn, torch))
    for what, got, expected in zip(("value", "gradient"), ours, theirs, strict=True):
        assert len(got) == len(expected)
        for index, (a, b) in enumerate(zip(got, expected, strict=True)):
            label = f"{what} {index}"
            assert (a is None) == (b is None), f"{label}: minicnn {a}, torch {b}"
            if a is not None:
                assert (a.shape, a.dtype) == (b.shape, b.dtype), label
                np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=label)


@pytest.mark.parametrize("case", [case for case in CASES if case.torch], ids=lambda case: case.name)
@given(data=st.data())
def test_same_as_torch(case: Case, data):
    arrays, options = data.draw(case.draw)
    assert_same(lambda lib, *tensors: case.run(lib, *tensors, **options), arrays)


# --- where a function has a kink, a tie, or no finite value -------------------------------------------------------

X = [-3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 6.0, NAN, INF, -INF]
FINITE = X[:-3]
TIED = [[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [NAN, 1.0, NAN, 2.0], [-INF, -INF, -INF, -INF]]
LARGE = [[1e4, -1e4, 0.0], [1e4, 1e4, 1e4 - 1], [-1e4, -1e4, -1e4], [0.0, 0.0, 1e-300]]
LABELS = [0, 2, 1, 2]
IMAGE = np.arange(25.0).reshape(1, 1, 5, 5)
FLAT = np.ones((1, 2, 4, 4))
SPOILT = np.where(IMAGE % 7 == 3, NAN, IMAGE)
DARK = np.where(IMAGE < 13, -INF, IMAGE)


def F(lib):  # noqa: N802  (as everybody calls it)
    return lib.nn.functional


EDGES = {
    # kinks
    "relu": (lambda lib, x: F(lib).relu(x), X),
    "relu6": (lambda lib, x: F(lib).relu6(x), X),
    "leaky_relu": (lambda lib, x: F(lib).leaky_relu(x, 0.2), X),
    "hardtanh": (lambda lib, x: F(lib).hardtanh(x), X),
    "hardsigmoid": (lambda lib, x: F(lib).hardsigmoid(x), X),
    "hardswish": (lambda lib, x: F(lib).hardswish(x), FINITE),
    "abs": (lambda lib, x: x.abs(), X),
    "clamp at both bounds": (lambda lib, x: x.clamp(-1, 1), X),
    "clamp at the lower bound": (lambda lib, x: x.clamp(min=0), X),
    "clamp at the upper bound": (lambda lib, x: x.clamp(max=0), X),
    "clamp with crossed bounds": (lambda lib, x: x.clamp(1, -1), X),
    "sign": (lambda lib, x: lib.sign(x.detach()), X),
    "round": (lambda lib, x: lib.round(x.detach()), [0.5, 1.5, -0.5, 2.4, -2.6]),
    # infinite and undefined
    "log": (lambda lib, x: x.log(), [0.0, -1.0, 1.0, INF, 1e-300]),
    "sqrt": (lambda lib, x: x.sqrt(), [0.0, -1.0, 4.0, INF]),
    "exp": (lambda lib, x: x.exp(), [800.0, -800.0, 0.0, NAN]),
    "div": (lambda lib, a, b: a / b, [1.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, INF]),
    "sigmoid": (lambda lib, x: x.sigmoid(), [*X, 800.0, -800.0]),
    "silu": (lambda lib, x: F(lib).silu(x), [-800.0, 800.0, 0.0, NAN]),
    "tanh": (lambda lib, x: x.tanh(), X),
    # powers
    "square": (lambda lib, x: x**2, X),
    "to the 0": (lambda lib, x: x**0, X),
    "to the 1": (lambda lib, x: x**1, X),
    "to the 3": (lambda lib, x: x**3, X),
    "to the -1": (lambda lib, x: x**-1, X),
    "to the 0.5": (lambda lib, x: x**0.5, [-1.0, 0.0, 4.0, NAN, INF]),
    "to the 1.5": (lambda lib, x: x**1.5, X),
    "0 and 1 to the x": (lambda lib, x: (0**x, 1**x), [-1.0, 0.0, 1.0, 2.0]),
    "2 to the x": (lambda lib, x: 2**x, X),
    "tensor to a tensor": (
        lambda lib, a, b: a**b,
        [0.0, 0.0, 0.0, -2.0, -2.0, 1.0, 3.0, 2.0],
        [0.0, 2.0, 1.0, 2.0, 3.0, -1.0, 0.0, 0.5],
    ),
    # ties
    "maximum": (lambda lib, a, b: lib.maximum(a, b), [1.0, 1.0, 2.0, NAN, 1.0], [1.0, 2.0, 1.0, 1.0, NAN]),
    "minimum": (lambda lib, a, b: lib.minimum(a, b), [1.0, 1.0, 2.0, NAN, 1.0], [1.0, 2.0, 1.0, 1.0, NAN]),
    "max of all": (lambda lib, x: x.max(), [1.0, 3.0, 3.0, 2.0]),
    "min of all": (lambda lib, x: x.min(), [1.0, 1.0, 3.0, 2.0]),
    "max of all with NaN": (lambda lib, x: x.max(), [1.0, NAN, 3.0]),
    "max along": (lambda lib, x: tuple(x.max(1)), TIED),
    "min along": (lambda lib, x: tuple(x.min(dim=-1, keepdim=True)), TIED),
    "amax": (lambda lib, x: x.amax(1), TIED[:2]),
    "amin": (lambda lib, x: x.amin((0, 1)), TIED[:2]),
    "argmax": (lambda lib, x: (x.argmax(), x.argmax(1), x.argmax(0, keepdim=True)), TIED),
    "argmin": (lambda lib, x: (x.argmin(), x.argmin(1)), TIED[:3]),
    # reductions of little
    "prod with zeros": (lambda lib, x: (x.prod(), x.prod(1)), [[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]]),
    "norm at zero": (lambda lib, x: x.norm(), [0.0, 0.0, 0.0]),
    "norm along at zero": (lambda lib, x: lib.norm(x, p=2, dim=1), [[0.0, 0.0], [3.0, 4.0]]),
    "norm 1 at zero": (lambda lib, x: x.norm(1), [0.0, -2.0, 0.0]),
    "norm 3 with zeros": (lambda lib, x: x.norm(3), [0.0, -2.0, 1.0]),
    "std of equals": (lambda lib, x: x.std(), [2.0, 2.0, 2.0]),
    "var of one": (lambda lib, x: x.var(1, unbiased=False), [[2.0], [3.0]]),
    "logsumexp": (lambda lib, x: x.logsumexp(1), [[1e4, -1e4], [-INF, -INF], [INF, 0.0], [-INF, 1.0]]),
    "sum of nothing": (lambda lib, x: (x.sum(), x.sum(0), x.prod()), np.zeros((0, 3))),
    "mean of nothing": (lambda lib, x: (x.mean(), x.mean(0)), np.zeros((0, 3))),
    "reductions of a number": (lambda lib, x: (x.sum(), x.sum(0), x.mean(-1), x.max(), x.amax(), x.max(0)[0]), 2.0),
    # softmax and losses
    "softmax": (lambda lib, x: F(lib).softmax(x, dim=1), LARGE),
    "log_softmax": (lambda lib, x: F(lib).log_softmax(x, dim=1), LARGE),
    "softmax with -inf": (lambda lib, x: F(lib).softmax(x, dim=-1), [[-INF, 0.0, 1.0], [-INF, -INF, 2.0]]),
    "log_softmax with -inf": (lambda lib, x: F(lib).log_softmax(x, dim=-1), [[-INF, 0.0, 1.0], [-INF, -INF, 2.0]]),
    "softmax of a number": (lambda lib, x: F(lib).softmax(x, dim=0), 3.0),
    "softmax of nothing": (lambda lib, x: F(lib).softmax(x, dim=1), np.zeros((0, 3))),
    "cross_entropy of large logits": (lambda lib, x, y: F(lib).cross_entropy(x, y), LARGE, LABELS),
    "smoothed, large": (lambda lib, x, y: F(lib).cross_entropy(x, y, label_smoothing=0.1), LARGE, LABELS),
    "each, large": (lambda lib, x, y: F(lib).cross_entropy(x, y, reduction="none"), LARGE, LABELS),
    "cross_entropy with -inf": (
        lambda lib, x, y: F(lib).cross_entropy(x, y, reduction="none"), [[-INF, 0.0, 1.0], [0.0, -INF, 1.0]], [1, 1]
    ),
    "cross_entropy, all ignored": (lambda lib, x, y: F(lib).cross_entropy(x, y), LARGE, [-100] * 4),
    "summed, all ignored": (lambda lib, x, y: F(lib).cross_entropy(x, y, reduction="sum"), LARGE, [-100] * 4),
    "cross_entropy of nothing": (lambda lib, x, y: F(lib).cross_entropy(x, y, reduction="sum"), np.zeros((0, 3)), np.zeros(0, int)),
    "cross_entropy, mean of nothing": (lambda lib, x, y: F(lib).cross_entropy(x, y), np.zeros((0, 3)), np.zeros(0, int)),
    "cross_entropy unbatched": (lambda lib, x, y: F(lib).cross_entropy(x, y), [1.0, 2.0, -1.0], 2),
    "cross_entropy, ignoring a class": (lambda lib, x, y: F(lib).cross_entropy(x, y, ignore_index=2), LARGE[:3], [0, 2, 1]),
    "cross_entropy, weight 0": (
        lambda lib, x, y: F(lib).cross_entropy(x, y, weight=lib.tensor(np.array([0.0, 1.0, 2.0]))), LARGE, LABELS
    ),
    "smoothed, weighted, ignored": (
        lambda lib, x, y: F(lib).cross_entropy(
            x, y, weight=lib.tensor(np.array([0.5, 1.0, 2.0])), ignore_index=1, label_smoothing=0.2
        ), LARGE, LABELS
    ),
    "l1_loss at its kink": (lambda lib, a, b: F(lib).l1_loss(a, b), [1.0, 2.0], [1.0, 3.0]),
    # pooling
    "max_pool2d of equals": (lambda lib, x: F(lib).max_pool2d(x, 2, return_indices=True), FLAT),
    "overlapping max_pool2d of equals": (lambda lib, x: F(lib).max_pool2d(x, 3, 1, 1, return_indices=True), FLAT),
    "max_pool2d with NaN": (lambda lib, x: F(lib).max_pool2d(x, 3, 2, 1, return_indices=True), SPOILT),
    "max_pool2d of -inf": (lambda lib, x: F(lib).max_pool2d(x, 2, 2, return_indices=True), DARK),
    "padded max_pool2d of -inf": (lambda lib, x: F(lib).max_pool2d(x, 3, 2, 1, return_indices=True), DARK),
    "dilated max_pool2d of -inf": (lambda lib, x: F(lib).max_pool2d(x, 2, 1, 1, 2, return_indices=True), DARK),
    "max_pool2d of negatives, padded": (lambda lib, x: F(lib).max_pool2d(x, 3, 2, 1), IMAGE - 100),
    "max_pool2d, ceil_mode": (lambda lib, x: F(lib).max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True), IMAGE),
    "max_pool2d, ceil_mode, the last window dropped": (lambda lib, x: F(lib).max_pool2d(x, 1, 3, ceil_mode=True), IMAGE),
    "max_pool2d unbatched": (lambda lib, x: F(lib).max_pool2d(x, 2, return_indices=True), IMAGE[0]),
    "max_pool2d of no image": (lambda lib, x: F(lib).max_pool2d(x, 2), np.zeros((0, 3, 4, 4))),
    "avg_pool2d unbatched": (lambda lib, x: F(lib).avg_pool2d(x, 2), IMAGE[0]),
    "avg_pool2d of no image": (lambda lib, x: F(lib).avg_pool2d(x, 2), np.zeros((0, 3, 4, 4))),
    "avg_pool2d with infinity": (lambda lib, x: F(lib).avg_pool2d(x, 2, 1), DARK),
    "avg_pool2d, ceil_mode, padded": (lambda lib, x: F(lib).avg_pool2d(x, 3, 2, 1, True), IMAGE[:, :, :4, :]),
    "avg_pool2d, ceil_mode, padding not counted": (lambda lib, x: F(lib).avg_pool2d(x, 3, 2, 1, True, False), IMAGE[:, :, :4]),
    "adaptive_avg_pool2d unbatched": (lambda lib, x: F(lib).adaptive_avg_pool2d(x, (3, 7)), IMAGE[0]),
    "adaptive_avg_pool2d of no image": (lambda lib, x: F(lib).adaptive_avg_pool2d(x, 2), np.zeros((0, 3, 4, 4))),
    # convolution and linear
    "conv2d of no image": (lambda lib, x, w: F(lib).conv2d(x, w), np.zeros((0, 2, 4, 4)), np.ones((3, 2, 3, 3))),
    "conv2d same, even kernel": (lambda lib, x, w: F(lib).conv2d(x, w, padding="same"), IMAGE, np.arange(8.0).reshape(1, 1, 2, 4)),
    "conv2d same, dilated": (
        lambda lib, x, w: F(lib).conv2d(x, w, padding="same", dilation=(2, 3)), IMAGE, np.arange(8.0).reshape(1, 1, 2, 4)
    ),
    "conv2d with NaN": (lambda lib, x, w: F(lib).conv2d(x, w, padding=1), SPOILT, np.arange(9.0).reshape(1, 1, 3, 3)),
    "conv2d with lists": (lambda lib, x, w: F(lib).conv2d(x, w, None, [2, 1], [1, 0], [1, 2]), IMAGE, np.arange(4.0).reshape(1, 1, 2, 2)),
    "linear of no row": (lambda lib, x, w: F(lib).linear(x, w), np.zeros((0, 3)), np.ones((2, 3))),
    "linear of a vector": (lambda lib, x, w, b: F(lib).linear(x, w, b), [1.0, 2.0], np.ones((3, 2)), [1.0, 2.0, 3.0]),
    "matmul over nothing": (lambda lib, a, b: a @ b, np.zeros((2, 0)), np.zeros((0, 3))),
    # normalisation
    "batch_norm of equals": (lambda lib, x: F(lib).batch_norm(x, None, None, training=True), FLAT),
    "batch_norm without statistics": (
        lambda lib, x, w: F(lib).batch_norm(x, None, None, w, training=True), IMAGE.reshape(5, 5, 1, 1), np.arange(5.0)
    ),
    "batch_norm far from zero": (lambda lib, x: F(lib).batch_norm(x, None, None, training=True), IMAGE * 1e-3 + 1e4),
    "batch_norm only scaled": (
        lambda lib, x, w: F(lib).batch_norm(x, lib.zeros(5).double(), lib.ones(5).double(), w), IMAGE.reshape(5, 5), np.arange(5.0)
    ),
    "batch_norm only shifted": (
        lambda lib, x, b: F(lib).batch_norm(x, None, None, None, b, True), IMAGE.reshape(5, 5), np.arange(5.0)
    ),
    "local_response_norm wider than the image": (lambda lib, x: F(lib).local_response_norm(x, 9), FLAT),
    "group_norm of one group each": (lambda lib, x: F(lib).group_norm(x, 2), np.arange(16.0).reshape(1, 2, 2, 4)),
    # shapes
    "cat with an old-style empty": (lambda lib, a, b: lib.cat([a.detach(), b]), np.zeros(0), [[1.0, 2.0]]),
    "cat with empty": (lambda lib, a, b: lib.cat([a, b], 1), np.zeros((2, 0)), [[1.0], [2.0]]),
    "flatten a number": (lambda lib, x: x.flatten(), 2.0),
    "an index read twice": (lambda lib, x: x[lib.tensor([0, 0, 1, -1, 0])], [1.0, 2.0, 3.0]),
    "an index on each side of a slice": (lambda lib, x: x[lib.tensor([0, 1]), :, lib.tensor([1, 2])], np.arange(24.0).reshape(2, 4, 3)),
    "a list as index": (lambda lib, x: x[[0, 2]], [1.0, 2.0, 3.0]),
    "an integer tensor as index": (lambda lib, x: x[lib.tensor(1)], [[1.0], [2.0]]),
    "an index of two axes": (lambda lib, x: x[lib.tensor([[0, 1], [1, 0]])], [[1.0, 2.0], [3.0, 4.0]]),
    "an empty slice": (lambda lib, x: x[2:2], [[1.0, 2.0], [3.0, 4.0]]),
    "an empty mask": (lambda lib, x: x[x.detach() > 9], [1.0, 2.0]),
    "a mask on the second axis": (lambda lib, x: x[:, lib.tensor([True, False])], [[1.0, 2.0], [3.0, 4.0]]),
    "where picks beside NaN": (lambda lib, x: lib.where(x.detach() > 0, x.log(), x), [-1.0, 2.0]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # both warn about empty means and degrees of freedom in their own words
@pytest.mark.parametrize("name", EDGES)
def test_same_at_the_edge(name):
    run, *inputs = EDGES[name]
    with np.errstate(all="ignore"):
        assert_same(run, [np.asarray(x) for x in inputs])


# --- dtypes -----------------------------------------------------------------------------------------------------

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


def operand(lib, dtype, dims):
    if dtype in ("python int", "python float", "python bool"):
        return {"python int": 2, "python float": 2.5, "python bool": True}[dtype]
    values = np.asarray([1, 0, 1], dtype=dtype) if dims else np.asarray(1, dtype=dtype)
    return lib.tensor(values)


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", [*DTYPES, "python int", "python float", "python bool"])
@pytest.mark.parametrize("operation", ["add", "mul", "div", "rsub", "rdiv", "pow", "maximum", "where", "lt", "matmul", "cat"])
def test_the_result_has_the_same_dtype(operation, left, right):
    runs = {
        "add": lambda lib, a, b: a + b,
        "mul": lambda lib, a, b: a * b,
        "div": lambda lib, a, b: a / b,
        "rsub": lambda lib, a, b: b - a,
        "rdiv": lambda lib, a, b: b / a,
        "pow": lambda lib, a, b: a**b,
        "maximum": lambda lib, a, b: lib.maximum(a, b),
        "where": lambda lib, a, b: lib.where(lib.tensor([True, False, True]), a, b),
        "lt": lambda lib, a, b: a < b,
        "matmul": lambda lib, a, b: a @ b,
        "cat": lambda lib, a, b: lib.cat([a, b]),
    }
    if operation == "pow" and left == "bool" and "bool" in right:
        return  # a number in neither
    for dims in itertools.product((0, 1), (0, 1)):
        try:
            expected = runs[operation](torch, operand(torch, left, dims[0]), operand(torch, right, dims[1]))
        except (RuntimeError, TypeError, AttributeError):
            continue  # PyTorch refuses; minicnn may know an answer
        with np.errstate(all="ignore"):
            got = runs[operation](minicnn, operand(minicnn, left, dims[0]), operand(minicnn, right, dims[1]))
        assert str(got.dtype) == str(expected.dtype).removeprefix("torch."), dims
        assert tuple(got.shape) == tuple(expected.shape)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "exp", "sqrt", "sigmoid", "tanh", "log", "mean", "max", "argmax", "abs", "softmax"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_function_has_the_same_dtype(name, dtype):
    args = {"cumsum": (0,), "softmax": (0,)}.get(name, ())
    values = np.array([1, 0, 1, 1], dtype=dtype)
    try:
        expected = getattr(torch.tensor(values), name)(*args)
    except RuntimeError:
        return  # PyTorch refuses; minicnn may know an answer
    with np.errstate(all="ignore"):
        got = getattr(minicnn.tensor(values), name)(*args)
    assert str(got.dtype) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)
