"""What an edition knows of answers: the right ones, and sketches of wrong ones that tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.course.execution import Failure, State
from minicnn.course.recorded import LARGEST, sketch

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5))


def fits(one, other, right) -> bool:
    """Whether two outcomes have one sketch, as it is kept: in float32."""
    seen, kept = sketch(one, right), sketch(other, right)
    rounding = np.finfo(np.float32).eps * np.abs(seen.sums)
    return seen.digest == kept.digest and bool(
        (np.abs(seen.sums - kept.sums.astype(np.float32)) <= seen.reach + rounding).all()
    )


@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]), st.floats(1e-2, 1e6))
def test_equal_answers_have_one_sketch_and_others_have_another(shape, seed, dtype, scale):
    rng = np.random.default_rng(seed)
    right = {"y": (scale * rng.standard_normal(shape)).astype(dtype), "n": 3}
    wrong = {"y": (right["y"] * 2).astype(dtype), "n": 3}
    close = {"y": (wrong["y"] * (1 + (1e-9 if dtype == np.float64 else 1e-6))).astype(dtype), "n": 3}
    assert fits(close, wrong, right)
    assert not fits(right, wrong, right)
    flipped = {**wrong, "y": -wrong["y"]}
    assert not fits(flipped, wrong, right)


@pytest.mark.parametrize(
    "one, other",
    [
        ({"y": 1}, {"y": 2}),
        ({"y": 1}, {"z": 1}),
        ({"y": "a"}, {"y": "b"}),
        ({"y": None}, {"y": "None"}),
        ({"y": np.zeros((2, 3))}, {"y": np.zeros((3, 2))}),
        ({"y": np.zeros(2, np.float32)}, {"y": np.zeros(2)}),
        ({"y": np.array([np.nan, 1.0])}, {"y": np.array([1.0, np.nan])}),
        ({"y": np.array([np.inf, 1.0])}, {"y": np.array([-np.inf, 1.0])}),
        ({"y": (1, 2)}, {"y": (2, 1)}),
        ({"y": True}, {"y": False}),
        (Failure(State.ERROR, "a", "ValueError"), Failure(State.ERROR, "b", "ValueError")),
        (Failure(State.ERROR, "a", "ValueError"), Failure(State.ERROR, "a", "TypeError")),
        (Failure(State.ERROR, "a", "ValueError"), {"y": 1}),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert sketch(one, {}).digest != sketch(other, {}).digest


def test_numbers_beyond_float32_are_kept_within_it():
    huge = sketch({"y": np.full(3, 1e300)}, {})
    assert np.abs(huge.sums).max() <= LARGEST and np.isfinite(huge.sums.astype(np.float32)).all()


def test_a_sketch_holds_two_sums_and_a_digest_whatever_the_size():
    large = sketch({"y": np.ones((100, 100)), "z": np.ones(1000)}, {})
    assert large.sums.shape == (2,) and 0 < large.digest < 2**32
