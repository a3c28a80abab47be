"""conv2d against the loops of its definition, and the pieces it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support import oracles
from tests.library.support.strategies import SEEDS, convolutions, distinct, random_cotangent


def by_loops(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if padding == "same":  # pad by hand, the odd one below and on the right
        totals = [d * (k - 1) for d, k in zip(oracles.pair(dilation), weight.shape[2:], strict=True)]
        x = np.pad(x, [(0, 0), (0, 0), *((total // 2, total - total // 2) for total in totals)])
    return oracles.conv2d(x, weight, bias, stride, 0 if isinstance(padding, str) else padding, dilation, groups)


@given(drawn=convolutions())
def test_values(drawn):
    arrays, options = drawn
    got = F.conv2d(*map(minicnn.tensor, arrays), **options)
    expected = by_loops(*arrays, **options)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(drawn=convolutions(unbatched=True))
def test_one_image(drawn):
    (x, *rest), options = drawn
    got = F.conv2d(minicnn.tensor(x), *map(minicnn.tensor, rest), **options)
    np.testing.assert_allclose(got.numpy(), by_loops(x[None], *rest, **options)[0], rtol=1e-12, atol=1e-12)


@given(drawn=convolutions())
def test_float32(drawn):
    arrays, options = drawn
    got = F.conv2d(*(minicnn.tensor(a.astype(np.float32)) for a in arrays), **options)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.numpy(), by_loops(*arrays, **options), rtol=1e-4, atol=1e-4)


@given(drawn=convolutions(), seed=SEEDS)
def test_the_gradients_by_loops(drawn, seed):
    """The convolution is linear, so a gradient entry is the output's change when one entry grows by one."""
    (x, weight, *bias), options = drawn
    leaves = [minicnn.tensor(a, requires_grad=True) for a in (x, weight, *bias)]
    y = F.conv2d(*leaves, **options)
    cotangent = random_cotangent(y.shape, seed)
    y.backward(minicnn.tensor(cotangent))
    rng = np.random.default_rng(seed)
    for which, leaf in enumerate(leaves):
        place = tuple(rng.integers(0, leaf.shape))
        unit = np.zeros(leaf.shape)
        unit[place] = 1
        moved = [(unit, weight), (x, unit), (np.zeros(x.shape), weight, unit)][which]
        expected = (by_loops(*moved, **options) * cotangent).sum()
        np.testing.assert_allclose(leaf.grad.numpy()[place], expected, rtol=1e-9, atol=1e-9)


def test_no_image_and_no_row():
    w = minicnn.ones(3, 2, 3, 3, requires_grad=True)
    x = minicnn.zeros(0, 2, 5, 5, requires_grad=True)
    y = F.conv2d(x, w, padding=1)
    assert y.shape == (0, 3, 5, 5)
    y.sum().backward()
    assert x.grad.shape == (0, 2, 5, 5) and not w.grad.numpy().any()


def test_inputs_in_any_memory_order():
    x, w = distinct((2, 3, 5, 4), 0), distinct((4, 3, 3, 2), 1)
    expected = by_loops(x, w)
    channels_last = minicnn.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    flipped = minicnn.tensor(np.ascontiguousarray(w[..., ::-1])).flip(3)
    np.testing.assert_allclose(F.conv2d(channels_last, flipped).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "w", "options", "words"),
    [
        ((1, 3, 5, 5), (4, 2, 3, 3), {}, "expected 2 input channels, got 3"),
        ((1, 4, 5, 5), (4, 4, 3, 3), {"groups": 2}, "expected 8 input channels, got 4"),
        ((1, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}, "groups to divide the 3 output channels, got groups=2"),
        ((1, 2, 5, 5), (4, 2, 3, 3), {"groups": 0}, "got groups=0"),
        ((1, 2, 5, 5), (0, 2, 3, 3), {}, r"at least one output channel, got a weight of shape \(0, 2, 3, 3\)"),
        ((1, 2, 2, 5), (4, 2, 3, 3), {}, "at least 3x3 pixels .*, got 2x5"),
        ((1, 2, 5, 5), (4, 2, 3, 3), {"dilation": 3}, "at least 7x7 pixels"),
        ((5, 5), (4, 2, 3, 3), {}, r"\(N, C, H, W\) or one image \(C, H, W\), got shape \(5, 5\)"),
        ((1, 2, 5, 5), (4, 2, 3), {}, r"kH, kW\), got shape \(4, 2, 3\)"),
    ],
)
def test_shape_errors(x, w, options, words):
    with pytest.raises(ShapeError, match=words):
        F.conv2d(minicnn.zeros(*x), minicnn.zeros(*w), **options)


def test_of_no_channels_the_bias_is_left():
    x, w = minicnn.zeros(2, 0, 5, 5, requires_grad=True), minicnn.zeros(3, 0, 3, 3, requires_grad=True)
    y = F.conv2d(x, w, minicnn.tensor([1.0, 2.0, 3.0]))
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), np.ones((2, 3, 3, 3)) * np.array([1, 2, 3])[:, None, None])
    assert x.grad.shape == x.shape and w.grad.shape == w.shape


def test_bias_and_dtype_errors():
    x, w = minicnn.zeros(1, 2, 5, 5), minicnn.zeros(4, 2, 3, 3)
    with pytest.raises(ShapeError, match=r"bias of shape \(4,\), got \(2,\)"):
        F.conv2d(x, w, minicnn.zeros(2))
    with pytest.raises(ShapeError, match="one dtype, got float64 and float32"):
        F.conv2d(x.double(), w)


@given(n=st.integers(1, 3), channels=st.integers(1, 4), kernels=st.integers(1, 4), biased=st.booleans(), seed=SEEDS)
def test_a_1x1_convolution_is_one_linear_map_at_every_pixel(n, channels, kernels, biased, seed):
    """Lecture line L2.1.3: values and gradients of ``pointwise_conv2d`` are those of ``conv2d``."""
    rng = np.random.default_rng(seed)
    shapes = [(n, channels, 3, 4), (kernels, channels, 1, 1), (kernels,)]
    drawn = [rng.standard_normal(shape) for shape in shapes[: 3 if biased else 2]]
    cotangent = minicnn.tensor(rng.standard_normal((n, kernels, 3, 4)))
    results = []
    for convolve in (minicnn.ops.pointwise_conv2d, F.conv2d):
        leaves = [minicnn.tensor(array, requires_grad=True) for array in drawn]
        y = convolve(*leaves)
        y.backward(cotangent)
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, convs in zip(*results, strict=True):
        np.testing.assert_allclose(ours.numpy(), convs.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weight", [(4, 3, 3, 3), (4, 2, 1, 1), (4, 3)])
def test_a_pointwise_weight_is_one_number_for_each_pair_of_channels(weight):
    with pytest.raises(ShapeError, match="K, C, 1, 1"):
        minicnn.ops.pointwise_conv2d(minicnn.zeros(2, 3, 5, 4), minicnn.zeros(*weight))
