"""Batch normalisation by itself against the reference: layouts, edges of blocks, NaN, means far off."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory, norm
from minicnn.backend.reference import affine
from minicnn.backend.reference import norm as reference
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, close, is_channels_last, laid_out
from tests.library.support.strategies import SEEDS, normal

EPS = 1e-5
REFERENCE = {f.__name__: f for f in (reference.batch_norm, reference.batch_norm_grad, affine.scale_and_shift)}


@st.composite
def images(draw):
    """x and dy of a shape (N, C, ...), in two layouts; gamma and beta or ``None``."""
    channels, sides = draw(CHANNELS), draw(st.one_of(SIDES, st.just(()), st.just((5,))))
    shape = (draw(st.integers(2, 3)), channels, *sides)
    dtype, seed = draw(DTYPES), draw(SEEDS)
    weight, bias = (normal((channels,), seed + k).astype(dtype) if draw(st.booleans()) else None for k in (1, 2))
    x, dy = (laid_out(normal(shape, seed + k).astype(dtype), draw(st.sampled_from(LAYOUTS[:-1]))) for k in (3, 4))
    return x, dy, weight, bias


def wide(*arrays):
    return [None if array is None else array.astype(np.float64) for array in arrays]


@given(drawn=images(), far=st.sampled_from([0, -3, 1000]))
def test_forward_and_backward(drawn, far):
    x, dy, weight, bias = drawn
    x, dtype = x + x.dtype.type(far), x.dtype
    before = x.copy(), dy.copy()
    with memory.guarded():
        y, mean, variance, inv_std = norm.batch_norm(x, weight, bias, EPS)
        gradients = norm.batch_norm_grad(dy, x, weight, mean, inv_std)
        line = norm.scale_and_shift(x, inv_std, mean)
    for array, copy in zip((x, dy), before, strict=True):
        np.testing.assert_array_equal(array, copy)

    wide_y, *expected = reference.batch_norm(*wide(x, weight, bias), EPS)
    tight = 1 if far == 0 or dtype == np.float64 else 10
    for got, want in zip((mean, variance, inv_std), expected, strict=True):
        close(got, want, dtype, tight)
    close(y, wide_y, dtype, 3 * tight * (1 if far < 1000 else 10))
    # With our own statistics, rounded to the dtype, what is left is one pass's rounding.
    centred = x.astype(np.float64) - reference.per_channel(mean, x)
    scale = inv_std if weight is None else weight * inv_std
    close(y, affine.scale_and_shift(centred, scale, 0 * mean if bias is None else bias), dtype, tight)
    close(line, affine.scale_and_shift(*wide(x, inv_std, mean)), dtype)
    assert x.ndim != 4 or (is_channels_last(y) and is_channels_last(line) and is_channels_last(gradients[0]))
    # Where a gradient is small, it is the difference of numbers of this size.
    size = np.abs(dy).max() * np.abs(inv_std).max() * (1 if weight is None else np.abs(weight).max())
    expected = reference.batch_norm_grad(*wide(dy, x, weight, mean, inv_std))
    for got, want in zip(gradients, expected, strict=True):
        close(got, want, dtype, 3 * tight, size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 64, 37, 41), (3, 3, 129, 127), (1, 700, 11, 13)])
def test_shared_among_jobs(shape, dtype):
    """Sizes that are cut into many jobs; one thread gives the same bits as all."""
    x, dy = (laid_out(normal(shape, seed).astype(dtype), "channels last") for seed in range(2))
    weight, bias = normal(shape[1:2], 4).astype(dtype), normal(shape[1:2], 5).astype(dtype)

    def run():
        with memory.guarded():
            y, mean, variance, inv_std = norm.batch_norm(x, weight, bias, EPS)
            gradients = norm.batch_norm_grad(dy, x, weight, mean, inv_std)
            return y, mean, variance, inv_std, *gradients, norm.scale_and_shift(x, weight, bias)

    threads, first = numba.get_num_threads(), run()
    numba.set_num_threads(1)
    try:
        second = run()
    finally:
        numba.set_num_threads(threads)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    y, mean, variance, inv_std, *gradients, line = first
    for got, want in zip(first, reference.batch_norm(*wide(x, weight, bias), EPS), strict=False):
        close(got, want, dtype)
    expected = reference.batch_norm_grad(*wide(dy, x, weight, mean, inv_std))
    for got, want in zip(gradients, expected, strict=True):
        close(got, want, dtype, 3)
    close(line, affine.scale_and_shift(*wide(x, weight, bias)), dtype)


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e3), (np.float32, 1e6), (np.float64, 1e8)])
def test_a_mean_far_from_zero_costs_no_digits_of_the_variance(dtype, far):
    x = laid_out((normal((4, 5, 16, 16), 1) + far).astype(dtype), "channels last")
    _, mean, variance, _ = norm.batch_norm(x, None, None, 0.0)
    close(mean, x.mean(axis=(0, 2, 3), dtype=np.longdouble).astype(np.float64), dtype)
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True, dtype=np.longdouble)
    close(variance, (centred**2).mean(axis=(0, 2, 3)).astype(np.float64), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_pixel_far_from_the_others(dtype):
    x = normal((2, 3, 64, 64), 1).astype(dtype)
    x[0, :, 0, 0] = 1e4
    _, _, variance, _ = norm.batch_norm(x, None, None, 0.0)
    close(variance, x.var(axis=(0, 2, 3), dtype=np.longdouble).astype(np.float64), dtype)


def test_a_constant_channel_has_no_variance():
    x = np.full((3, 4, 5, 5), 0.1, np.float32)
    y, mean, variance, inv_std = norm.batch_norm(x, None, None, EPS)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(mean, np.float32(0.1))
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(EPS), rtol=1e-6)
    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_not_a_number_stays_in_its_channel(bad, dtype):
    x, dy = (normal((2, 3, 4, 5), k).astype(dtype) for k in range(2))
    x[0, 1, 2, 3] = bad
    zero, one = np.zeros(3, dtype), np.ones(3, dtype)
    bads = np.array([bad, 0, 1], dtype)
    for function, *args in (
        (norm.batch_norm, x, None, None, EPS),
        (norm.batch_norm_grad, dy, x, None, zero, one),
        (norm.scale_and_shift, x, one, zero),
        (norm.scale_and_shift, x, bads, one),
        (norm.scale_and_shift, x, one, bads),
    ):
        with np.errstate(invalid="ignore"):
            got, want = function(*args), REFERENCE[function.__name__](*args)
        for some, other in zip(got, want, strict=True):
            np.testing.assert_allclose(some, other, rtol=1e-4, atol=1e-5)
            assert not np.isfinite(got[0]).all()


@given(drawn=images(), what=st.sampled_from(["float16", "int64", "mixed", "empty"]))
def test_what_the_kernels_do_not_take_goes_to_the_reference(drawn, what):
    x, dy, weight, bias = drawn
    scale, shift = (normal(x.shape[1:2], k).astype(x.dtype) for k in range(2))
    if what == "empty":
        x = x[:0]
    elif what == "mixed":
        shift = shift.astype("f8" if x.dtype == "f4" else "f4")
    else:
        x, dy = x.astype(what), dy.astype(what)
    calls = [(norm.scale_and_shift, x, scale, shift)]
    if what != "empty":
        calls += [(norm.batch_norm, x, scale, shift, EPS), (norm.batch_norm_grad, dy, x, weight, shift, scale)]
    for function, *args in calls:
        got, want = function(*args), REFERENCE[function.__name__](*args)
        for some, other in zip(got, want, strict=True):
            assert some.dtype == other.dtype
            np.testing.assert_array_equal(some, other)
