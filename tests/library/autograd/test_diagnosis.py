"""What is wrong with a gradient is named, and nothing is named that is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.autograd.diagnosis import ArgumentReport, diagnose
from minicnn.autograd.gradcheck import GradcheckError, gradcheck, gradcheck_report
from tests.library.support.strategies import SEEDS, normal, shapes
from tests.library.support.wrong_gradients import broadcast_product, cube, leaf


def outer(gradient, border=1.0, inside=1.0):
    """The gradient with its border, or what is inside it, multiplied (on the last two axes)."""
    factors = np.full(gradient.shape, border)
    factors[..., 1:-1, 1:-1] = inside
    return gradient * factors


def one_entry(gradient):
    gradient.flat[3] += 0.5
    return gradient


PLANTED = [  # the kind, words of the report, what is done to a right gradient of shape (2, 3, 5, 5)
    ("factor", "exactly 2x too large (2 = size of axis 0)", lambda g: 2 * g),
    ("factor", "exactly 150x too large (150 = number of entries)", lambda g: 150 * g),
    ("factor", "exactly 5x too small (5 = size of axis 2 = size of axis 3)", lambda g: g / 5),
    ("factor", "exactly 7x too small", lambda g: g / 7),
    ("factor", "exactly 0.7 times", lambda g: 0.7 * g),
    ("factor", "exactly -3 times", lambda g: -3 * g),
    ("sign", "sign is flipped", lambda g: -g),
    ("zero", "zero everywhere", lambda g: 0 * g),
    ("transposed", "axes 2 and 3 are swapped", lambda g: g.swapaxes(2, 3)),
    ("transposed", "axes 0 and 1 are swapped: got shape (3, 2, 5, 5)", lambda g: g.swapaxes(0, 1)),
    ("transposed", "permuted to (1, 2, 3, 0)", lambda g: g.transpose(1, 2, 3, 0)),
    ("flipped", "along axis 3", lambda g: g[..., ::-1]),
    ("flipped", "along axes 2, 3", lambda g: g[..., ::-1, ::-1]),
    ("border", "top 1, bottom 1, left 1, right 1 of 5x5", lambda g: outer(g, border=0.5)),
    ("border", "(right 1 of 5x5)", lambda g: g * np.array([1, 1, 1, 1, 0])),
    ("interior", "rows 1:4, columns 1:4", lambda g: outer(g, inside=0)),
    ("nonfinite", "the first at [1, 2, 0, 0]", lambda g: np.where(g == g[1, 2, 0, 0], np.nan, g)),
    ("nonfinite", "150 of 150 entries", lambda g: g / 0.0),
    ("shape", "has shape (6, 25), the argument (2, 3, 5, 5)", lambda g: g.reshape(6, 25)),
    ("unreduced", "axes of size 1 are still there", lambda g: g[None]),
    ("wrong", "no pattern", lambda g: g + 1),
    ("wrong", "no pattern", one_entry),
]


@pytest.mark.parametrize(("kind", "words", "change"), PLANTED, ids=[f"{kind}: {words}" for kind, words, _ in PLANTED])
def test_names_the_planted_mistake(kind, words, change):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(cube(change), leaf((2, 3, 5, 5)))
    (report,) = caught.value.report.arguments
    assert report.kind == kind
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            lambda g: np.repeat(g, 4, axis=0) / 4,
            "unreduced",
            "not summed over the broadcast axes (0,): got shape (4, 3, 1)",
        ),
        (lambda g: np.repeat(np.repeat(g, 5, 2), 4, 0) / 20, "unreduced", "broadcast axes (0, 2): got shape (4, 3, 5)"),
        (lambda g: np.repeat(g, 4, axis=0), "shape", "has shape (4, 3, 1), the argument (1, 3, 1)"),
    ],
)
def test_a_gradient_left_at_the_broadcast_shape(change, kind, words):
    report = gradcheck_report(broadcast_product(change_second=change), (leaf((4, 3, 5)), leaf((1, 3, 1), 1)))
    (argument,) = report.arguments
    assert (argument.name, argument.kind) == ("argument 1", kind)
    assert words in str(report)


def assert_true(report: ArgumentReport) -> None:
    """The claim of ``report.kind`` holds, checked in another way than it was found."""
    got, expected = report.got, report.expected

    def equal(a, b):
        return a.shape == b.shape and np.allclose(a, b, rtol=2e-5, atol=2e-7)

    if report.kind in ("ok", "wrong"):
        assert np.allclose(got, expected, rtol=1e-5, atol=1e-7) == report.ok
    elif report.kind == "zero":
        assert not got.any()
    elif report.kind == "sign":
        assert equal(got, -expected)
    elif report.kind == "factor":
        largest = np.unravel_index(np.abs(expected).argmax(), expected.shape)
        assert equal(got, expected * (got[largest] / expected[largest]))
    elif report.kind in ("transposed", "flipped"):
        assert equal(np.sort(got, axis=None), np.sort(expected, axis=None))
    elif report.kind in ("border", "interior"):
        wrong = ~np.isclose(got, expected, rtol=2e-5, atol=2e-7)
        told = np.full(wrong.shape, report.kind == "border")
        height, width = wrong.shape[-2:]
        rim = {side: int(size) for side, size in re.findall(r"(\w+) (\d+)", report.pattern)}
        if report.kind == "border":
            rows = slice(rim.get("top", 0), height - rim.get("bottom", 0))
            columns = slice(rim.get("left", 0), width - rim.get("right", 0))
        else:
            rows, columns = (slice(*map(int, ends)) for ends in re.findall(r"(\d+):(\d+)", report.pattern))
        told[..., rows, columns] = report.kind == "interior"
        assert wrong.any() and not (wrong & ~told).any()
    else:
        raise AssertionError(f"unexpected kind {report.kind}")


@given(shapes(max_dims=4), SEEDS, st.sampled_from(["all", "some", "few", "tiny"]))
def test_a_random_wrong_gradient_gets_no_false_diagnosis(shape, seed, which):
    rng = np.random.default_rng(seed)
    expected = np.asarray(rng.standard_normal(shape))
    noise = np.asarray(rng.standard_normal(shape))
    share = {"all": 1.0, "some": 0.5, "few": 0.1, "tiny": 1.0}[which]
    got = expected + noise * (rng.random(shape) < share) * (1e-6 if which == "tiny" else 1.0)
    report = diagnose(got, expected)
    assert_true(report)
    if which == "all" and got.size >= 3:
        assert report.kind == "wrong"


def rolled(g, rng):
    return np.roll(g, 1, axis=rng.integers(g.ndim))


def a_part(change):
    """``change`` in a part of the rows of a random axis."""

    def changed(g, rng):
        axis = int(rng.integers(g.ndim))
        part = np.arange(g.shape[axis]) < rng.integers(1, g.shape[axis] + 1)
        if rng.random() < 0.5:
            part = part[::-1]
        return np.where(part.reshape([-1] + [1] * (g.ndim - 1 - axis)), change(g, rng), g)

    return changed


SLIPS = [  # as students make them: in all of an answer, or in a part of it
    rolled,
    *map(
        a_part,
        [
            lambda g, rng: 0 * g,
            lambda g, rng: -g,
            lambda g, rng: 2 * g,
            lambda g, rng: g + 1,
            lambda g, rng: g[..., ::-1],
            lambda g, rng: np.abs(g),
            lambda g, rng: g * (1 + 1e-3 * rng.standard_normal(g.shape)),
            rolled,
        ],
    ),
]


@settings(max_examples=100)
@given(shapes(max_dims=4, min_dims=1), SEEDS, st.sampled_from(SLIPS))
def test_a_slip_gets_no_false_diagnosis(shape, seed, slip):
    expected = normal(shape, seed)
    assert_true(diagnose(slip(expected, np.random.default_rng(seed)), expected))


@given(shapes(min_dims=1).filter(lambda shape: np.prod(shape) >= 3), SEEDS)
def test_tiny_gradients_within_tolerance_have_no_pattern(shape, seed):
    """Gradients of the size of atol are equal, or differ without a pattern: a factor or a sign means nothing there."""
    expected = np.asarray(1e-7 * normal(shape, seed))
    assert diagnose(expected + 1.5e-7 * normal(shape, seed + 1), expected).kind in ("ok", "wrong")
    assert diagnose(np.full(shape, 1.1e-7), expected).kind in ("ok", "wrong")


def test_the_words_fit_an_output_as_well_as_a_gradient():
    report = diagnose(np.zeros((2, 3)), normal((2, 3), 0), name="samples")
    assert str(report).startswith("samples: zero everywhere\n") and "gradient" not in str(report)


def test_one_number_has_no_factor():
    assert diagnose(np.array(3.0), np.array(1.0)).kind == "wrong"
    assert diagnose(np.array([3.0, 0.0]), np.array([1.0, 0.0])).kind == "wrong"
    assert diagnose(np.array(-1.0), np.array(1.0)).kind == "sign"


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 8), st.integers(1, 8)),
    st.tuples(*[st.integers(0, 7)] * 4),
    st.booleans(),
    SEEDS,
)
def test_a_rim_is_told_where_it_is_one_and_leaves_the_larger_part(shape, rim, inside, seed):
    """A random rectangle is right and all around it wrong, or the other way round."""
    top, bottom, left, right = rim
    *_, height, width = shape
    box = np.zeros(shape, bool)
    box[..., top : max(height - bottom, 0), left : max(width - right, 0)] = True
    wrong = box if inside else ~box
    expected = normal(shape, seed)
    report = diagnose(expected + wrong * (1 + np.abs(normal(shape, seed + 1))), expected)
    rows, columns = height - top - bottom, width - left - right
    is_rim = 2 * rows > height and 2 * columns > width and 0 < wrong.sum() < wrong.size
    if inside:
        is_rim = is_rim and min(rim) > 0
    if is_rim:
        assert report.kind == ("interior" if inside else "border")
        told = {"top": top, "bottom": bottom, "left": left, "right": right}
        for side, size in {} if inside else told.items():
            assert (f"{side} {size}" in report.pattern) == (size > 0)
    else:
        assert report.kind == ("wrong" if wrong.any() else "ok")


@given(shapes(max_dims=5, min_dims=2).filter(lambda shape: len(shape) != 4), SEEDS)
def test_only_maps_have_a_border(shape, seed):
    """Of logits (N, classes) the last column is a class."""
    expected = normal(shape, seed)
    got = expected.copy()
    got[..., -1] += 1
    assert diagnose(got, expected).kind not in ("border", "interior")


def test_wrong_entries_here_and_there_on_the_border_are_not_called_border():
    expected = normal((1, 1, 5, 5), 0)
    got = expected.copy()
    got[0, 0, 0, 0] += 1
    got[0, 0, 4, 2] += 1
    assert diagnose(got, expected).kind == "wrong"
