"""The fused update steps against the reference: all options, several steps, any layout of the parameter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import memory, optimizer
from minicnn.backend.reference import optimizer as reference
from tests.library.cpu.arrays import DTYPES, LAYOUTS, close, laid_out
from tests.library.strategies import SEEDS, normal

SHAPES = st.sampled_from([(1, 1), (5, 3), (16, 3, 3, 3), (17, 129), (65, 64, 3, 3)])
WRITABLE = st.sampled_from(["channels last", "C", "sliced", "reversed", "Fortran"])
DECAYS = (0.0, 0.01)
SGD = st.fixed_dictionaries(
    {
        "dampening": st.sampled_from([0.0, 0.3]),
        "nesterov": st.booleans(),
        "maximize": st.booleans(),
    }
)
ADAM = st.fixed_dictionaries(
    {
        "beta1": st.sampled_from([0.0, 0.9]),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "maximize": st.booleans(),
    }
)


@pytest.mark.parametrize("weight_decay", DECAYS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@given(shape=SHAPES, dtype=DTYPES, layout=WRITABLE, grad_layout=st.sampled_from(LAYOUTS), options=SGD, seed=SEEDS)
def test_sgd(momentum, weight_decay, shape, dtype, layout, grad_layout, options, seed):
    options = options | {"momentum": momentum, "weight_decay": weight_decay}
    param = laid_out(normal(shape, seed).astype(dtype), layout)
    expected, buffer, expected_buffer = param.astype(np.float64), None, None
    for step in range(3):
        grad = laid_out(normal(shape, seed + 1 + step).astype(dtype), grad_layout)
        before = grad.copy()
        with memory.guarded():
            buffer = optimizer.sgd_step(param, grad, buffer, lr=0.1, **options)
        expected_buffer = reference.sgd_step(expected, grad.astype(np.float64), expected_buffer, lr=0.1, **options)
        close(param, expected, dtype)
        np.testing.assert_array_equal(grad, before)
        assert (buffer is None) == (momentum == 0)
        if buffer is not None:
            assert not np.shares_memory(buffer, grad)
            close(buffer, expected_buffer, dtype)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.01, False), (0.01, True)])
@given(shape=SHAPES, dtype=DTYPES, layout=WRITABLE, grad_layout=st.sampled_from(LAYOUTS), options=ADAM, seed=SEEDS)
def test_adam(amsgrad, weight_decay, decoupled, shape, dtype, layout, grad_layout, options, seed):
    options = options | {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled}
    param = laid_out(normal(shape, seed).astype(dtype), layout)
    buffers = [np.zeros_like(param) for _ in range(2 + amsgrad)]
    expected = [array.astype(np.float64) for array in (param, *buffers)]
    for step in range(1, 4):
        grad = laid_out(normal(shape, seed + step).astype(dtype) / step, grad_layout)
        before = grad.copy()
        with memory.guarded():
            optimizer.adam_step(param, grad, *buffers, step=step, lr=0.1, **options)
        reference.adam_step(expected[0], grad.astype(np.float64), *expected[1:], step=step, lr=0.1, **options)
        np.testing.assert_array_equal(grad, before)
        for got, want in zip((param, *buffers), expected, strict=True):
            close(got, want, dtype, 10)


@pytest.mark.parametrize("step", ["sgd", "adam"])
def test_infinite_gradients_do_what_they_do_in_the_reference(step):
    grad = np.array([np.inf, -np.inf, np.nan, 1, 0], np.float32)
    results = []
    with np.errstate(invalid="ignore"):
        for module in (optimizer, reference):
            arrays = [np.ones(5, np.float32), np.zeros(5, np.float32), np.zeros(5, np.float32)]
            if step == "sgd":
                arrays[1] = module.sgd_step(arrays[0], grad, None, lr=0.1, momentum=0.9)
            else:
                arrays.append(np.zeros(5, np.float32))
                module.adam_step(arrays[0], grad, *arrays[1:], step=1, lr=0.1)
            results.append(arrays)
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_what_the_kernels_do_not_take_goes_to_the_reference():
    for dtype, grad_dtype in ((np.float16, np.float16), (np.float64, np.float32)):
        param, grad = normal((5, 3), 0).astype(dtype), normal((5, 3), 1).astype(grad_dtype)
        expected = param.copy()
        optimizer.sgd_step(param, grad, lr=0.1)
        reference.sgd_step(expected, grad, lr=0.1)
        np.testing.assert_array_equal(param, expected)
    empty = np.zeros((0, 3))
    assert optimizer.sgd_step(empty, empty, lr=0.1, momentum=0.9).shape == (0, 3)
    optimizer.adam_step(empty, empty, empty.copy(), empty.copy(), step=1, lr=0.1)
    param = np.ones(3)
    param.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizer.sgd_step(param, np.ones(3), lr=0.1)
    np.testing.assert_array_equal(param, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shared_among_jobs(dtype):
    """A size that is cut into many jobs, in which each number is updated once."""
    values, grad = normal((301, 403), 0).astype(dtype), normal((301, 403), 1).astype(dtype)
    for name, count in (("sgd_step", 1), ("adam_step", 2)):
        options = {"lr": 0.1} | ({"momentum": 0.9} if name == "sgd_step" else {"step": 1})
        results = []
        for module in (optimizer, optimizer, reference):
            arrays = [values.copy(), *(np.ones_like(values) for _ in range(count))]
            getattr(module, name)(arrays[0], grad, *arrays[1:], **options)
            results.append(arrays)
        for one, other, want in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)
            close(one, want, dtype)
