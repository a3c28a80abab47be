"""Pooling against the loops of its definition: windows that hang over, ties, NaN, empty batches, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ShapeError
from tests.library.support import oracles
from tests.library.support.cases.layers import CASES
from tests.library.support.strategies import average_poolings, normal, poolings, random_cotangent

DRAWS = {case.name: case.draw for case in CASES}
INF, NAN = math.inf, math.nan


@given(drawn=poolings(dilated=True))
def test_max_pool2d(drawn):
    (x,), options = drawn
    got, where = F.max_pool2d(minicnn.tensor(x), **options, return_indices=True)
    expected, indices = oracles.max_pool2d(x, **options)
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(where.numpy(), indices)
    assert where.dtype == np.int64
    np.testing.assert_array_equal(F.max_pool2d(minicnn.tensor(x), **options).numpy(), expected)


@given(drawn=poolings(dilated=True))
def test_max_pool2d_sends_the_gradient_to_the_winner(drawn):
    (x,), options = drawn
    t = minicnn.tensor(x, requires_grad=True)
    y = F.max_pool2d(t, **options)
    cotangent = random_cotangent(y.shape, 0)
    y.backward(minicnn.tensor(cotangent))
    _, indices = oracles.max_pool2d(x, **options)
    expected = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(indices.shape):
        row, column = divmod(int(indices[n, c, i, j]), x.shape[3])
        expected[n, c, row, column] += cotangent[n, c, i, j]
    np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(drawn=average_poolings())
def test_avg_pool2d(drawn):
    (x,), options = drawn
    got = F.avg_pool2d(minicnn.tensor(x), **options)
    expected = oracles.avg_pool2d(x, **options)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(drawn=DRAWS["adaptive_avg_pool2d"])
def test_adaptive_avg_pool2d(drawn):
    (x,), options = drawn
    size = options["output_size"]
    lengths = (size, size) if isinstance(size, int) else size
    lengths = tuple(own if wanted is None else wanted for own, wanted in zip(x.shape[2:], lengths, strict=True))
    got = F.adaptive_avg_pool2d(minicnn.tensor(x), size)
    np.testing.assert_allclose(got.numpy(), oracles.adaptive_avg_pool2d(x, lengths), rtol=1e-12, atol=1e-12)


def image(*rows):
    return minicnn.tensor(np.array([[rows]], dtype=float), requires_grad=True)


def test_of_equals_the_first_wins():
    x = image([1, 5, 5], [5, 5, 1], [0, 0, 0])
    y, where = F.max_pool2d(x, 2, 1, return_indices=True)
    assert where.tolist() == [[[[1, 1], [3, 4]]]]
    y.sum().backward()
    assert x.grad.tolist() == [[[[0, 2, 0], [1, 1, 0], [0, 0, 0]]]]


def test_nan_wins():
    y, where = F.max_pool2d(image([1, NAN, 9, 9], [2, 3, 9, 9]), 2, return_indices=True)
    assert math.isnan(y.tolist()[0][0][0][0]) and y.tolist()[0][0][0][1] == 9
    assert where.tolist() == [[[[1, 2]]]]


def test_a_window_of_minus_infinity_points_into_the_image():
    """Padding never wins, not even against -inf, and the gradient stays inside the window."""
    x = image([-INF, -INF], [-INF, -INF])
    y, where = F.max_pool2d(x, 2, 2, 1, return_indices=True)
    assert y.tolist() == [[[[-INF, -INF], [-INF, -INF]]]]
    assert where.tolist() == [[[[0, 1], [2, 3]]]]
    y.sum().backward()
    assert x.grad.tolist() == [[[[1, 1], [1, 1]]]]


def test_padding_is_no_number_for_the_maximum():
    assert F.max_pool2d(image([-5, -7], [-6, -8]), 3, 1, 1).tolist() == [[[[-5, -5], [-5, -5]]]]


def test_ceil_mode_and_how_the_average_counts():
    x = image([1, 2, 3], [4, 5, 6], [7, 8, 9])
    assert F.max_pool2d(x, 2, 2).tolist() == [[[[5]]]]
    assert F.max_pool2d(x, 2, 2, ceil_mode=True).tolist() == [[[[5, 6], [8, 9]]]]
    assert F.avg_pool2d(x, 2, 2, ceil_mode=True).tolist() == [[[[3, 4.5], [7.5, 9]]]]
    assert F.avg_pool2d(x, 2, 2, 1).tolist() == [[[[0.25, 1.25], [2.75, 7]]]]
    assert F.avg_pool2d(x, 2, 2, 1, count_include_pad=False).tolist() == [[[[1, 2.5], [5.5, 7]]]]
    assert F.avg_pool2d(x, 2, 2, divisor_override=2).tolist() == [[[[6]]]]
    assert F.max_pool2d(x, 1, 3, ceil_mode=True).tolist() == [[[[1]]]]  # the next would start outside


@pytest.mark.parametrize(
    "pool", [lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 2)]
)
def test_batches_of_none_one_and_no_batch(pool):
    x = minicnn.tensor(normal((1, 3, 4, 4), 0))
    assert pool(x[0]).shape == (3, 2, 2)
    np.testing.assert_array_equal(pool(x[0]).numpy(), pool(x).numpy()[0])
    empty = minicnn.zeros(0, 3, 4, 4, requires_grad=True)
    y = pool(empty)
    assert y.shape == (0, 3, 2, 2)
    y.sum().backward()
    assert empty.grad.shape == (0, 3, 4, 4)


def test_integers_can_be_pooled():
    x = minicnn.tensor(np.arange(-8, 8).reshape(1, 1, 4, 4))
    got = F.max_pool2d(x, 3, 2, 1)
    assert got.dtype == np.int64 and got.tolist() == [[[[-3, -1], [5, 7]]]]


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
@pytest.mark.parametrize(
    ("shape", "options", "error", "words"),
    [
        ((1, 1, 2, 2), {"kernel_size": 3}, ShapeError, r"kernel's extent \(3, 3\) with padding \(0, 0\), got 2x2"),
        ((2, 2), {"kernel_size": 1}, ShapeError, r"\(N, C, H, W\) or one image \(C, H, W\), got shape \(2, 2\)"),
        (
            (1, 1, 4, 4),
            {"kernel_size": 2, "padding": 2},
            ValueError,
            r"padding \(=\(2, 2\)\) to be at most half of kernel_size \(=\(2, 2\)\)",
        ),
        ((1, 1, 4, 4), {"kernel_size": 0}, ValueError, r"kernel_size \(=0\) to be at least 1"),
        ((1, 1, 4, 4), {"kernel_size": 2, "stride": 0}, ValueError, r"stride \(=0\) to be at least 1"),
        ((1, 1, 4, 4), {"kernel_size": 2, "stride": 1.5}, TypeError, "an integer as stride, got 1.5"),
        ((1, 1, 4, 4), {"kernel_size": 2, "padding": -1}, ValueError, r"padding \(=-1\) to be at least 0"),
        ((1, 1, 4, 4), {"kernel_size": (1, 2, 3)}, ValueError, r"as kernel_size, got \(1, 2, 3\)"),
    ],
)
def test_errors_of_function_and_layer(pool, shape, options, error, words):
    layer = {F.max_pool2d: nn.MaxPool2d, F.avg_pool2d: nn.AvgPool2d}[pool]
    for call in (pool, lambda x, **options: layer(**options)(x)):
        with pytest.raises(error, match=words):
            call(minicnn.zeros(*shape), **options)
    if error is not ShapeError:  # what needs no image to be wrong is refused before there is one
        with pytest.raises(error, match=words):
            layer(**options)


def test_errors_of_one_kind():
    with pytest.raises(ValueError, match=r"dilation \(=0\) to be at least 1"):
        F.max_pool2d(minicnn.zeros(1, 1, 4, 4), 2, dilation=0)
    with pytest.raises(ValueError, match="divisor_override: .* other than 0"):
        F.avg_pool2d(minicnn.zeros(1, 1, 4, 4), 2, divisor_override=0)
    for call in (nn.AdaptiveAvgPool2d, lambda size: F.adaptive_avg_pool2d(minicnn.zeros(1, 1, 4, 4), size)):
        with pytest.raises(ValueError, match=r"output_size \(=0\) to be at least 1"):
            call((None, 0))
        with pytest.raises(TypeError, match="an integer as output_size, got 1.5"):
            call(1.5)
