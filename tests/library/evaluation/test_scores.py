"""Counts and intervals against naive loops, scikit-learn, and what an interval promises."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.evaluation import class_scores, confused_pairs, confusion_matrix, wilson_interval


@st.composite
def answers(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Targets and predictions of a few images, in so many classes that some have none."""
    classes, count = draw(st.integers(1, 6)), draw(st.integers(0, 30))
    each = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    return np.array(draw(each), np.int64), np.array(draw(each), np.int64), classes


@given(answers())
def test_the_matrix_counts(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    targets, predictions, classes = drawn
    naive = [[0] * classes for _ in range(classes)]
    for target, prediction in zip(targets, predictions, strict=True):
        naive[target][prediction] += 1
    assert confusion_matrix(targets, predictions, classes).tolist() == naive


def share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


@given(answers())
def test_scores_are_shares_of_rows_and_columns(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    targets, predictions, classes = drawn
    scores = class_scores(confusion_matrix(targets, predictions, classes))
    for i in range(classes):
        of_class = [t == i for t in targets.tolist()]
        taken = [p == i for p in predictions.tolist()]
        right = sum(a and b for a, b in zip(of_class, taken, strict=True))
        assert (scores.images[i], scores.predicted[i], scores.right[i]) == (sum(of_class), sum(taken), right)
        recall, precision = share(right, sum(of_class)), share(right, sum(taken))
        np.testing.assert_equal([scores.recall[i], scores.precision[i]], [recall, precision])
        if right:
            assert scores.f1[i] == pytest.approx(2 / (1 / recall + 1 / precision))
        else:
            np.testing.assert_equal(scores.f1[i], 0.0 if any(of_class) or any(taken) else math.nan)


@settings(max_examples=20)
@given(answers())
def test_as_scikit_learn_counts(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    targets, predictions, classes = drawn
    if not len(targets):
        return
    labels = list(range(classes))
    ours = confusion_matrix(targets, predictions, classes)
    scores = class_scores(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.tolist() == metrics.confusion_matrix(targets, predictions, labels=labels).tolist()
        theirs = metrics.precision_recall_fscore_support(targets, predictions, labels=labels, zero_division=np.nan)
    for mine, other in zip((scores.precision, scores.recall, scores.f1, scores.images), theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@given(answers(), st.integers(0, 5))
def test_the_most_confused_come_first(drawn: tuple[np.ndarray, np.ndarray, int], most: int) -> None:
    targets, predictions, classes = drawn
    confusion = confusion_matrix(targets, predictions, classes)
    every = confused_pairs(confusion)
    assert {(i, j): n for i, j, n in every} == {(i, j): n for (i, j), n in np.ndenumerate(confusion) if i != j and n}
    assert [n for *_, n in every] == sorted((n for *_, n in every), reverse=True)
    assert confused_pairs(confusion, most) == every[:most]


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 1], [0], r"two arrays of shape \(N,\), got \(2,\) and \(1,\)"),
        ([[0]], [[0]], r"got \(1, 1\)"),
        ([0, 3], [0, 0], "targets from 0 to 2, got 3"),
        ([0, 0], [0, -1], "predictions from 0 to 2, got -1"),
    ],
)
def test_what_cannot_be_counted_is_refused(targets: Any, predictions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(targets), np.array(predictions), 3)


@st.composite
def counts(draw: Any) -> tuple[int, int]:
    count = draw(st.integers(1, 10**6))
    return draw(st.integers(0, count)), count


@given(counts(), st.floats(0.5, 0.999))
def test_the_interval_holds_what_the_score_test_does_not_reject(drawn: tuple[int, int], confidence: float) -> None:
    """Its ends p are where the share seen lies just z standard errors, of p itself, away [Wilson 1927]."""
    from statistics import NormalDist

    (right, count), z = drawn, NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = wilson_interval(right, count, confidence)
    assert 0 <= low <= right / count <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            away = abs(right / count - end) / math.sqrt(end * (1 - end) / count)
            assert away == pytest.approx(z, rel=1e-5)
    wider = wilson_interval(right, count, (1 + confidence) / 2)
    assert wider[0] <= low and high <= wider[1]


def test_a_published_interval() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 0 of 20, 1 of 29."""
    for seen, expected in {(81, 263): (0.2553, 0.3662), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}.items():
        assert wilson_interval(*seen) == pytest.approx(expected, abs=5e-5)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    for truth in (0.5, 0.9, 0.98):
        ends = [wilson_interval(int(right), 358) for right in rng.binomial(358, truth, 4000)]
        assert 0.93 < np.mean([low <= truth <= high for low, high in ends]) < 0.975


def test_nothing_seen_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    for wrong in ((3, 2), (-1, 2), (1, 2, 1.0), (1, 2, 0.0)):
        with pytest.raises(ValueError, match="expected from 0 to 2|`confidence`"):
            wilson_interval(*wrong)
