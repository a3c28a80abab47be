"""Answers: what counts as a number, which dtypes are asked for, and writing where others still read."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor
from minicnn.autograd import Function
from minicnn.course.comparison import as_answers, differences
from minicnn.course.drivers import Unusable, gradients


def told(got, right) -> str:
    """What is said about ``got`` where ``right`` is expected; empty if nothing is."""
    return "\n".join(difference.text for difference in differences(as_answers(got), as_answers(right)))


@pytest.mark.parametrize(
    "got, right",
    [
        (np.int64(3), 3),
        ((np.int64(0), np.int32(1)), (0, 1)),
        ([np.float64(0.5), 2], (0.5, 2.0)),
        ((np.bool_(True), False), (True, False)),
        (np.array([1, 2]), [1, 2]),
        (np.array([1, 2], np.int32), np.array([1, 2], np.int64)),
        (2, 2.0),
        ({"a": (np.uint8(7),)}, {"a": (7,)}),
        (float("nan"), np.float64("nan")),
        (Tensor(np.ones(2, np.float32)), np.ones(2, np.float32)),
    ],
)
def test_numbers_are_numbers_whoever_makes_them(got, right):
    assert not told(got, right)


@pytest.mark.parametrize(
    "got, right, part",
    [
        (np.ones(3), np.ones(3, np.float32), "got dtype float64, expected float32"),
        (np.ones(3, np.float32), np.ones(3), "got dtype float32, expected float64"),
        (np.ones(3), np.ones(3, np.int64), "got dtype float64, expected int64"),
        (np.ones(3, np.int64), np.ones(3), "got dtype int64, expected float64"),
        (np.ones(3, np.int64), np.ones(3, bool), "got dtype int64, expected bool"),
        (Tensor(np.ones(3)), Tensor(np.ones(3, np.float32)), "got dtype float64"),
        (3.0, 3, "got a float, expected an integer"),
        ((0.0, 1.0), (0, 1), "got a float, expected an integer"),
        (np.int64(4), 3, "got 4, expected 3"),
        ((np.int64(4), 1), (3, 1), "entry [0]: got 4, expected 3"),
        (np.ones(3) + 1, np.ones(3, np.float32), "2x too large"),
    ],
)
def test_what_differs_is_said(got, right, part):
    assert part in told(got, right)


class Writes(Function):
    """Twice ``x``, by a backward that writes where ``where`` says."""

    @staticmethod
    def forward(ctx, x, where):
        ctx.save_for_backward(x.copy())
        ctx.where = where
        return 2 * x * x

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        gradient = 4 * x * cotangent
        if ctx.where == "cotangent":
            cotangent *= 2
        elif ctx.where == "saved":
            x *= 2
        return gradient, None


def test_a_backward_that_writes_into_the_cotangent_or_a_saved_array_is_found_out():
    def gradient(where):
        x = Tensor(np.arange(1.0, 4.0), requires_grad=True)
        return gradients(Writes.apply(x, where), {"x": x}, seed=0)["gradient at x"]

    cotangent = np.random.default_rng([0, 1]).standard_normal(3)
    np.testing.assert_allclose(gradient("nowhere").numpy(), 4 * np.arange(1.0, 4.0) * cotangent)
    with pytest.raises(Unusable, match="wrote into the cotangent"):
        gradient("cotangent")
    with pytest.raises(Unusable, match="another gradient at x: the first one wrote into an array"):
        gradient("saved")
