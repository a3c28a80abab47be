"""Direct convolution against im2col: every configuration, both dtypes, with guard zones around every buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv, memory, weight_grad
from minicnn.backend.cpu.sweep import input_grad_sweeps
from minicnn.backend.reference import conv as reference
from tests.library.support import layouts, strategies
from tests.library.support.convolutions import ACTIVATIONS, agree, problems


@given(problems())
def test_convolution_and_both_gradients(problem: Any) -> None:
    x, weight, window, groups = problem
    expected = reference.conv2d(x, weight, window, groups)
    dy = strategies.random_cotangent(expected.shape).astype(x.dtype)
    with memory.guarded():
        agree(conv.conv2d(x, weight, window, groups), expected)
        agree(
            conv.conv2d_input_grad(dy, weight, x.shape, window, groups),
            reference.conv2d_input_grad(dy, weight, x.shape, window, groups),
        )
        agree(
            weight_grad.conv2d_weight_grad(dy, x, weight.shape, window, groups),
            reference.conv2d_weight_grad(dy, x, weight.shape, window, groups),
        )


@given(problems(), st.booleans(), st.booleans(), st.sampled_from(tuple(ACTIVATIONS)))
def test_bias_residual_and_activation_on_the_way_out(
    problem: Any, with_bias: bool, residual: bool, activation: str | None
) -> None:
    x, weight, window, groups = problem
    expected = reference.conv2d(x, weight, window, groups)
    bias = strategies.normal((len(weight),), 3).astype(x.dtype) if with_bias else None
    other = strategies.normal(expected.shape, 4).astype(x.dtype) if residual else None
    with memory.guarded():
        result = conv.Packed(weight, window, groups, bias)(x, other, activation=activation)
    expected = expected + (0 if bias is None else bias[:, None, None]) + (0 if other is None else other)
    agree(result, ACTIVATIONS[activation](expected).astype(x.dtype))


@given(problems())
def test_another_gradient_is_added_at_the_input(problem: Any) -> None:
    x, weight, window, groups = problem
    dy = strategies.random_cotangent(reference.conv2d(x, weight, window, groups).shape).astype(x.dtype)
    other = layouts.laid_out(strategies.normal(x.shape, 5).astype(x.dtype), "channels last")
    expected = (reference.conv2d_input_grad(dy, weight, x.shape, window, groups) + other).astype(x.dtype)
    with memory.guarded():
        agree(conv.conv2d_input_grad(dy, weight, x.shape, window, groups, residual=other), expected)


def _laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    if layout != "not aligned":
        return layouts.laid_out(x, layout)
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


@pytest.mark.parametrize("layout", (*layouts.LAYOUTS, "not aligned"))
@pytest.mark.parametrize("depth", ["dense", "depthwise"])
def test_any_layout_is_read_right_and_left_alone(layout: str, depth: str) -> None:
    groups = 19 if depth == "depthwise" else 1
    window = Window((3, 2), (2, 1), ((1, 0), (0, 1)))
    x = _laid_out(strategies.normal((2, 19, 9, 8), 0).astype("float32"), layout)
    weight = _laid_out(strategies.normal((19, 19 // groups, 3, 2), 1).astype("float32"), layout)
    plain = np.ascontiguousarray(x), np.ascontiguousarray(weight)
    expected = reference.conv2d(*plain, window, groups)
    dy = _laid_out(expected, layout)
    with memory.guarded():
        agree(conv.conv2d(x, weight, window, groups), expected)
        agree(
            conv.conv2d_input_grad(dy, weight, x.shape, window, groups),
            reference.conv2d_input_grad(np.ascontiguousarray(dy), plain[1], x.shape, window, groups),
        )
        agree(
            weight_grad.conv2d_weight_grad(dy, x, weight.shape, window, groups),
            reference.conv2d_weight_grad(np.ascontiguousarray(dy), plain[0], weight.shape, window, groups),
        )
    assert np.array_equal(x, plain[0]) and np.array_equal(weight, plain[1])


@pytest.mark.parametrize(
    ("channels", "size"), [(8, (4, 5)), (8, (40, 60)), (1, (9, 11))], ids=["padded", "blocks", "depthwise"]
)
def test_a_first_window_that_begins_inside(channels: int, size: tuple[int, int]) -> None:
    """With more padding than kernel, the outputs that see the first pixels are not the first; rows need zeros here."""
    window = Window((3, 1), (1, 1), ((0, 0), (2, 1)))
    groups = 6 if channels == 1 else 1
    weight = strategies.normal((6, channels, 3, 1), 0)
    x_shape = (3, groups * channels, *size)
    dy = strategies.normal((3, 6, *window.output_size(size)), 1)
    (sweep,) = input_grad_sweeps(window, size)
    assert sweep.margins(dy.shape[3])[1] == 2 and not sweep.inside(*dy.shape[2:])
    with memory.guarded():
        result = conv.conv2d_input_grad(dy, weight, x_shape, window, groups)
    agree(result, reference.conv2d_input_grad(dy, weight, x_shape, window, groups))


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 5, 5)])
@pytest.mark.parametrize("filters", [0, 4])
def test_nothing_in_nothing_out(shape: tuple[int, ...], filters: int) -> None:
    x, weight, window = np.ones(shape), np.ones((filters, 3, 2, 2)), Window((2, 2))
    with memory.guarded():
        y = conv.conv2d(x, weight, window)
        assert y.shape == (shape[0], filters, 4, 4)
        assert conv.conv2d_input_grad(y, weight, shape, window).shape == shape
        grad = weight_grad.conv2d_weight_grad(y, x, weight.shape, window)
    assert grad.shape == weight.shape and (shape[0] > 0 or not grad.any())


def test_nan_and_infinity_go_where_they_belong() -> None:
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    x, weight = np.ones((1, 5, 9, 9), np.float32), np.ones((4, 5, 3, 3), np.float32)
    x[0, 2, 4, 4] = np.nan
    y = conv.conv2d(x, weight, window, activation="relu")
    assert np.isnan(y[0, :, 3:6, 3:6]).all() and np.isnan(y).sum() == 4 * 9
    x[0, 2, 4, 4] = np.inf
    y = conv.conv2d(x, weight, window)
    assert np.isinf(y).sum() == 4 * 9 and not np.isnan(y).any()


def test_the_same_numbers_every_time() -> None:
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    x, weight = strategies.normal((3, 33, 20, 20), 0), strategies.normal((17, 33, 3, 3), 1)
    dy = strategies.normal((3, 17, 20, 20), 2)
    for compute in (
        lambda: conv.conv2d(x, weight, window),
        lambda: conv.conv2d_input_grad(dy, weight, x.shape, window),
        lambda: weight_grad.conv2d_weight_grad(dy, x, weight.shape, window),
    ):
        assert np.array_equal(compute(), compute())


def test_an_activation_that_is_none() -> None:
    packed = conv.Packed(np.ones((4, 3, 1, 1), np.float32), Window((1, 1)))
    with pytest.raises(ValueError, match="expected one of the activations"):
        packed(np.ones((2, 3, 5, 5), np.float32), activation="tanh")
