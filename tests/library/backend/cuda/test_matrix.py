"""Matrix products by cuBLAS, and TensorFloat-32."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.backend.base import Window
from minicnn.backend.cuda import matrix
from minicnn.backend.cuda.matrix import product
from tests.library.support.cuda.agreement import DTYPES
from tests.library.support.strategies import SEEDS, normal

TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}


@pytest.fixture
def products(monkeypatch):
    """The compute type and the number of matrices of every call of cuBLAS."""
    cublas, calls = sys.modules["cupy.cuda.cublas"], []
    real = cublas.gemmStridedBatchedEx

    def counted(*args):
        calls.append((args[-2], args[-3]))
        real(*args)

    monkeypatch.setattr(cublas, "gemmStridedBatchedEx", counted)
    return calls


@st.composite
def matrices(draw, leading, rows, columns, dtype):
    """An array (*leading, rows, columns) with some strides: cut out, transposed, or repeated along leading axes."""
    shape = (*(length if draw(st.booleans()) else 1 for length in leading), rows, columns)
    shape = shape[draw(st.integers(0, len(leading))) :]
    order = draw(st.permutations(range(len(shape)))) if draw(st.booleans()) else range(len(shape))
    steps = [draw(st.sampled_from([1, 1, 2])) for _ in shape]
    whole = normal([shape[axis] * steps[axis] for axis in order], draw(SEEDS)).astype(dtype)
    back = np.argsort(order)
    return lambda xp, put: put(whole).transpose(*map(int, back))[tuple(slice(None, None, step) for step in steps)]


def on_host(array):
    return array


@given(data=st.data())
def test_products_of_any_shape_and_strides_are_numpys(cuda, data):
    leading = data.draw(st.lists(st.integers(0, 3), max_size=3))
    rows, inner, columns = (data.draw(st.integers(0, 5)) for _ in range(3))
    dtype = data.draw(st.sampled_from(["float32", "float64", "float16", "int64"]))
    a, b = data.draw(matrices(leading, rows, inner, dtype)), data.draw(matrices(leading, inner, columns, dtype))
    want = a(np, on_host) @ b(np, on_host)
    got = cuda.to_host(cuda.matmul(a(cuda.xp, cuda.to_device), b(cuda.xp, cuda.to_device)))
    assert got.shape == want.shape and got.dtype == want.dtype
    tolerance = TOLERANCE.get(dtype, 0)
    np.testing.assert_allclose(got, want, tolerance, 10 * tolerance)


@given(data=st.data())
def test_products_with_vectors_are_numpys(cuda, data):
    inner, seed, dtype = data.draw(st.integers(0, 4)), data.draw(SEEDS), data.draw(DTYPES)
    shapes = st.lists(st.integers(0, 3), max_size=3)
    vector = normal((inner,), seed).astype(dtype)
    matrix = normal((*data.draw(shapes), inner, data.draw(st.integers(0, 3))), seed).astype(dtype)
    for a, b in ((vector, vector), (vector, matrix), (matrix.swapaxes(-1, -2), vector)):
        want = a @ b
        got = cuda.to_host(cuda.matmul(cuda.to_device(a), cuda.to_device(b)))
        assert got.shape == np.shape(want)
        np.testing.assert_allclose(got, want, 1e-5, 1e-5)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_product_goes_where_it_is_told(cuda, dtype, add):
    """Into some rows and columns of a larger array, in float32 also where the factors have 16 bits."""
    a, b = normal((2, 3, 4), 0).astype(dtype), normal((2, 4, 5), 1).astype(dtype)
    whole = np.full((2, 6, 7), 2, "float32")
    want = whole.copy()
    want[:, :3, 1:6] = a.astype("f4") @ b.astype("f4") + (2 if add else 0)
    out = cuda.to_device(whole)
    product(cuda, cuda.to_device(a), cuda.to_device(b), out[:, :3, 1:6], tf32=False, add=add)
    np.testing.assert_allclose(cuda.to_host(out), want, 1e-5, 1e-5)


def test_matrices_whose_rows_overlap_are_copied_first(cuda):
    """cuBLAS takes no matrix with fewer numbers from row to row than a row has."""
    xp, vector, matrix = cuda.xp, normal((4,), 0), normal((4, 4), 1)
    rows, columns = (xp.broadcast_to(cuda.to_device(vector[index]), (4, 4)) for index in (None, np.s_[:, None]))
    for repeated, want in ((rows, np.tile(vector, (4, 1))), (columns, np.tile(vector, (4, 1)).T)):
        got = cuda.matmul(repeated, cuda.to_device(matrix)), cuda.matmul(cuda.to_device(matrix), repeated)
        np.testing.assert_allclose(cuda.to_host(got[0]), want @ matrix, 1e-12)
        np.testing.assert_allclose(cuda.to_host(got[1]), matrix @ want, 1e-12)


SHAPES = {
    "a batch": ((4, 3, 2, 5), (4, 3, 5, 6), [12]),
    "one matrix for all rows": ((4, 3, 2, 5), (5, 6), [1]),
    "one matrix for all columns": ((2, 5), (4, 3, 5, 6), [12]),
    "few filters for many images": ((2, 2, 5), (7, 2, 5, 6), [7, 7]),
    "many filters for few images": ((7, 2, 5), (2, 7, 5, 6), [7, 7]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_products_take_few_calls(cuda, products, name):
    a, b, calls = SHAPES[name]
    cuda.matmul(cuda.to_device(normal(a, 0)), cuda.to_device(normal(b, 1)))
    assert [count for _, count in products] == calls


def test_lengths_that_differ_are_refused(cuda):
    with pytest.raises(ValueError, match="inner lengths"):
        cuda.matmul(cuda.xp.zeros((2, 3)), cuda.xp.zeros((2, 3)))
    with pytest.raises(ValueError, match="broadcast"):
        cuda.matmul(cuda.xp.zeros((2, 3, 3)), cuda.xp.zeros((4, 3, 3)))


def test_products_round_to_tf32_only_where_allowed(cuda, products, monkeypatch):
    """By default convolutions may and other products may not, as in PyTorch; and only in float32."""
    window = Window((3, 3))

    def compute_types(dtype):
        x, weight = (cuda.to_device(normal(shape, 0).astype(dtype)) for shape in ((1, 2, 4, 4), (3, 2, 3, 3)))
        products.clear()
        dy = cuda.conv2d(x, weight, window, 1)
        cuda.conv2d_input_grad(dy, weight, x.shape, window, 1)
        cuda.conv2d_weight_grad(dy, x, weight.shape, window, 1)
        cuda.matmul(x, x)
        return [compute for compute, _ in products]

    exact, tf32, double = 68, 77, 70
    assert compute_types("float32") == [tf32, tf32, tf32, exact]
    assert compute_types("float64") == [double, double, double, double]
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_convolutions", False)
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_matmuls", True)
    assert compute_types("float32") == [exact, exact, exact, tf32]


def test_gpus_without_tf32_are_not_asked_for_it(cuda, products, monkeypatch):
    monkeypatch.setattr(matrix, "_has_tf32", matrix._has_tf32.__wrapped__)
    for generation, compute_type in (("75", 68), ("80", 77), ("120", 77)):
        monkeypatch.setattr(cuda.xp.cuda.Device, "compute_capability", generation)
        a = cuda.to_device(normal((2, 2), 0).astype("float32"))
        products.clear()
        product(cuda, a, a, cuda.xp.empty((2, 2), "float32"), tf32=True)
        assert products == [(compute_type, 1)]
