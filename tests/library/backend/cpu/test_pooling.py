"""Pooling, channels last, against the reference: ties, NaN, -inf, windows that overlap, hang over or lie in padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu import memory, pooling
from minicnn.backend.reference import pooling as reference
from tests.library.support.layouts import DTYPES, LAYOUTS, close, is_channels_last, laid_out
from tests.library.support.strategies import SEEDS, normal, pairs

INF, NAN = np.inf, np.nan


def _both(value):
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def pooled(draw, dilated=True):
    """x, the window and the size of the output; small whole numbers: there are ties. With NaN and infinities."""
    kernel, stride = _both(draw(pairs(1, 4))), _both(draw(pairs(1, 4)))
    dilation = _both(draw(pairs(1, 3))) if dilated else (1, 1)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(2))
    window = Window(kernel, stride, padding, dilation)
    least = [max(1, window.extent(axis) - sum(padding[axis])) for axis in (0, 1)]
    height, width = (draw(st.integers(low, max(low, 9))) for low in least)
    out_size = tuple(size + draw(st.integers(0, 1)) for size in window.output_size((height, width)))  # ceil_mode
    shape = (draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 16, 17, 65])), height, width)
    values = np.round(normal(shape, draw(SEEDS)))
    special = draw(st.sampled_from([None, NAN, INF, -INF, "lowest"]))
    if special == "lowest":
        values[...] = -INF
    elif special is not None:
        values[normal(shape, draw(SEEDS)) > 0.5] = special
    return laid_out(values.astype(draw(DTYPES)), draw(st.sampled_from(LAYOUTS))), window, out_size


@given(drawn=pooled(), layout=st.sampled_from(LAYOUTS), seed=SEEDS)
def test_max_pool(drawn, layout, seed):
    x, window, out_size = drawn
    expected, where = reference.max_pool2d(x, window, out_size)
    with memory.guarded():
        y, indices = pooling.max_pool2d(x, window, out_size)
        values, taps = pooling.max_pool_taps(x, window, out_size)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, where)
    np.testing.assert_array_equal(values, expected)
    assert indices.dtype == np.int64 and taps.dtype == np.uint8 and is_channels_last(values)

    # Where all windows see the image; only there does the reference's index tell where the gradient goes.
    if ((where >= 0) & (where < x.shape[2] * x.shape[3])).all() and pooling.all_see_pixels(x.shape, window, out_size):
        np.testing.assert_array_equal(pooling.taps_to_indices(taps, x.shape, window), where)
        dy = laid_out(normal(y.shape, seed).astype(x.dtype), layout)
        expected = reference.max_pool2d_grad(dy, where, x.shape)
        with memory.guarded():
            dx = pooling.max_pool_taps_grad(dy, taps, x.shape, window)
            from_indices = pooling.max_pool2d_grad(dy, laid_out(where, layout), x.shape)
        close(dx, expected, x.dtype)
        if layout != "broadcast" or len(dy) == 1:
            close(from_indices, expected, x.dtype)


@pytest.mark.parametrize("value", [-INF, NAN])
def test_where_nothing_is_larger_the_winner_lies_in_the_image(value):
    window, out_size = Window((3, 2), (2, 2), ((2, 1), (1, 0)), (1, 2)), (4, 3)
    x = np.full((2, 3, 6, 5), value)
    expected, where = reference.max_pool2d(x, window, out_size)
    y, indices = pooling.max_pool2d(x, window, out_size)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, where)
    assert indices.min() >= 0 and indices.max() < 30


def test_a_window_that_sees_only_padding_has_no_winner():
    window, out_size = Window((1, 1), (1, 1), ((0, 0), (1, 1))), (2, 4)
    x = normal((1, 2, 2, 2), 0)
    y, taps = pooling.max_pool_taps(x, window, out_size)
    np.testing.assert_array_equal(y[..., (0, 3)], -INF)
    np.testing.assert_array_equal(y[..., 1:3], x)
    dx = pooling.max_pool_taps_grad(np.ones(y.shape), taps, x.shape, window)
    np.testing.assert_array_equal(dx, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_of_more_than_256_taps(dtype):
    x = normal((2, 5, 21, 19), 0).astype(dtype)
    x[0] = np.arange(5 * 21 * 19).reshape(5, 21, 19)  # the last tap wins
    window, out_size = Window((17, 16), (2, 1), ((1, 1), (0, 0))), (4, 4)
    y, taps = pooling.max_pool_taps(x, window, out_size)
    assert taps.dtype == np.int64 and taps.max() > 255
    expected, where = reference.max_pool2d(x, window, out_size)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(pooling.taps_to_indices(taps, x.shape, window), where)
    dy = normal(y.shape, 1).astype(dtype)
    got = pooling.max_pool_taps_grad(dy, taps, x.shape, window)
    close(got, reference.max_pool2d_grad(dy, where, x.shape), dtype)


def test_a_window_of_more_taps_than_two_bytes_count():
    x = np.zeros((1, 2, 300, 300), np.float32)
    x[0, 0, 250, 7], x[0, 1, 299, 299] = 5, 3
    window = Window((300, 300))
    y, taps = pooling.max_pool_taps(x, window, (1, 1))
    assert pooling.taps_to_indices(taps, x.shape, window).ravel().tolist() == [250 * 300 + 7, 299 * 300 + 299]
    dx = pooling.max_pool_taps_grad(np.ones_like(y), taps, x.shape, window)
    np.testing.assert_array_equal(np.argwhere(dx), [[0, 0, 250, 7], [0, 1, 299, 299]])


@pytest.mark.parametrize("bad", [-(10**6), 10**6])
def test_indices_outside_the_image_are_an_error_and_not_a_write(bad):
    indices = np.zeros((2, 64, 4, 4), np.int64)
    indices[1, 40, 3, 3] = bad
    with memory.guarded(), pytest.raises(IndexError):
        pooling.max_pool2d_grad(np.ones(indices.shape), indices, (2, 64, 9, 9))


@given(drawn=pooled(dilated=False), layout=st.sampled_from(LAYOUTS), seed=SEEDS)
def test_avg_pool(drawn, layout, seed):
    x, window, out_size = drawn
    divisor = np.random.default_rng(seed).integers(1, 9, out_size)
    with np.errstate(invalid="ignore"):
        expected = reference.avg_pool2d(x, window, divisor)
        with memory.guarded():
            close(pooling.avg_pool2d(x, window, divisor), expected, x.dtype)
        dy = laid_out(normal(expected.shape, seed).astype(x.dtype), layout)
        with memory.guarded():
            dx = pooling.avg_pool2d_grad(dy, x.shape, window, divisor)
        close(dx, reference.avg_pool2d_grad(dy, x.shape, window, divisor), x.dtype)


@given(
    n=st.integers(1, 3), channels=st.sampled_from([1, 3, 16, 129]), cells=pairs(1, 3), size=pairs(1, 9),
    fits=st.booleans(), layout=st.sampled_from(LAYOUTS), dtype=DTYPES, seed=SEEDS,
)  # fmt: skip
def test_adaptive_avg_pool(n, channels, cells, size, fits, layout, dtype, seed):
    cells, size = _both(cells), _both(size)
    height, width = (a * b if fits else b for a, b in zip(cells, size, strict=True))
    x = laid_out(normal((n, channels, height, width), seed).astype(dtype), layout)
    with memory.guarded():
        y = pooling.adaptive_avg_pool2d(x, cells)
    close(y, reference.adaptive_avg_pool2d(x.astype(np.float64), cells), dtype)
    dy = laid_out(normal(y.shape, seed + 1).astype(dtype), layout)
    with memory.guarded():
        dx = pooling.adaptive_avg_pool2d_grad(dy, x.shape)
    close(dx, reference.adaptive_avg_pool2d_grad(dy, x.shape), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shared_among_jobs(dtype):
    """A size that is cut into many jobs; twice the same gives the same bits."""
    x = laid_out(np.round(normal((3, 48, 37, 41), 0), 1).astype(dtype), "channels last")
    window, out_size = Window((3, 3), (2, 2), ((1, 1), (1, 1))), (19, 21)
    dy, divisor = normal((3, 48, *out_size), 1).astype(dtype), np.full(out_size, 9)

    def run():
        with memory.guarded():
            y, taps = pooling.max_pool_taps(x, window, out_size)
            indices = pooling.taps_to_indices(taps, x.shape, window)
            return (
                y, indices, pooling.max_pool_taps_grad(dy, taps, x.shape, window),
                pooling.max_pool2d_grad(dy, indices, x.shape), pooling.avg_pool2d(x, window, divisor),
                pooling.avg_pool2d_grad(dy, x.shape, window, divisor), pooling.adaptive_avg_pool2d(x, (1, 1)),
            )  # fmt: skip

    y, where = reference.max_pool2d(x, window, out_size)
    dx = reference.max_pool2d_grad(dy, where, x.shape)
    average, average_grad = (
        reference.avg_pool2d(x, window, divisor),
        reference.avg_pool2d_grad(dy, x.shape, window, divisor),
    )
    expected = y, where, dx, dx, average, average_grad, reference.adaptive_avg_pool2d(x.astype(np.float64), (1, 1))
    for one, other, want in zip(run(), run(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
        if want is where:
            np.testing.assert_array_equal(one, want)
        else:
            close(one, want, dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.int64])
def test_other_dtypes_go_to_the_reference(dtype):
    x = (10 * normal((2, 3, 5, 4), 0)).astype(dtype)
    window, out_size = Window((2, 2), (2, 2)), (2, 2)
    for got, want in zip(
        pooling.max_pool2d(x, window, out_size), reference.max_pool2d(x, window, out_size), strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_empty_batches():
    x, window = np.zeros((0, 3, 5, 4), np.float32), Window((2, 2), (2, 2))
    y, indices = pooling.max_pool2d(x, window, (2, 2))
    assert y.shape == indices.shape == (0, 3, 2, 2)
    assert pooling.max_pool2d_grad(y, indices, x.shape).shape == x.shape
    assert pooling.avg_pool2d(x, window, np.ones((2, 2))).shape == y.shape
    assert pooling.adaptive_avg_pool2d(x, (1, 1)).shape == (0, 3, 1, 1)
