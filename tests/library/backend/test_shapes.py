"""The backend that computes nothing: NumPy's and the reference's shapes and dtypes, and a count of multiply-adds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.reference import ReferenceBackend
from minicnn.backend.shapes import ShapeArray, ShapesBackend, shape_array
from tests.library.support.strategies import axes, broadcastable, shapes

REFERENCE = ReferenceBackend()


def alike(found, expected) -> None:
    assert isinstance(found, ShapeArray)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert not any(found.strides), "takes no memory"


@given(pair=broadcastable(), dtypes=st.tuples(*[st.sampled_from(["float32", "float64", "int64"])] * 2))
def test_elementwise_functions_have_numpys_shapes_and_dtypes(pair, dtypes):
    ours, theirs = ([make(*one) for one in zip(pair, dtypes, strict=True)] for make in (shape_array, np.ones))
    for function in (np.add, np.true_divide, np.maximum, np.less):
        alike(function(*ours), function(*theirs))
    alike(np.where(ours[0] > 0, *ours), np.where(theirs[0] > 0, *theirs))
    alike(np.exp(ours[0]), np.exp(theirs[0]))


@given(shape=shapes(min_dims=1), keepdims=st.booleans(), data=st.data())
def test_reductions_have_numpys_shapes(shape, keepdims, data):
    axis = data.draw(axes(len(shape)))
    for function in ("sum", "mean", "max"):
        alike(
            getattr(shape_array(shape), function)(axis=axis, keepdims=keepdims),
            np.asarray(getattr(np.ones(shape, "float32"), function)(axis=axis, keepdims=keepdims)),
        )
    joined = [np.concatenate([x, x], axis=-1) for x in (shape_array(shape), np.ones(shape, "float32"))]
    alike(*joined)


@given(
    n=st.integers(0, 3), groups=st.integers(1, 2), group=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=st.integers(1, 3), stride=st.integers(1, 2),
)  # fmt: skip
def test_a_convolution_counts_each_product_once(n, groups, group, kernel, stride):
    """In a convolution of ones with ones, each multiply-add adds 1 to the sum of the results."""
    window = Window((kernel, kernel), (stride, stride))
    x_shape, w_shape = (n, groups * group[0], 5, 4), (groups * group[1], group[0], kernel, kernel)
    backend = ShapesBackend()
    found = backend.conv2d(shape_array(x_shape), shape_array(w_shape), window, groups)
    expected = REFERENCE.conv2d(np.ones(x_shape, "float32"), np.ones(w_shape, "float32"), window, groups)
    alike(found, expected)
    assert backend.multiply_adds == expected.sum()


@pytest.mark.parametrize("pair", [((3, 4), (4, 2)), ((4,), (4, 2)), ((5, 1, 3, 4), (2, 4, 2))], ids=str)
def test_a_matrix_product_counts_each_product_once(pair):
    backend = ShapesBackend()
    expected = np.matmul(*(np.ones(shape, "float32") for shape in pair))
    alike(backend.matmul(*map(shape_array, pair)), expected)
    assert backend.multiply_adds == expected.sum()
