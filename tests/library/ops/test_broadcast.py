"""Broadcasting, undone by summing, and the dtype in which two operands meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import minicnn
from minicnn.errors import ShapeError
from tests.library.support.leaves import tensor
from tests.library.support.strategies import SEEDS, broadcastable, normal, random_cotangent


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
