"""Channels of larger images, ``big[:, a:b]``, are read where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv, memory, pooling, weight_grad, winograd
from minicnn.backend.cpu.target import target
from minicnn.backend.reference import conv as reference
from minicnn.backend.reference import pooling as pooled
from tests.library.support import strategies
from tests.library.support.convolutions import WAYS, agree, problems
from tests.library.support.slices import MARGINS, Part


@given(problems(), MARGINS, MARGINS, st.booleans(), st.booleans())
def test_convolution_and_both_gradients(
    problem: Any, beside_x: Any, beside_y: Any, with_residual: bool, relu: bool
) -> None:
    x, weight, window, groups = problem
    expected = reference.conv2d(x, weight, window, groups)
    residual = strategies.normal(expected.shape, 4).astype(x.dtype) if with_residual else None
    total = expected if residual is None else (expected + residual)
    with memory.guarded():
        source = Part(x, beside_x)
        packed = conv.Packed(weight, window, groups)
        result = packed(source.images, residual, activation="relu" if relu else None)
        agree(result, np.maximum(total, 0) if relu else total)
        cotangent = Part(strategies.random_cotangent(expected.shape).astype(x.dtype), beside_y)
        dx = conv.conv2d_input_grad(cotangent.images, weight, x.shape, window, groups)
        plain = np.ascontiguousarray(cotangent.images)
        agree(dx, reference.conv2d_input_grad(plain, weight, x.shape, window, groups))
        agree(
            weight_grad.conv2d_weight_grad(cotangent.images, source.images, weight.shape, window, groups),
            reference.conv2d_weight_grad(plain, x, weight.shape, window, groups),
        )
    for part in (source, cotangent):
        part.check()


@pytest.mark.parametrize("way", WAYS)
def test_the_bits_are_those_of_dense_images(way: str) -> None:
    x_shape, weight_shape, window = WAYS[way]
    x, weight = strategies.normal(x_shape, 0).astype("float32"), strategies.normal(weight_shape, 1).astype("float32")
    packed = conv.Packed(weight, window)
    expected = packed(x)
    with memory.guarded():
        source = Part(x, (3, 5))
        np.testing.assert_array_equal(packed(source.images), expected)
    source.check()


@pytest.mark.skipif(not target().fma, reason="Winograd's form is not taken")
def test_winograds_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    monkeypatch.setattr(winograd, "WORTH", winograd.Worth(gain=0, patches=0))
    channels, filters = 2 * target().lanes(4), 3 * target().lanes(4)
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    x = strategies.normal((2, channels, 13, 11), 0).astype("float32")
    weight = strategies.normal((filters, channels, 3, 3), 1).astype("float32")
    residual = strategies.normal((2, filters, 13, 11), 2).astype("float32")
    taken = []
    run = winograd.run_sweep
    monkeypatch.setattr(winograd, "run_sweep", lambda *args, **options: (taken.append(1), run(*args, **options)))
    with memory.guarded():
        source = Part(x, (16, 3))
        result = conv.Packed(weight, window)(source.images, Part(residual, (7, 32)).images)
        cotangent = Part(strategies.random_cotangent(result.shape).astype(x.dtype), (5, 0))
        dx = conv.conv2d_input_grad(cotangent.images, weight, x.shape, window)
        dw = weight_grad.conv2d_weight_grad(cotangent.images, source.images, weight.shape, window)
    assert len(taken) == 2
    np.testing.assert_allclose(result, reference.conv2d(x, weight, window) + residual, atol=1e-4)
    dy = np.ascontiguousarray(cotangent.images)
    np.testing.assert_allclose(dx, reference.conv2d_input_grad(dy, weight, x.shape, window), atol=2e-4)
    np.testing.assert_allclose(dw, reference.conv2d_weight_grad(dy, x, weight.shape, window), atol=2e-4)
    for part in (source, cotangent):
        part.check()


@given(st.sampled_from([1, 3, 16, 17, 65]), MARGINS, MARGINS, st.sampled_from(["float32", "float64"]))
def test_pooling_and_its_gradient(channels: int, beside_x: Any, beside_y: Any, dtype: str) -> None:
    window = Window((3, 2), (2, 1), ((1, 0), (0, 1)))
    x = strategies.normal((2, channels, 9, 8), 0).astype(dtype)
    size = window.output_size(x.shape[2:])
    divisor = np.arange(1, 1 + size[0] * size[1]).reshape(size)
    largest, where = pooled.max_pool2d(x, window, size)
    with memory.guarded():
        source = Part(x, beside_x)
        maxima, taps = pooling.max_pool_taps(source.images, window, size)
        means = pooling.avg_pool2d(source.images, window, divisor)
        dy = Part(strategies.random_cotangent(largest.shape).astype(dtype), beside_y)
        dx = pooling.max_pool_taps_grad(dy.images, taps, x.shape, window)
        dx_of_means = pooling.avg_pool2d_grad(dy.images, x.shape, window, divisor)
    np.testing.assert_array_equal(maxima, largest)
    agree(means, pooled.avg_pool2d(x, window, divisor).astype(dtype))
    agree(dx, pooled.max_pool2d_grad(np.ascontiguousarray(dy.images), where, x.shape))
    agree(dx_of_means, pooled.avg_pool2d_grad(dy.images, x.shape, window, divisor).astype(dtype))
    for part in (source, dy):
        part.check()
