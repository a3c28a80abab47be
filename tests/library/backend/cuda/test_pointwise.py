"""The fused kernels of compiled models against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.backend.cuda import compiler, pointwise
from minicnn.backend.reference import fused, fused_conv
from tests.library.support.cuda.agreement import DTYPES, agree, windows
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, distinct, normal

ACTIVATION = st.sampled_from([None, "relu", "silu"])
SHAPES = st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
FLAGS = st.booleans()


def compare_all(cuda, shape, dtype, seed, activation=None):
    """Every kernel that maps images to images."""
    x, y, dy = distinct(shape, seed).astype(dtype), distinct(shape, seed + 1).astype(dtype), normal(shape, seed)
    dy, gate = dy.astype(dtype), normal((*shape[:2], 1, 1), seed + 2).astype(dtype)
    agree(cuda, cuda.fused["relu_bias_grad"], fused.relu_bias_grad, dy, y)
    agree(cuda, cuda.fused["channel_sums"], fused_conv.channel_sums, dy)
    agree(cuda, cuda.fused["relu"], lambda x: fused.activate(x, "relu"), x)
    agree(cuda, cuda.fused["relu_grad"], lambda dy, y: fused.activation_grad(dy, y, "relu"), dy, y)
    agree(cuda, cuda.fused["silu"], lambda x: fused.activate(x, "silu"), x)
    agree(cuda, cuda.fused["silu_grad"], lambda dy, x: fused.activation_grad(dy, x, "silu"), dy, x)
    agree(cuda, cuda.fused["scale_channels"], fused_conv.scale_channels, x, gate)
    agree(cuda, cuda.fused["scale_channels_grad"], fused_conv.scale_channels_grad, dy, x, gate)
    bias = normal(shape[1:2], seed).astype(dtype)
    for given_bias, residual in ((bias, None), (None, dy), (bias, dy)):
        agree(
            cuda,
            lambda x, b, r: pointwise._add_and_activate(cuda, x.copy(), b, r, activation),
            lambda x, b, r: fused.activate(
                x + (0 if b is None else b[:, None, None]) + (0 if r is None else r), activation
            ),
            x, given_bias, residual,
        )  # fmt: skip


@given(SHAPES, DTYPES, SEEDS, ACTIVATION)
@settings(max_examples=25)
def test_images(cuda, shape, dtype, seed, activation):
    compare_all(cuda, shape, dtype, seed, activation)


def test_strided_images_are_read_right(cuda):
    dy, y = normal((2, 3, 4, 5), 0), normal((2, 3, 4, 5), 1)
    put = lambda a: cuda.to_device(np.ascontiguousarray(a.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)  # noqa: E731
    for got, want in zip(cuda.fused["relu_bias_grad"](put(dy), put(y)), fused.relu_bias_grad(dy, y), strict=True):
        np.testing.assert_allclose(cuda.to_host(got), want, 1e-12)


@pytest.mark.parametrize("threads", [4, 8])
def test_threads_share_planes_and_channels(cuda, monkeypatch, threads):
    monkeypatch.setattr(RawKernel, "threads", threads)
    compare_all(cuda, (3, 2, 4, 5), "float64", 0, "relu")
    compare_all(cuda, (2, 3, 1, 1), "float64", 0, "silu")


def test_long_indices(cuda, monkeypatch):
    monkeypatch.setattr(compiler, "WIDE", 1)
    compare_all(cuda, (3, 2, 4, 5), "float32", 0, "silu")


def test_not_a_number_stays(cuda):
    x = np.full((1, 2, 2, 2), np.nan, "float32")
    for activation in ("relu", "silu"):
        assert np.isnan(
            cuda.to_host(pointwise._add_and_activate(cuda, cuda.to_device(x), None, None, activation))
        ).all()


@given(windows(), DTYPES, SEEDS, ACTIVATION, FLAGS, FLAGS)
@settings(max_examples=25)
def test_convolution_with_bias_residual_and_activation(cuda, sized, dtype, seed, activation, with_bias, with_residual):
    window, size = sized
    x, weight = normal((2, 4, *size), seed).astype(dtype), normal((6, 2, *window.kernel_size), seed + 1).astype(dtype)
    shape = (2, 6, *window.output_size(size))
    bias = normal((6,), seed + 2).astype(dtype) if with_bias else None
    residual = normal(shape, seed + 3).astype(dtype) if with_residual else None

    def run(kernel):
        return lambda x, weight, bias, residual: kernel(x, weight, window, 2, bias, residual, activation=activation)

    agree(cuda, run(cuda.fused["conv2d"]), run(fused_conv.conv2d), x, weight, bias, residual)

    def packed(pack):
        return lambda x, weight, bias, residual: pack(weight, window, 2, bias)(x, residual, activation=activation)

    agree(cuda, packed(cuda.fused["pack"]), packed(fused_conv.pack), x, weight, bias, residual)
    dy, before = normal(shape, seed + 4).astype(dtype), normal(x.shape, seed + 5).astype(dtype) if with_bias else None

    def back(kernel):
        return lambda dy, weight, before: kernel(dy, weight, x.shape, window, 2, residual=before)

    agree(cuda, back(cuda.fused["conv2d_input_grad"]), back(fused_conv.conv2d_input_grad), dy, weight, before)


@given(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9), DTYPES, SEEDS, ACTIVATION, FLAGS)
@settings(max_examples=20)
def test_linear(cuda, rows, inner, columns, dtype, seed, activation, with_bias):
    x, weight = normal((rows, inner), seed).astype(dtype), normal((columns, inner), seed + 1).astype(dtype)
    bias = normal((columns,), seed + 2).astype(dtype) if with_bias else None
    agree(cuda, cuda.fused["linear"], fused_conv.linear, x, weight, bias, activation)
