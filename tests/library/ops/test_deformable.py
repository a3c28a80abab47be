"""Deformable convolution: three versions agree, ordinary convolution is a special case, gradients are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, backend
from minicnn.autograd import gradcheck
from minicnn.nn import functional as F
from tests.library.support import peers
from tests.library.support.deformations import BACKENDS, deformations, loops, run
from tests.library.support.strategies import SEEDS

# ---- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["between", "on"])
@given(st.data())
def test_three_versions_agree(kind, data):
    arrays, options = data.draw(deformations(offsets=kind))
    expected = loops(arrays, options)
    for name in BACKENDS:
        np.testing.assert_allclose(run(arrays, options, name)[0], expected, rtol=1e-10, atol=1e-10)


@given(deformations("float32"))
def test_float32_stays_float32(case):
    (reference, slow), (value, fast) = (run(*case, name) for name in BACKENDS)
    assert reference.dtype == value.dtype == np.float32
    np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-4)
    for name, gradient in fast.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, slow[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", BACKENDS)
@given(deformations(offsets="zero"))
def test_zero_offsets_are_a_convolution(name, case):
    arrays, options = case
    arrays["mask"] = arrays["bias"] = None
    groups = arrays["input"].shape[1] // arrays["weight"].shape[1]
    with backend.use("reference"):
        expected = F.conv2d(Tensor(arrays["input"]), Tensor(arrays["weight"]), groups=groups, **options)
    # Not to the last bit: NumPy's matrix products may add up in another order.
    np.testing.assert_allclose(run(arrays, options, name)[0], expected.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", BACKENDS)
@given(st.integers(-3, 3), st.integers(-3, 3), SEEDS)
def test_integer_offsets_convolve_a_shifted_image(name, dy, dx, seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal((1, 2, 6, 7)), rng.standard_normal((3, 2, 3, 3))
    offset = np.tile(np.array([dy, dx], dtype=float)[:, None, None], (9, 4, 5))[None]
    far = np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)))
    shifted = far[:, :, 3 + dy : 9 + dy, 3 + dx : 10 + dx]
    arrays = {"input": x, "offset": offset, "weight": weight, "bias": None, "mask": None}
    expected = F.conv2d(Tensor(shifted), Tensor(weight)).numpy()
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    np.testing.assert_allclose(run(arrays, options, name)[0], expected, atol=1e-12)


# ---- gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
@given(deformations())
def test_gradients_against_central_differences(name, case):
    arrays, options = case
    names = [k for k, a in arrays.items() if a is not None]
    with backend.use(name):
        assert gradcheck(
            lambda *tensors: F.deform_conv2d(
                **{"bias": None, "mask": None, **dict(zip(names, tensors, strict=True))}, **options
            ),
            [minicnn.tensor(arrays[k], requires_grad=True) for k in names],
        )


@given(deformations(offsets="on"))
def test_on_grid_lines_the_gradient_is_the_slope_towards_larger_coordinates(case):
    arrays, options = case
    step = 1e-6
    for name in BACKENDS:
        value, gradients = run(arrays, options, name)
        cotangent = np.cos(np.arange(value.size)).reshape(value.shape)
        for place in [(0, i, 0, 0) for i in range(arrays["offset"].shape[1])][:6]:
            moved = {**arrays, "offset": arrays["offset"].copy()}
            moved["offset"][place] += step
            forward_difference = ((run(moved, options, name)[0] - value) * cotangent).sum() / step
            np.testing.assert_allclose(gradients["offset"][place], forward_difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BACKENDS)
def test_an_offset_that_is_no_number_makes_a_sample_that_is_none(name):
    x, weight = np.ones((2, 4, 3, 3)), np.ones((1, 4, 1, 1))
    offset = np.zeros((2, 4, 3, 3))  # two groups
    offset[1, 3, 1, 2] = np.nan
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    value, _ = run({"input": x, "offset": offset, "weight": weight, "bias": None, "mask": None}, options, name)
    expected = np.full((2, 1, 3, 3), 4.0)
    expected[1, 0, 1, 2] = np.nan
    np.testing.assert_array_equal(value, expected)


def test_empty_batch():
    arrays = {"input": np.zeros((0, 2, 4, 4)), "offset": np.zeros((0, 18, 2, 2)), "weight": np.ones((3, 2, 3, 3)),
              "bias": None, "mask": None}  # fmt: skip
    for name in BACKENDS:
        value, gradients = run(arrays, {"stride": 1, "padding": 0, "dilation": 1}, name)
        assert value.shape == (0, 3, 2, 2) and gradients["input"].shape == (0, 2, 4, 4)


# ---- against PyTorch: grid_sample is bilinear sampling too -------------------------------------------------------


@given(deformations())
def test_values_and_gradients_equal_a_grid_sample_composition(case):
    torch = peers.torch()
    arrays, options = case
    tensors = {k: None if a is None else torch.tensor(a, requires_grad=True) for k, a in arrays.items()}
    y = grid_sample_version(torch, **tensors, **options)
    y.backward(torch.tensor(np.cos(np.arange(y.numel())).reshape(y.shape)))
    value, gradients = run(arrays, options, "cpu")
    np.testing.assert_allclose(value, y.detach().numpy(), rtol=1e-9, atol=1e-9)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, tensors[name].grad.numpy(), rtol=1e-8, atol=1e-8, err_msg=name)


def grid_sample_version(torch, input, offset, weight, bias, mask, stride, padding, dilation):
    """Deformable convolution out of PyTorch's ``grid_sample``, one tap after the other."""
    n, channels, h, w = input.shape
    filters, per_group, kernel_h, kernel_w = weight.shape
    out_h, out_w = offset.shape[2:]
    offset_groups = offset.shape[1] // (2 * kernel_h * kernel_w)
    offset = offset.reshape(n, offset_groups, kernel_h, kernel_w, 2, out_h, out_w)
    padded = torch.nn.functional.pad(input, (1, 1, 1, 1))  # room for a grid of at least two pixels
    columns = []
    for group, x in enumerate(padded.chunk(offset_groups, 1)):
        for i in range(kernel_h):
            for j in range(kernel_w):
                rows = (
                    torch.arange(out_h)[:, None] * stride[0] - padding[0] + i * dilation[0] + offset[:, group, i, j, 0]
                )
                cols = torch.arange(out_w) * stride[1] - padding[1] + j * dilation[1] + offset[:, group, i, j, 1]
                grid = torch.stack([2 * (cols + 1) / (w + 1) - 1, 2 * (rows + 1) / (h + 1) - 1], -1)
                seen = torch.nn.functional.grid_sample(x, grid, padding_mode="zeros", align_corners=True)
                if mask is not None:
                    seen = seen * mask.reshape(n, offset_groups, kernel_h, kernel_w, out_h, out_w)[:, group, i, j, None]
                columns.append(seen)
    taps = kernel_h * kernel_w
    seen = torch.stack(columns, 2).reshape(n, channels // offset_groups, offset_groups, taps, out_h, out_w)
    seen = seen.transpose(1, 2).reshape(n, channels // per_group, per_group, taps, out_h, out_w)
    filters_by_group = weight.reshape(channels // per_group, -1, per_group, taps)
    y = torch.einsum("ngctpq,gfct->ngfpq", seen, filters_by_group).reshape(n, filters, out_h, out_w)
    return y if bias is None else y + bias[:, None, None]


# ---- errors ----------------------------------------------------------------------------------------------------


def test_the_order_of_offsets_is_explained():
    x, weight = minicnn.zeros(1, 2, 5, 5), minicnn.zeros(3, 2, 3, 3)
    with pytest.raises(RuntimeError, match=r"channel 2i is dy and 2i \+ 1 is dx.*\(1, 9, 3, 3\)"):
        F.deform_conv2d(x, minicnn.zeros(1, 9, 3, 3), weight)
    with pytest.raises(RuntimeError, match=r"offset of shape \(1, 18, 3, 3\), got \(1, 18, 5, 5\)"):
        F.deform_conv2d(x, minicnn.zeros(1, 18, 5, 5), weight)
    with pytest.raises(RuntimeError, match=r"mask of shape \(1, 9, 3, 3\)"):
        F.deform_conv2d(x, minicnn.zeros(1, 18, 3, 3), weight, mask=minicnn.zeros(1, 18, 3, 3))
