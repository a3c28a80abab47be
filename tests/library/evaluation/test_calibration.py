"""The bins of the reliability diagram against a loop over answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.evaluation import calibration


@st.composite
def answers(draw: Any) -> tuple[list[float], list[bool], int]:
    bins = draw(st.integers(1, 20))
    edges = st.integers(0, bins).map(lambda number: number / bins)  # the places where a bin ends
    confidences = draw(st.lists(st.floats(0, 1) | edges, min_size=1, max_size=40))
    return confidences, draw(st.lists(st.booleans(), min_size=len(confidences), max_size=len(confidences))), bins


@given(answers())
def test_as_a_loop_over_bins_and_answers(drawn: tuple[list[float], list[bool], int]) -> None:
    confidences, right, bins = drawn
    found = calibration(np.array(confidences), np.array(right), bins)
    error = 0.0
    for m in range(bins):
        low, high = m / bins, (m + 1) / bins
        inside = [
            at for at, confidence in enumerate(confidences) if low < confidence <= high or (m == 0 and confidence == 0)
        ]
        assert found.counts[m] == len(inside)
        if not inside:
            assert math.isnan(found.accuracy[m]) and math.isnan(found.confidence[m])
            continue
        accuracy = sum(right[at] for at in inside) / len(inside)
        confidence = sum(confidences[at] for at in inside) / len(inside)
        assert (found.accuracy[m], found.confidence[m]) == pytest.approx((accuracy, confidence))
        error += len(inside) / len(confidences) * abs(accuracy - confidence)
    assert found.error == pytest.approx(error, abs=1e-12)
    assert found.mean_confidence == pytest.approx(sum(confidences) / len(confidences))
    assert found.mean_accuracy == pytest.approx(sum(right) / len(right))
    assert found.edges.tolist() == [m / bins for m in range(bins + 1)]


def test_one_that_is_right_as_often_as_it_says_has_no_error() -> None:
    confidences = np.repeat([0.5, 0.8], [10, 10])
    right = np.array([True] * 5 + [False] * 5 + [True] * 8 + [False] * 2)
    assert calibration(confidences, right).error == pytest.approx(0, abs=1e-12)
    assert calibration(confidences, ~right).error == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("confidences", "right", "bins", "message"),
    [
        ([], [], 15, r"N > 0, got \(0,\)"),
        ([0.5], [True, False], 15, r"got \(1,\) and \(2,\)"),
        ([1.5], [True], 15, "from 0 to 1"),
        ([math.nan], [True], 15, "from 0 to 1"),
        ([0.5], [True], 0, "at least 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(confidences: Any, right: Any, bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(np.array(confidences), np.array(right, bool), bins)
