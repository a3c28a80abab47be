"""Mean and variance of a convolution's channels, gathered on the way out."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import assume, given

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv, fused, memory
from minicnn.backend.cpu.target import target
from minicnn.backend.reference import fused as reference
from tests.library.support import strategies
from tests.library.support.convolutions import WAYS, problems
from tests.library.support.slices import empty_part


def check(x: np.ndarray, weight: np.ndarray, window: Window, groups: int, bias: np.ndarray | None) -> None:
    """The result is that of ``conv2d``; the moments are its own."""
    with memory.guarded():
        plain = conv.conv2d(x, weight, window, groups, bias)
        out = empty_part(plain.shape, x.dtype, (3, 2))
        y, mean, variance = conv.conv2d_moments(x, weight, window, groups, bias, out=out.images)
    assert y is out.images
    out.check()
    np.testing.assert_array_equal(y, plain)
    wide = plain.astype(np.float64)
    size = np.abs(wide).max(initial=1)
    np.testing.assert_allclose(mean, wide.mean(axis=(0, 2, 3)), rtol=0, atol=1e-6 * size)
    centred = wide - wide.mean(axis=(0, 2, 3), keepdims=True)
    deviation = np.abs(centred).max(initial=1e-3)
    np.testing.assert_allclose(variance, (centred**2).mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6 * deviation**2)


@given(problems())
def test_they_are_those_of_the_result(problem: Any) -> None:
    x, weight, window, groups = problem
    assume(conv.gathers_moments(x, weight, window, groups))
    check(x, weight, window, groups, strategies.normal((len(weight),), 3).astype(x.dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("far", [0, 1000])
def test_each_way_of_cutting_the_work(way: str, far: float) -> None:
    x_shape, weight_shape, window = WAYS[way]
    x, weight = strategies.normal(x_shape, 0).astype("float32"), strategies.normal(weight_shape, 1).astype("float32")
    check(x, weight, window, 1, np.full(len(weight), far, np.float32))


@pytest.mark.parametrize("way", WAYS)
def test_the_bits_do_not_depend_on_the_threads(way: str) -> None:
    x_shape, weight_shape, window = WAYS[way]
    x, weight = strategies.normal(x_shape, 0).astype("float32"), strategies.normal(weight_shape, 1).astype("float32")
    many = conv.conv2d_moments(x, weight, window)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = conv.conv2d_moments(x, weight, window)
    finally:
        numba.set_num_threads(threads)
    for some, other in zip(many, one, strict=True):
        np.testing.assert_array_equal(some, other)


def test_the_norm_takes_them() -> None:
    x, weight = (
        strategies.normal((2, 5, 9, 9), 0).astype("float32"),
        strategies.normal((7, 5, 1, 1), 1).astype("float32"),
    )
    for bad in (False, True):
        if bad:
            x[1, 2, 3, 4] = np.nan
        y, *moments = conv.conv2d_moments(x, weight, Window((1, 1)))
        got = fused.norm(y, None, None, 1e-5, activation="silu", moments=tuple(moments))
        with np.errstate(invalid="ignore"):
            want = reference.norm(y, None, None, 1e-5, activation="silu")
        for one, other in zip(got[:4], want[:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
            assert one.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "groups", "dtype"),
    [
        ((4, 4, 3, 3), 1, "float64"),
        ((4, 1, 3, 3), 4, "float32"),
        pytest.param((64, 64, 3, 3), 1, "float32", marks=pytest.mark.skipif(not target().fma, reason="no Winograd")),
    ],
)
def test_what_has_no_tiles_to_gather_from(shape: tuple[int, ...], groups: int, dtype: str) -> None:
    """In float64, depthwise, and in Winograd's form."""
    x, window = np.ones((2, shape[1] * groups, 40, 40), dtype), Window((3, 3), padding=((1, 1), (1, 1)))
    assert not conv.gathers_moments(x, np.ones(shape, dtype), window, groups)
    with pytest.raises(ValueError, match="gathers_moments"):
        conv.conv2d_moments(x, np.ones(shape, dtype), window, groups)
