"""Elementwise functions and channel products against NumPy: layouts, signs of zero and size, NaN, infinities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory, pointwise
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, close, is_channels_last, laid_out
from tests.library.support.strategies import SEEDS, normal


def logistic(x):
    small = np.exp(-abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def silu_grad(dy, x):
    return dy * logistic(x) * (1 + x * (1 - logistic(x)))


UNARY = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": logistic,
    "silu": lambda x: x * logistic(x),
}
BINARY = {
    "relu_grad": lambda dy, y: np.where(y <= 0, 0, dy),
    "sigmoid_grad": lambda dy, y: dy * y * (1 - y),
    "silu_grad": silu_grad,
    "add": lambda a, b: a + b,
}


@st.composite
def operands(draw):
    """Two arrays of one shape and dtype, of any number of axes, each somehow in memory; some numbers are special."""
    shape = draw(
        st.one_of(
            st.sampled_from([(), (1,), (127,), (5, 3), (3, 1, 129), (2, 3, 4, 5, 2)]),
            st.builds(lambda n, c, sides: (n, c, *sides), st.integers(1, 3), CHANNELS, SIDES),
        )
    )
    dtype, seed = draw(DTYPES), draw(SEEDS)
    pair = []
    for k in range(2):
        values = np.asarray(normal(shape, seed + k) * draw(st.sampled_from([1, 30])), dtype)
        if shape and draw(st.booleans()):
            flat = values.reshape(-1)
            flat[::5] = np.resize(np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e30, -1e30]), flat[::5].size)
        layouts = LAYOUTS if len(shape) > 1 else ("C", "read-only", "Fortran") if shape else ("C",)
        pair.append(laid_out(values, draw(st.sampled_from(layouts))) if len(shape) > 1 else values)
    return pair


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
@given(pair=operands())
@np.errstate(invalid="ignore", over="ignore")
def test_elementwise(name, pair):
    function = getattr(pointwise, name)
    arrays = pair if name in BINARY else pair[1:]
    expected = (BINARY | UNARY)[name](*arrays)
    with memory.guarded():
        got = function(*arrays)
    assert got.shape == expected.shape and got.dtype == expected.dtype
    if name in ("relu", "relu_grad", "add"):
        np.testing.assert_array_equal(got, expected)
        return
    tolerance, least = (4e-6, 1e-37) if got.dtype == np.float32 else (1e-14, 0)
    # The factor 1 + x (1 - s) of SiLU's gradient has a zero, about which it is the difference of numbers near 1.
    wrong = np.abs(got - expected) > tolerance * (np.abs(expected) + np.abs(arrays[0])) + least
    assert not wrong.any()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(got[~finite], expected[~finite])


@given(n=st.integers(1, 3), channels=CHANNELS, sides=SIDES, dtype=DTYPES, layout=st.sampled_from(LAYOUTS))
def test_plane_products(n, channels, sides, dtype, layout):
    dy, x = (laid_out(normal((n, channels, *sides), k).astype(dtype), layout) for k in range(2))
    expected = (dy.astype(np.float64) * x).sum(axis=(2, 3), keepdims=True)
    with memory.guarded():
        got = pointwise.plane_products(dy, x)
    close(got, expected, dtype, 1, sides[0] * sides[1])


def test_layouts_are_kept():
    """Arrays that lie alike are not copied, and the result lies like them."""
    for layout in ("channels last", "C", "Fortran"):
        x, y = (laid_out(normal((2, 3, 4, 5), seed), layout) for seed in range(2))
        with memory.guarded() as pool:
            assert pointwise.add(x, y).strides == x.strides
        assert len(pool.arrays) == 1
    with memory.guarded():
        mixed = pointwise.add(laid_out(x, "C"), laid_out(y, "channels last"))
    assert is_channels_last(mixed)


@given(
    n=st.integers(1, 3), channels=CHANNELS, sides=SIDES, dtype=DTYPES, seed=SEEDS,
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
)  # fmt: skip
def test_scaled_channels(n, channels, sides, dtype, seed, layouts):
    shapes = (n, channels, *sides), (n, channels, *sides), (n, channels, 1, 1)
    dy, x, gate = (
        laid_out(normal(shape, seed + k).astype(dtype), layout)
        for k, (shape, layout) in enumerate(zip(shapes, layouts, strict=True))
    )
    with memory.guarded():
        y = pointwise.scale_channels(x, gate)
        dx, d_gate = pointwise.scale_channels_grad(dy, x, gate)
        sums = pointwise.channel_sums(dy)
    np.testing.assert_array_equal(y, x * gate)
    np.testing.assert_array_equal(dx, dy * gate)
    size = np.abs(x).max() * np.abs(dy).max()
    expected = (dy.astype(np.float64) * x).sum(axis=(2, 3), keepdims=True)
    close(d_gate, expected, dtype, size=size)
    close(sums, dy.sum(axis=(0, 2, 3), dtype=np.float64), dtype, size=np.abs(dy).max())


@given(pair=operands(), dtype=st.sampled_from(["float16", "int64", "mixed", "empty", "broadcast"]))
@np.errstate(invalid="ignore", over="ignore")
def test_what_the_kernels_do_not_take_goes_to_numpy(pair, dtype):
    a, b = pair
    if dtype == "mixed":
        b = b.astype(np.float32 if a.dtype == np.float64 else np.float64)
    elif dtype == "empty":
        a, b = np.zeros((2, 0), np.float32), np.zeros((2, 0), np.float32)
    elif dtype == "broadcast":
        b = np.ones((), a.dtype)
    else:
        a, b = (np.nan_to_num(array, posinf=1, neginf=-1).clip(-9, 9).astype(dtype) for array in pair)
    for name, function in BINARY.items():
        got, want = getattr(pointwise, name)(a, b), function(a, b)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    for name, function in UNARY.items():
        got, want = getattr(pointwise, name)(a), function(a)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [5, 64])
def test_shared_among_jobs(channels, dtype):
    """A size that is cut into many jobs; twice the same gives the same bits."""
    x, dy = (laid_out(normal((3, channels, 61, 67), seed).astype(dtype), "channels last") for seed in range(2))
    gate = normal((3, channels, 1, 1), 2).astype(dtype)

    def run():
        with memory.guarded():
            return (
                pointwise.silu(x), pointwise.silu_grad(dy, x), pointwise.relu_grad(dy, x), pointwise.channel_sums(dy),
                pointwise.scale_channels(x, gate), *pointwise.scale_channels_grad(dy, x, gate),
            )  # fmt: skip

    expected = (
        UNARY["silu"](x), silu_grad(dy, x), np.where(x <= 0, 0, dy), dy.sum(axis=(0, 2, 3), dtype=np.float64),
        x * gate, dy * gate, (dy.astype(np.float64) * x).sum(axis=(2, 3), keepdims=True),
    )  # fmt: skip
    for one, other, want in zip(run(), run(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
        close(one, want, dtype)
