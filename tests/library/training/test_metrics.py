"""What is measured while training: shares of right answers, running means, the best line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.training import ClassificationMetrics, topk_accuracy
from minicnn.training.metrics import RunningMean, best


def naive_topk(logits: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Sort every row: the highest score first, of equal ones the lower class first, NaN before all."""
    hits = 0
    for row, target in zip(logits, targets, strict=True):
        order = sorted(range(len(row)), key=lambda c: (not math.isnan(row[c]), -row[c] if row[c] == row[c] else 0, c))
        hits += int(target) in order[:k] and not math.isnan(row[target])
    return hits / len(targets)


@given(st.integers(1, 8), st.integers(1, 7), st.integers(0, 2**16), st.sampled_from([0.0, 0.2]))
def test_topk_is_what_sorting_says_with_ties_and_nan(rows: int, classes: int, seed: int, nan_share: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-2, 3, (rows, classes)).astype(np.float32)  # few values: many ties
    logits[rng.random(logits.shape) < nan_share] = np.nan
    targets = rng.integers(0, classes, rows)
    for k in (1, 5):
        assert topk_accuracy(logits, targets, k) == pytest.approx(naive_topk(logits, targets, k))


def test_a_nan_score_is_never_a_right_answer() -> None:
    logits = np.full((3, 4), np.nan)
    assert topk_accuracy(logits, np.arange(3), k=1) == 0
    assert topk_accuracy(logits, np.arange(3), k=5) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**16))
def test_metrics_over_batches_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, losses = rng.normal(size=(sum(sizes), 6)), rng.normal(size=sum(sizes))
    targets = rng.integers(0, 6, sum(sizes))
    metrics = ClassificationMetrics(num_classes=6)
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        batch = slice(end - size, end)
        metrics.add(losses[batch].mean(), logits[batch], targets[batch])
    assert metrics.count == sum(sizes)
    assert metrics.summary() == pytest.approx(
        {"loss": losses.mean(), "top1": naive_topk(logits, targets, 1), "top5": naive_topk(logits, targets, 5)}
    )


@pytest.mark.parametrize(("num_classes", "has_top5"), [(2, False), (4, False), (5, True), (1000, True)])
def test_top5_is_counted_from_five_classes_on(num_classes: int, has_top5: bool) -> None:
    assert ("top5" in ClassificationMetrics(num_classes).summary()) == has_top5


def test_a_running_mean_without_values_is_nan() -> None:
    assert math.isnan(RunningMean().value)


def test_best_is_the_first_of_equals_and_none_without_lines() -> None:
    lines = [{"epoch": 1, "a": 0.5}, {"epoch": 2, "a": 0.9}, {"epoch": 3, "a": 0.9}, {"epoch": 4}]
    assert best(lines, "a") == {"epoch": 2, "a": 0.9}
    assert best(lines, "b") is None
