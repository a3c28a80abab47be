"""Evaluations of known logits, against loops, against what training measures, and of networks that are none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import nn, tensor
from minicnn.data import DataLoader
from minicnn.evaluation import Evaluation, evaluate, wilson_interval
from minicnn.models.prediction import NotFinite
from minicnn.nn.functional import cross_entropy
from minicnn.training.metrics import ranks
from tests.library.support.runs import blobs
from tests.library.support.tiny_training import register_smallnet

register_smallnet()


def told(logits: Any, targets: Any, batch: int = 4, **options: Any) -> Evaluation:
    """The evaluation of a network whose logits are ``logits`` (N, C)."""
    logits, targets = np.asarray(logits), np.asarray(targets)
    starts = range(0, len(logits), batch)
    loader = [(tensor(logits[at : at + batch]), tensor(targets[at : at + batch])) for at in starts]
    return evaluate(nn.Identity(), loader, **options)


@st.composite
def outputs(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits with ties, and targets."""
    count, classes = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    logits = rng.normal(0, 3, (count, classes))
    if draw(st.booleans()):
        logits = logits.round()
    return logits, rng.integers(0, classes, count)


@given(outputs(), st.sampled_from([0.0, 0.1]))
def test_every_image_is_told_as_it_is(drawn: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    logits, targets = drawn
    found = told(logits, targets, label_smoothing=smoothing)
    probabilities = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in logits.tolist()]
    said = [row.index(max(row)) for row in logits.tolist()]
    assert (found.count, found.num_classes) == logits.shape
    assert found.targets.tolist() == targets.tolist() and found.predictions.tolist() == said
    np.testing.assert_allclose(found.confidences, [row[i] for row, i in zip(probabilities, said, strict=True)])
    np.testing.assert_allclose(
        found.losses, [-math.log(row[i]) for row, i in zip(probabilities, targets, strict=True)], atol=1e-12
    )
    assert found.ranks.tolist() == ranks(logits, targets).tolist()
    assert found.loss == pytest.approx(cross_entropy(tensor(logits), tensor(targets), label_smoothing=smoothing).item())
    right = [i == t for i, t in zip(said, targets.tolist(), strict=True)]
    assert found.top1 == pytest.approx(np.mean(right)) and found.right() == sum(right)
    assert found.interval() == wilson_interval(sum(right), len(right))
    assert (found.top5 is None) == (logits.shape[1] < 5)
    assert found.calibration().mean_accuracy == pytest.approx(np.mean(right))
    wrong = [at for at, hit in enumerate(right) if not hit]
    assert found.mistakes().tolist() == sorted(wrong, key=lambda at: (-found.losses[at], at))
    assert found.mistakes(2).tolist() == found.mistakes().tolist()[:2]


def test_one_class_only_ever_predicted() -> None:
    found = told([[0.0, 1.0, 0.0]] * 4, [0, 1, 1, 2])
    np.testing.assert_equal(found.scores.precision, [math.nan, 0.5, math.nan])
    np.testing.assert_equal(found.scores.recall, [0.0, 1.0, 0.0])
    assert found.scores.f1.tolist() == [0, pytest.approx(2 / 3), 0]
    assert found.confusion.tolist() == [[0, 1, 0], [0, 2, 0], [0, 1, 0]]


def test_a_class_without_images() -> None:
    found = told(np.eye(3)[[0, 2, 2]], [0, 0, 2])
    np.testing.assert_equal(found.scores.recall, [0.5, math.nan, 1.0])
    assert found.scores.images.tolist() == [2, 0, 1]


def test_huge_logits_do_not_overflow() -> None:
    found = told([[1e4, -1e4, 0.0]], [1])
    assert found.losses.tolist() == [2e4] and found.confidences.tolist() == [1.0]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(number: float) -> None:
    with pytest.raises(NotFinite, match="logits are not finite"):
        told([[0.0, 1.0], [number, 0.0]], [0, 1])


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        evaluate(nn.Identity(), [])
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=rf"label {wrong} is no class of the network, which has 3: 0 to 2"):
            told(np.zeros((2, 3)), [0, wrong])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_is_left_as_it_was(compiled: bool) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 2))
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    model[2].eval()
    seen: list[int] = []
    loader = DataLoader(blobs(10, 0), 4)
    first = evaluate(model, loader, compiled=compiled, on_batch=seen.append)
    assert seen == [4, 4, 2] and first.count == 10
    assert [module.training for module in model] == [True, True, False, True, True]
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert evaluate(model, loader, compiled=compiled).losses.tolist() == first.losses.tolist()  # no dropout
