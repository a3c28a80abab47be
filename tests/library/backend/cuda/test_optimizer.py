"""Optimisers and clipping on the stand-in for CuPy: the reference's numbers, in few launches, without waiting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.backend.cuda import tensors
from minicnn.backend.reference import optimizer as reference
from tests.library.support.cuda.agreement import DTYPES
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.cuda.streams import syncs
from tests.library.support.strategies import SEEDS, normal

LISTS = st.lists(st.sampled_from([(), (0,), (3,), (2, 3), (tensors.CHUNK + 5,)]), min_size=1, max_size=5)
FLAGS = st.booleans()
RATES = st.sampled_from([0.0, 0.1, 0.9])
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def random_lists(shapes, dtype, seed, count):
    """``count`` lists of arrays of these shapes."""
    return [[normal(shape, seed + 31 * i + j).astype(dtype) for j, shape in enumerate(shapes)] for i in range(count)]


def put(cuda, arrays, strided):
    """On the GPU; strided arrays are views of every second number."""
    if not strided:
        return [cuda.to_device(array) for array in arrays]
    return [cuda.to_device(np.repeat(array.ravel(), 2))[::2].reshape(array.shape) for array in arrays]


def assert_close(cuda, found, wanted, dtype):
    for got, want in zip(found, wanted, strict=True):
        got = cuda.to_host(got)
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, TOLERANCE[dtype], TOLERANCE[dtype])


@given(LISTS, DTYPES, SEEDS, FLAGS, RATES, RATES, RATES, FLAGS, FLAGS)
@settings(max_examples=25)
def test_sgd_is_the_references(
    cuda, shapes, dtype, seed, strided, momentum, dampening, weight_decay, nesterov, maximize
):
    """In the first steps of some parameters and later ones of the others."""
    params, grads, buffers = random_lists(shapes, dtype, seed, 3)
    known = [i % 2 == 0 for i in range(len(shapes))]
    options = {
        "lr": 0.1, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
        "maximize": maximize,
    }  # fmt: skip
    there = [put(cuda, arrays, strided) for arrays in (params, grads, buffers)]
    with syncs.forbid():
        after = cuda.sgd_step(
            there[0], there[1], [b if k else None for b, k in zip(there[2], known, strict=True)], **options
        )
    wanted = reference.sgd_step(
        params, grads, [b if k else None for b, k in zip(buffers, known, strict=True)], **options
    )
    assert_close(cuda, there[0], params, dtype)
    assert_close(cuda, there[1], grads, dtype)
    assert [b is None for b in after] == [b is None for b in wanted]
    if momentum:
        assert_close(cuda, after, wanted, dtype)


@given(LISTS, DTYPES, SEEDS, FLAGS, FLAGS, RATES, FLAGS, FLAGS)
@settings(max_examples=25)
def test_adam_is_the_references(cuda, shapes, dtype, seed, strided, amsgrad, weight_decay, decoupled, maximize):
    """With another number of steps for each parameter."""
    params, grads, means = random_lists(shapes, dtype, seed, 3)
    squares, largest = ([np.asarray(abs(a)) for a in arrays] for arrays in random_lists(shapes, dtype, seed + 1, 2))
    lists = [params, grads, means, squares, *([largest] if amsgrad else [])]
    options = {
        "steps": [1 + 3 * i for i in range(len(shapes))], "lr": 0.01, "weight_decay": weight_decay,
        "decoupled_weight_decay": decoupled, "maximize": maximize,
    }  # fmt: skip
    there = [put(cuda, arrays, strided) for arrays in lists]
    with syncs.forbid():
        cuda.adam_step(*there, **options)
    reference.adam_step(*lists, **options)
    for found, wanted in zip(there, lists, strict=True):
        assert_close(cuda, found, wanted, dtype)


@given(LISTS, DTYPES, SEEDS, FLAGS, st.sampled_from([0.1, 1e6]), st.sampled_from([1.0, 2.0, 3.0, math.inf]))
@settings(max_examples=25)
def test_clipping_is_the_cpus(cuda, shapes, dtype, seed, strided, limit, p):
    (grads,) = random_lists(shapes, dtype, seed, 1)
    found = []
    for device in ("cpu", "cuda"):
        parameters = [minicnn.tensor(np.zeros_like(gradient), device=device) for gradient in grads]
        arrays = put(cuda, grads, strided) if device == "cuda" else grads
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.grad = minicnn.Tensor.wrap(array.copy() if device == "cpu" else array, parameter.device)
        with syncs.forbid():
            norm = minicnn.nn.utils.clip_grad_norm_(parameters, limit, p)
        found.append([norm.cpu().numpy(), *(parameter.grad.cpu().numpy() for parameter in parameters)])
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, 1e-5, 1e-6)


def test_clipping_shows_not_a_number(cuda):
    for p in (2.0, math.inf):
        parameters = [minicnn.zeros(3, device="cuda") for _ in range(3)]
        for parameter in parameters:
            parameter.grad = minicnn.ones(3, device="cuda")
        parameters[1].grad[1] = math.nan
        assert math.isnan(minicnn.nn.utils.clip_grad_norm_(parameters, 1.0, p).item())
        assert np.isnan(parameters[2].grad.cpu().numpy()).all()


def test_threads_of_a_block_share_a_chunk(cuda, monkeypatch):
    monkeypatch.setattr(RawKernel, "threads", 4)
    gradients = [cuda.to_device(normal((n,), n)) for n in (5, 30, 1)]
    wanted = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    norm = cuda.clip(gradients, 1.0, 2.0)
    assert float(norm) == pytest.approx(wanted)
    params = [cuda.to_device(np.zeros(g.size)) for g in gradients]
    cuda.sgd_step(params, gradients, [None] * 3, lr=1.0)
    assert math.sqrt(sum(float((p * p).sum()) for p in params)) == pytest.approx(1.0)


def test_many_parameters_take_few_launches(cuda):
    """ResNet-50 has 161 parameters."""
    parameters = [minicnn.zeros(2, device="cuda", requires_grad=True) for _ in range(161)]
    optimizer = minicnn.optim.AdamW(parameters, lr=0.1)
    for parameter in parameters:
        parameter.grad = minicnn.ones(2, device="cuda")
    before = dict(RawKernel.launches)
    minicnn.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    launched = {name: n - before.get(name, 0) for name, n in RawKernel.launches.items() if n > before.get(name, 0)}
    assert launched == {"norm_of_chunks": 3, "norm_and_factor": 1, "scale_tensors": 3, "adam_step": 3}


def test_other_numbers_than_floats_are_refused(cuda):
    with pytest.raises(TypeError, match="expected tensors of float32 or float64, got float16"):
        cuda.clip([cuda.xp.zeros(3, "float16")], 1.0, 2.0)


def test_a_parameter_that_is_a_strided_view_is_updated_in_place(cuda):
    whole = minicnn.zeros(3, 4, device="cuda")
    column = whole.T.detach().requires_grad_()
    column.grad = minicnn.ones(4, 3, device="cuda")
    minicnn.optim.SGD([column], lr=0.5).step()
    assert (whole.cpu().numpy() == -0.5).all()


@pytest.mark.parametrize("kind", [minicnn.optim.SGD, minicnn.optim.AdamW])
def test_a_state_is_saved_and_loaded(cuda, kind):
    found = []
    for device in ("cpu", "cuda"):
        parameter = minicnn.tensor(normal((3, 4), 0), device=device, requires_grad=True)
        optimizer = kind([parameter], lr=0.1, **({"momentum": 0.9} if kind is minicnn.optim.SGD else {"amsgrad": True}))
        for step in range(3):
            parameter.grad = minicnn.tensor(normal((3, 4), step), device=device)
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        found.append(parameter.detach().cpu().numpy())
    np.testing.assert_allclose(found[1], found[0], 1e-12, 1e-14)


def test_numbers_are_copied_when_they_change(cuda):
    before = cuda.numbers((0.1, 0.9), "float32")
    assert cuda.numbers((0.1, 0.9), "float32") is before
    assert cuda.to_host(cuda.numbers((0.2, 0.9), "float32")) == pytest.approx([0.2, 0.9])
    for step in range(100):
        cuda.numbers((step,), "float64")
    assert len(cuda.numbers.kept) == 64
