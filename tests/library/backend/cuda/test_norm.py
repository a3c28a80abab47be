"""Batch norm on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.backend.cuda import norm
from minicnn.backend.reference.fused import Given, Line
from minicnn.ops.normalization import Running
from tests.library.support.cuda.agreement import (
    DTYPES,
    REFERENCE,
    SIXTEEN_BITS,
    compare_batch_norm,
    compare_fused,
    compare_sixteen_bits,
    sixteen_bits,
)
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import SEEDS, normal


@given(
    st.sampled_from([(2, 1), (5, 3), (3, 2, 4), (2, 3, 2, 5), (1, 2, 7, 1)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 100.0]),
    DTYPES,
    SEEDS,
)
def test_batch_norm(cuda, shape, weighted, shifted, offset, dtype, seed):
    x, dy = ((normal(shape, seed + i) + i * offset).astype(dtype) for i in (1, 0))
    weight, bias = (
        normal(shape[1:2], seed + i).astype(dtype) if on else None for i, on in ((3, weighted), (4, shifted))
    )
    if offset and dtype == "float32":
        x = (x - offset).astype(dtype)  # the reference itself is not exact there
    compare_batch_norm(cuda, x, dy, weight, bias)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_statistics_of_another_dtype(cuda, dtype):
    """Numbers of 16 bits stay so, and are computed with in float32."""
    x, xp = normal((2, 3, 4), 0).astype(sixteen_bits(dtype) if dtype in SIXTEEN_BITS else dtype), cuda.xp
    mean, variance = normal((3,), 1), normal((3,), 2) ** 2
    expected = REFERENCE.fused["fixed_norm"](x.astype("f8"), Given(mean, variance, None, None, 1e-5).as_line())
    y = cuda.fused["fixed_norm"](xp.asarray(x), Given(xp.asarray(mean), xp.asarray(variance), None, None, 1e-5))
    assert y.dtype == (x.dtype if x.dtype.itemsize == 2 else "float64")
    np.testing.assert_allclose(y.get().astype("f8"), expected, 2e-2, 1e-2)


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_the_activation_behind_batch_norm_keeps_nan(cuda, activation):
    x, dy, residual = (normal((2, 3, 4), k) for k in range(3))
    residual[0, 1, 2] = np.nan
    compare_fused(cuda, "norm", x, None, None, 1e-5, residual, activation)
    y, mean, _, inv_std = REFERENCE.fused["norm"](x, None, None, 1e-5, residual, activation)
    assert np.isnan(y[0, 1, 2]) and np.isnan(y).sum() == 1
    compare_fused(cuda, "norm_grad", dy, x, Line(mean, inv_std), residual, activation)


@pytest.mark.parametrize("threads", [1, 4, 64])
@pytest.mark.parametrize("shape", [(8, 2, 10, 10), (40, 3, 7, 7), (257, 2)])
@pytest.mark.parametrize("mean", [0, 1e4])
@pytest.mark.parametrize("first", [0, 1e3, -1e6])
def test_the_variance_is_precise_far_from_zero_and_behind_an_outlier(cuda, monkeypatch, threads, shape, mean, first):
    """Distances are taken from a thread's first value: it may be anything."""
    monkeypatch.setattr(RawKernel, "threads", threads)
    monkeypatch.setattr(norm, "PART_VALUES", 200)  # so that there are several parts
    x = (mean + normal(shape, 0)).astype("float32")
    x[0] += first
    axes = (0, *range(2, x.ndim))
    _, found, variance, _ = map(cuda.to_host, cuda.batch_norm(cuda.to_device(x), None, None, 0.0))
    wide = x.astype("float64")
    np.testing.assert_allclose(found, wide.mean(axis=axes), rtol=1e-6, atol=1e-6 * abs(wide).max())
    np.testing.assert_allclose(variance, wide.var(axis=axes), rtol=1e-3 if first else 5e-6)


def test_nothing_has_no_statistics(cuda):
    y, *statistics = map(cuda.to_host, cuda.batch_norm(cuda.xp.empty((0, 3, 2)), None, None, 0.0))
    assert y.shape == (0, 3, 2) and np.isnan(statistics).all() and np.shape(statistics) == (3, 3)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("added", [False, True])
def test_images_of_16_bits(cuda, dtype, activation, added):
    dtype = sixteen_bits(dtype)
    x, dy, other = (normal((6, 3, 5, 4), k).astype(dtype).astype("float64") for k in range(3))
    weight, bias, residual = normal((3,), 3), normal((3,), 4), other if added else None
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    line = Line(mean, 1 / np.sqrt(var + 1e-5), weight, bias)
    before = REFERENCE.fused["fixed_norm"](x, line, residual)
    dy = np.where(np.abs(before) < 1e-3, 0, dy)  # away from the ReLU's kink
    compare_sixteen_bits(cuda, dtype, "norm", x, weight, bias, 1e-5, residual, activation)
    compare_sixteen_bits(cuda, dtype, "fixed_norm", x, line, residual, activation)
    roundings = 3 if added else 1  # the gradient at the residual is rounded before that at x
    compare_sixteen_bits(cuda, dtype, "norm_grad", dy, x, line, residual, activation, roundings=roundings)
    compare_sixteen_bits(cuda, dtype, "fixed_norm_grad", dy, x, line, residual, activation, roundings=roundings)


# ---- statistics that are kept, or given ------------------------------------------------------------------------------


TRAINING = {"batch_norm_moments", "batch_norm_statistics", "norm_apply"}


def layer_on(device: str, **options: Any) -> nn.BatchNorm2d:
    """A batch norm with statistics other than 0 and 1."""
    made = nn.BatchNorm2d(3, **options)
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(minicnn.tensor(np.abs(normal((3,), 1)).astype("float32")))
    return made.to(device)


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_the_running_statistics_move_as_on_the_cpu_in_the_same_kernel(cuda, monkeypatch, momentum):
    layers = [layer_on(device, momentum=momentum) for device in ("cpu", "cuda")]
    for step in range(3):
        x = (normal((4, 3, 5, 5), step) + step).astype("float32")
        layers[0](minicnn.tensor(x))
        before = dict(RawKernel.launches)
        with monkeypatch.context() as patches:
            patches.delattr(Running, "move")  # which takes eight
            layers[1](minicnn.tensor(x, device="cuda"))
        launched = {name: count - before.get(name, 0) for name, count in RawKernel.launches.items()}
        assert {name for name, count in launched.items() if count} == TRAINING
    for name, want in layers[0].state_dict().items():
        np.testing.assert_allclose(layers[1].state_dict()[name].cpu().numpy(), want.numpy(), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_running_statistics_that_no_kernel_can_write_move_too(cuda, dtype):
    x = normal((4, 3, 5, 5), 0).astype("float32")
    mean, var = (np.ones(3, dtype) for _ in range(2))
    there = [cuda.to_device(array) for array in (mean, var)]
    cuda.batch_norm(cuda.to_device(x), None, None, 1e-5, running=Running(*there, 100, 0.5))
    Running(mean, var, 100, 0.5).move(x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)))
    for got, want in zip(there, (mean, var), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(cuda.to_host(got), want, rtol=1e-3 if dtype == "float16" else 1e-6)


def test_eager_and_compiled_move_the_running_statistics_to_the_same_bits(cuda):
    eager = nn.Sequential(layer_on("cuda"), nn.ReLU())
    model = copy.deepcopy(eager)
    compiled = minicnn.compile(model)
    for step in range(2):
        x = minicnn.tensor(normal((4, 3, 5, 5), step).astype("float32"), device="cuda")
        np.testing.assert_array_equal(compiled(x).detach().cpu().numpy(), eager(x).detach().cpu().numpy())
    for got, want in zip(model.state_dict().values(), eager.state_dict().values(), strict=True):
        np.testing.assert_array_equal(got.cpu().numpy(), want.cpu().numpy())


def test_a_compiled_norm_of_given_statistics_is_one_kernel(cuda, monkeypatch):
    here, there = (nn.Sequential(layer_on(device, eps=0.1), nn.SiLU()).eval() for device in ("cpu", "cuda"))
    run = minicnn.compile(there)
    x = normal((2, 3, 5, 5), 0).astype("float32")
    with minicnn.no_grad():
        want = here(minicnn.tensor(x)).numpy()
        monkeypatch.delattr(Given, "as_line")  # which would take several
        run(minicnn.tensor(x, device="cuda"))
        before = RawKernel.launches["norm_apply"]
        got = run(minicnn.tensor(x, device="cuda")).cpu().numpy()
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert RawKernel.launches["norm_apply"] == before + 1


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_gradients_through_given_statistics(cuda, how):
    found = []
    for device in ("cpu", "cuda"):
        model = nn.Sequential(layer_on(device), nn.ReLU()).eval()
        x = minicnn.tensor(normal((2, 3, 5, 5), 0).astype("float32"), device=device, requires_grad=True)
        y = (minicnn.compile(model) if how == "compiled" else model)(x)
        (y * minicnn.tensor(normal((2, 3, 5, 5), 1).astype("float32"), device=device)).sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in model.parameters())])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=1e-5, atol=1e-5)
