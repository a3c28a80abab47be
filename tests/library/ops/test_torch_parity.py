"""Same values and same gradients as PyTorch, for every operation that PyTorch has, ties and edge cases included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library.support import peers
from tests.library.support.cases import CASES, Case, as_tensors, as_tuple
from tests.library.support.cases.edges import EDGES, SEVERAL_NANS
from tests.library.support.strategies import random_cotangent

torch = peers.torch()


def outcome(lib, run, arrays):
    """Values of ``run(lib, *tensors)``, and the gradients under random cotangents (None where there is none)."""
    inputs = as_tensors(lib, arrays)
    outputs = as_tuple(run(lib, *inputs))
    cotangents = [lib.tensor(random_cotangent(tuple(y.shape), i)) for i, y in enumerate(outputs)]
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


# --- where an operation has a kink, a tie, or no finite value ------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # both warn about empty means and degrees of freedom in their own words
@pytest.mark.parametrize("name", EDGES | SEVERAL_NANS)
def test_same_at_the_edge(name):
    run, *inputs = (EDGES | SEVERAL_NANS)[name]
    assert_same(run, [np.asarray(x) for x in inputs])


# --- dtypes -----------------------------------------------------------------------------------------------------

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
BINARY = {
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
UNARY = "sum prod cumsum exp sqrt sigmoid tanh log mean max argmax abs softmax"


def operand(lib, dtype, dims):
    if dtype in ("python int", "python float", "python bool"):
        return {"python int": 2, "python float": 2.5, "python bool": True}[dtype]
    values = np.asarray([1, 0, 1], dtype=dtype) if dims else np.asarray(1, dtype=dtype)
    return lib.tensor(values)


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", [*DTYPES, "python int", "python float", "python bool"])
@pytest.mark.parametrize("operation", BINARY)
def test_the_result_has_the_same_dtype(operation, left, right):
    if operation == "pow" and left == "bool" and "bool" in right:
        return  # a number in neither
    for dims in itertools.product((0, 1), (0, 1)):
        try:
            expected = BINARY[operation](torch, operand(torch, left, dims[0]), operand(torch, right, dims[1]))
        except (RuntimeError, TypeError, AttributeError):
            continue  # PyTorch refuses; minicnn may know an answer
        got = BINARY[operation](minicnn, operand(minicnn, left, dims[0]), operand(minicnn, right, dims[1]))
        assert str(got.dtype) == str(expected.dtype).removeprefix("torch."), dims
        assert tuple(got.shape) == tuple(expected.shape)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", UNARY.split())
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_function_has_the_same_dtype(name, dtype):
    args = {"cumsum": (0,), "softmax": (0,)}.get(name, ())
    values = np.array([1, 0, 1, 1], dtype=dtype)
    try:
        expected = getattr(torch.tensor(values), name)(*args)
    except RuntimeError:
        return  # PyTorch refuses; minicnn may know an answer
    got = getattr(minicnn.tensor(values), name)(*args)
    assert str(got.dtype) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)
