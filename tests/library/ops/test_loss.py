"""Losses: values by loops, huge logits, reductions, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support import oracles
from tests.library.support.cases.layers import CASES
from tests.library.support.strategies import SEEDS, normal

DRAWS = {case.name: case.draw for case in CASES}


def as_rows(logits, target):
    """(N, C, d1, ...) and (N, d1, ...) as (M, C) and (M,)."""
    classes = logits.shape[1]
    return np.moveaxis(logits, 1, -1).reshape(-1, classes), target.reshape(-1)


def ours(name, logits, target, options):
    given_options = {k: minicnn.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return getattr(F, name)(minicnn.tensor(logits), minicnn.tensor(target), **given_options).numpy()


@given(drawn=DRAWS["cross_entropy"])
def test_cross_entropy(drawn):
    (logits, target), options = drawn
    got = ours("cross_entropy", logits, target, options)
    expected = np.asarray(oracles.cross_entropy(*as_rows(logits, target), **options))
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=1e-12, atol=1e-14)
    assert got.shape == (target.shape if options["reduction"] == "none" else ())


@given(drawn=DRAWS["cross_entropy of probabilities"])
def test_cross_entropy_of_probabilities(drawn):
    (logits,), options = drawn
    target = options.pop("target")
    got = ours("cross_entropy", logits, target, options)
    np.testing.assert_allclose(got, oracles.cross_entropy(logits, target, **options), rtol=1e-12, atol=1e-14)


@given(drawn=DRAWS["nll_loss"])
def test_nll_loss_of_log_softmax_is_cross_entropy(drawn):
    (logits, target), options = drawn
    got = ours("nll_loss", F.log_softmax(minicnn.tensor(logits), 1).numpy(), target, options)
    np.testing.assert_allclose(got, ours("cross_entropy", logits, target, options), rtol=1e-12, atol=1e-14)


@given(seed=SEEDS, classes=st.integers(2, 5))
def test_one_hot_probabilities_are_labels(seed, classes):
    logits, labels = normal((6, classes), seed), np.random.default_rng(seed).integers(0, classes, 6)
    for smoothing in (0.0, 0.3):
        by_label = ours("cross_entropy", logits, labels, {"label_smoothing": smoothing})
        one_hot = ours("cross_entropy", logits, np.eye(classes)[labels], {"label_smoothing": smoothing})
        np.testing.assert_allclose(by_label, one_hot, rtol=1e-12)


@pytest.mark.parametrize(("name", "power"), [("mse_loss", 2), ("l1_loss", 1)])
@given(drawn=DRAWS["mse_loss"])
def test_distances(name, power, drawn):
    (a, b), options = drawn
    each = [abs(float(x) - float(y)) ** power for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    expected = {"none": each, "sum": math.fsum(each), "mean": math.fsum(each) / len(each)}[options["reduction"]]
    got = getattr(F, name)(minicnn.tensor(a), minicnn.tensor(b), **options).numpy()
    np.testing.assert_allclose(got.ravel(), np.ravel(expected), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits(dtype):
    """At logits of 1e4 the loss is exact and the gradient is probabilities minus targets."""
    logits = minicnn.tensor(np.array([[1e4, 0, -1e4], [1e4, 1e4, 0], [0, 0, 1e4]], dtype), requires_grad=True)
    loss = F.cross_entropy(logits, minicnn.tensor([0, 1, 0]), reduction="none")
    loss.sum().backward()
    np.testing.assert_allclose(loss.detach().numpy(), [0, math.log(2), 1e4], rtol=1e-6)
    np.testing.assert_allclose(logits.grad.numpy(), [[0, 0, 0], [0.5, -0.5, 0], [-1, 0, 1]], atol=1e-7)
    smoothed = F.cross_entropy(logits, minicnn.tensor([0, 1, 2]), label_smoothing=0.3)
    expected = oracles.cross_entropy(logits.detach().numpy(), np.array([0, 1, 2]), label_smoothing=0.3)
    assert smoothed.item() == pytest.approx(expected, rel=1e-6)


def test_an_impossible_class_that_is_not_wanted_costs_nothing():
    logits = minicnn.tensor([[0.0, -math.inf, 0.0]], requires_grad=True)
    loss = F.cross_entropy(logits, minicnn.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad.tolist() == [[-0.5, 0.0, 0.5]]


def test_when_everything_is_ignored():
    logits = minicnn.tensor([[1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(logits, minicnn.tensor([-100]))
    loss.backward()
    assert math.isnan(loss.item()) and logits.grad.tolist() == [[0.0, 0.0]]
    assert F.cross_entropy(logits, minicnn.tensor([-100]), reduction="sum").item() == 0
    assert F.cross_entropy(minicnn.zeros(0, 3), minicnn.zeros(0, dtype=minicnn.int64), reduction="sum").item() == 0


def test_one_example_without_a_batch():
    got = F.cross_entropy(minicnn.tensor([1.0, 2.0, 3.0]), minicnn.tensor(2))
    assert got.shape == () and got.item() == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.cross_entropy(x, minicnn.tensor([0, 3])), IndexError, "labels between 0 and 2, got 3"),
        (lambda x: F.cross_entropy(x, minicnn.tensor([0, -1])), IndexError, "labels between 0 and 2, got -1"),
        (
            lambda x: F.cross_entropy(x, minicnn.tensor([0])),
            ShapeError,
            r"labels of shape \(2,\) for logits \(2, 3\), got \(1,\)",
        ),
        (lambda x: F.cross_entropy(x, minicnn.zeros(2)), ShapeError, r"class probabilities \(2, 3\), got \(2,\)"),
        (
            lambda x: F.cross_entropy(x, minicnn.tensor([0, 1]), minicnn.ones(2)),
            ShapeError,
            r"weight of shape \(3,\), got \(2,\)",
        ),
        (
            lambda x: F.cross_entropy(x, minicnn.tensor([0, 1]), reduction="avg"),
            ValueError,
            "'mean', 'sum' or 'none', got 'avg'",
        ),
        (lambda x: F.cross_entropy(x, minicnn.tensor([0, 1]), label_smoothing=2), ValueError, "between 0 and 1, got 2"),
        (lambda x: F.nll_loss(x, minicnn.tensor([0, 5])), IndexError, "got 5"),
        (lambda x: F.mse_loss(x, minicnn.zeros(2, 3), reduction="total"), ValueError, "got 'total'"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call(minicnn.zeros(2, 3))
