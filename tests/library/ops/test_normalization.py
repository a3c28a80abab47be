"""Batch norm, group norm and local response norm against the loops of their definitions; running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support import oracles
from tests.library.support.cases.layers import CASES
from tests.library.support.strategies import distinct, normal

DRAWS = {case.name: case.draw for case in CASES}


@pytest.mark.parametrize("name", ["batch_norm training", "batch_norm evaluation", "batch_norm training, no affine"])
@given(data=DRAWS["batch_norm training"], evaluated=DRAWS["batch_norm evaluation"])
def test_batch_norm(name, data, evaluated):
    (x, *affine), options = evaluated if "evaluation" in name else data
    affine = [] if "no affine" in name else affine
    running = [minicnn.tensor(options.pop(key)) for key in ("running_mean", "running_var")]
    before = [r.numpy().copy() for r in running]
    got = F.batch_norm(minicnn.tensor(x), *running, *map(minicnn.tensor, affine), **options)
    expected, mean, var = oracles.batch_norm(x, *before, *affine, **options)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(running[0].numpy(), mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(running[1].numpy(), var, rtol=1e-12, atol=1e-14)
    assert options["training"] or all((r.numpy() == b).all() for r, b in zip(running, before, strict=True))


def test_the_convention_of_the_running_statistics():
    """running = (1 - momentum) * running + momentum * batch; the running variance is over m - 1, the batch's over m."""
    mean, var = minicnn.zeros(1), minicnn.ones(1)
    y = F.batch_norm(minicnn.tensor([[1.0], [3.0]]), mean, var, training=True, momentum=0.25, eps=0.0)
    assert y.tolist() == [[-1.0], [1.0]]
    assert mean.tolist() == [0.5]  # 0.25 * 2
    assert var.tolist() == [1.25]  # 0.75 * 1 + 0.25 * 2


def test_running_statistics_stay_out_of_the_graph():
    mean, var = minicnn.zeros(3), minicnn.ones(3)
    x = minicnn.tensor(normal((4, 3), 0).astype(np.float32), requires_grad=True)
    F.batch_norm(x, mean, var, training=True).sum().backward()
    assert not mean.requires_grad and mean.grad is None and mean.is_leaf
    with minicnn.no_grad():
        F.batch_norm(x, mean, var, training=True)
    assert mean.dtype == np.float32


def test_float32_far_from_zero():
    """The variance is computed from centred numbers: no cancellation at a mean of a thousand deviations."""
    x = normal((64, 1, 4, 4), 0) + 1000
    got = F.batch_norm(minicnn.tensor(x.astype(np.float32)), None, None, training=True)
    expected, _, _ = oracles.batch_norm(x.astype(np.float32), None, None, training=True)
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-3)


def test_a_constant_channel():
    x = minicnn.full((4, 2), 3.0, requires_grad=True)
    y = F.batch_norm(x, None, None, training=True)
    y.backward(minicnn.tensor(normal((4, 2), 0).astype(np.float32)))
    assert not y.detach().numpy().any() and np.isfinite(x.grad.numpy()).all()


@given(drawn=DRAWS["group_norm"])
def test_group_norm(drawn):
    (x, weight, bias), options = drawn
    got = F.group_norm(*map(minicnn.tensor, (x,)), options["groups"], minicnn.tensor(weight), minicnn.tensor(bias))
    np.testing.assert_allclose(
        got.numpy(), oracles.group_norm(x, options["groups"], weight, bias), rtol=1e-9, atol=1e-10
    )
    plain = F.group_norm(minicnn.tensor(x), options["groups"])
    np.testing.assert_allclose(plain.numpy(), oracles.group_norm(x, options["groups"]), rtol=1e-9, atol=1e-10)


@given(drawn=DRAWS["local_response_norm"])
def test_local_response_norm(drawn):
    (x,), options = drawn
    got = F.local_response_norm(minicnn.tensor(x), **options)
    np.testing.assert_allclose(got.numpy(), oracles.local_response_norm(x, **options), rtol=1e-12, atol=1e-14)


def test_alexnets_alpha_is_fives_times_pytorchs():
    """AlexNet: k = 2, n = 5, alpha = 1e-4, where the sum is not divided by n (section 3.3)."""
    x = distinct((1, 7, 2, 2), 0, -50, 50)
    expected = x.copy()
    for c in range(7):
        squares = sum(x[0, j] ** 2 for j in range(max(0, c - 2), min(7, c + 3)))
        expected[0, c] = x[0, c] / (2 + 1e-4 * squares) ** 0.75
    got = F.local_response_norm(minicnn.tensor(x), 5, alpha=5e-4, beta=0.75, k=2)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda x: F.batch_norm(x, minicnn.zeros(2), minicnn.ones(2)),
            ShapeError,
            r"2 channels \(running_mean .*got 3",
        ),
        (
            lambda x: F.batch_norm(x, None, None, minicnn.ones(4), training=True),
            ShapeError,
            r"4 channels \(weight .*got 3",
        ),
        (lambda x: F.batch_norm(x, None, None), ValueError, "needs running_mean and running_var"),
        (lambda x: F.batch_norm(x[:1], None, None, training=True), ValueError, r"more than one value .*\(1, 3\)"),
        (lambda x: F.batch_norm(x[0], None, None, training=True), ShapeError, r"got shape \(3,\)"),
        (lambda x: F.group_norm(x, 2), ShapeError, r"divisible by num_groups=2, got shape \(2, 3\)"),
        (lambda x: F.local_response_norm(x, 2), ShapeError, "at least 3 dimensions"),
        (lambda x: F.local_response_norm(x[None], 0), ValueError, "size: expected at least one channel, got 0"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call(minicnn.zeros(2, 3))
