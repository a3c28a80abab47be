"""Batch normalisation in single passes against the reference: layouts, edges of blocks, NaN, means far off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory, norm
from minicnn.backend.reference import fused_norm
from minicnn.backend.reference import norm as reference
from tests.library.cpu.arrays import CHANNELS, DTYPES, LAYOUTS, SIDES, close, is_channels_last, laid_out
from tests.library.strategies import SEEDS, normal

EPS = 1e-5


@st.composite
def images(draw):
    """Numbers of a shape (N, C, ...), two layouts, a dtype, gamma and beta or ``None``."""
    channels, sides = draw(CHANNELS), draw(st.one_of(SIDES, st.just(()), st.just((5,))))
    shape = (draw(st.integers(2, 3)), channels, *sides)
    dtype, seed = draw(DTYPES), draw(SEEDS)
    weight, bias = (normal((channels,), seed + k).astype(dtype) if draw(st.booleans()) else None for k in (1, 2))
    layouts = [draw(st.sampled_from(LAYOUTS[:-1])) for _ in range(4)]
    many = [laid_out(normal(shape, seed + 3 + k).astype(dtype), layout) for k, layout in enumerate(layouts)]
    return many, weight, bias


def wide(*arrays):
    return [None if array is None else array.astype(np.float64) for array in arrays]


@given(drawn=images(), relu=st.booleans(), with_residual=st.booleans(), mean=st.sampled_from([0, -3, 1000]))
def test_forward_and_backward(drawn, relu, with_residual, mean):
    (x, dy, residual, _), weight, bias = drawn
    x, dtype = x + x.dtype.type(mean), x.dtype
    before = [array.copy() for array in (x, dy, residual)]
    with memory.guarded():
        statistics = norm.batch_norm_statistics(x, weight, bias, EPS)
        y = norm.batch_norm_apply(x, statistics[0], *statistics[3:], residual if with_residual else None, relu)
        gradients = norm.batch_norm_fused_grad(
            dy, x, weight, statistics[0], statistics[2], y if relu else None, with_residual
        )
        plain = norm.batch_norm(x, weight, bias, EPS)
        plain_gradients = norm.batch_norm_grad(dy, x, weight, statistics[0], statistics[2])
    for array, copy in zip((x, dy, residual), before, strict=True):
        np.testing.assert_array_equal(array, copy)

    # The reference in float64, with our own statistics rounded to the dtype: what is left is one pass's rounding.
    expected = fused_norm.batch_norm_statistics(*wide(x, weight, bias), EPS)
    tight = 1 if mean == 0 or dtype == np.float64 else 10
    for got, want in zip(statistics, expected, strict=True):
        if want is None:
            assert got is None
        else:
            close(got, want, dtype, tight)
    parts = wide(x, statistics[0], *statistics[3:])
    expected_y = fused_norm.batch_norm_apply(*parts, *(wide(residual) if with_residual else [None]), relu)
    close(y, expected_y, dtype, tight)
    assert x.ndim != 4 or is_channels_last(y)
    expected = fused_norm.batch_norm_fused_grad(
        *wide(dy, x, weight, statistics[0], statistics[2], y if relu else None), with_residual
    )
    # Where a gradient is small, it is the difference of numbers of this size.
    size = np.abs(dy).max() * np.abs(statistics[2]).max() * (1 if weight is None else np.abs(weight).max())
    for got, want in zip(gradients[:3], expected[:3], strict=True):
        close(got, want, dtype, 3 * tight, size)
    if with_residual:
        np.testing.assert_array_equal(gradients[3], expected[3].astype(dtype))
    else:
        assert gradients[3] is None
    for got, want in zip(plain, reference.batch_norm(*wide(x, weight, bias), EPS), strict=True):
        close(got, want, dtype, 3 * tight * (1 if mean < 1000 else 10))
    expected = reference.batch_norm_grad(*wide(dy, x, weight, statistics[0], statistics[2]))
    for got, want in zip(plain_gradients, expected, strict=True):
        close(got, want, dtype, 3 * tight, size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 64, 37, 41), (3, 3, 129, 127), (1, 700, 11, 13)])
def test_shared_among_jobs(shape, dtype):
    """Sizes that are cut into many jobs; twice the same gives the same bits."""
    x, dy, residual = (laid_out(normal(shape, seed).astype(dtype), "channels last") for seed in range(3))
    weight, bias = normal(shape[1:2], 4).astype(dtype), normal(shape[1:2], 5).astype(dtype)

    def run():
        with memory.guarded():
            statistics = norm.batch_norm_statistics(x, weight, bias, EPS)
            y = norm.batch_norm_apply(x, statistics[0], *statistics[3:], residual, True)
            gradients = norm.batch_norm_fused_grad(dy, x, weight, statistics[0], statistics[2], y, True)
        return *statistics, y, *gradients

    first, second = run(), run()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    mean, variance, inv_std, scale, shift, y, *gradients = first
    close(mean, x.mean(axis=(0, 2, 3), dtype=np.float64), dtype)
    close(variance, x.var(axis=(0, 2, 3), dtype=np.float64), dtype)
    close(y, fused_norm.batch_norm_apply(*wide(x, mean, scale, shift, residual), True), dtype)
    expected = fused_norm.batch_norm_fused_grad(*wide(dy, x, weight, mean, inv_std, y), True)
    for got, want in zip(gradients, expected, strict=True):
        close(got, want, dtype, 3)


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e3), (np.float32, 1e6), (np.float64, 1e8)])
def test_a_mean_far_from_zero_costs_no_digits_of_the_variance(dtype, far):
    x = laid_out((normal((4, 5, 16, 16), 1) + far).astype(dtype), "channels last")
    mean, variance, *_ = norm.batch_norm_statistics(x, None, None, 0.0)
    close(mean, x.mean(axis=(0, 2, 3), dtype=np.longdouble).astype(np.float64), dtype)
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True, dtype=np.longdouble)
    close(variance, (centred**2).mean(axis=(0, 2, 3)).astype(np.float64), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_pixel_far_from_the_others(dtype):
    x = normal((2, 3, 64, 64), 1).astype(dtype)
    x[0, :, 0, 0] = 1e4
    _, variance, *_ = norm.batch_norm_statistics(x, None, None, 0.0)
    close(variance, x.var(axis=(0, 2, 3), dtype=np.longdouble).astype(np.float64), dtype)


def test_a_constant_channel_has_no_variance():
    x = np.full((3, 4, 5, 5), 0.1, np.float32)
    mean, variance, inv_std, _, _ = norm.batch_norm_statistics(x, None, None, EPS)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(mean, np.float32(0.1))
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(EPS), rtol=1e-6)
    np.testing.assert_array_equal(norm.batch_norm_apply(x, mean, inv_std, None), 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_not_a_number_stays_in_its_channel(bad, dtype):
    x = normal((2, 3, 4, 5), 0).astype(dtype)
    dy = normal(x.shape, 1).astype(dtype)
    x[1, 1, 2, 3] = bad
    with np.errstate(invalid="ignore"):
        got = norm.batch_norm_statistics(x, None, None, EPS)
        for one, want in zip(got, fused_norm.batch_norm_statistics(x, None, None, EPS), strict=True):
            np.testing.assert_array_equal(one, want)
        mean, scale = np.zeros(3, dtype), np.ones(3, dtype)
        for residual in (None, dy):
            for relu in (True, False):
                y = norm.batch_norm_apply(x, mean, scale, None, residual, relu)
                np.testing.assert_array_equal(y, fused_norm.batch_norm_apply(x, mean, scale, None, residual, relu))
        y = norm.batch_norm_apply(x, mean, scale, None, None, True)
        got = norm.batch_norm_fused_grad(dy, x, None, mean, scale, y, True)
        for one, want in zip(got, fused_norm.batch_norm_fused_grad(dy, x, None, mean, scale, y, True), strict=True):
            assert (np.isnan(one) == np.isnan(want)).all()
            np.testing.assert_allclose(one[np.isfinite(want)], want[np.isfinite(want)], rtol=1e-4, atol=1e-6)


@given(x=images(), dtype=st.sampled_from([np.float16, np.int64, "mixed", "empty"]))
def test_what_the_kernels_do_not_take_goes_to_the_reference(x, dtype):
    (x, residual, *_), weight, bias = x
    if dtype == "empty":
        x, residual = x[:0], residual[:0]
    elif dtype == "mixed":
        residual = residual.astype(np.float32 if x.dtype == np.float64 else np.float64)
    else:
        x, residual = x.astype(dtype), residual.astype(dtype)
    scale = np.ones(x.shape[1], x.dtype)
    got = norm.batch_norm_apply(x, None, scale, None, residual, True)
    want = fused_norm.batch_norm_apply(x, None, scale, None, residual, True)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if dtype in ("mixed", "empty"):
        return
    got, want = (f(x, weight, bias, EPS) for f in (norm.batch_norm_statistics, fused_norm.batch_norm_statistics))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)
