"""gradcheck accepts what is right, and says of each planted wrong backward what is wrong with it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import autograd
from minicnn.autograd import Function
from minicnn.autograd.diagnosis import ArgumentReport, diagnose
from minicnn.autograd.gradcheck import GradcheckError, gradcheck, gradcheck_report, numerical_gradient
from minicnn.tensor import Tensor
from tests.library.support.strategies import SEEDS, normal, shapes


def leaf(shape=(), seed=0, dtype=np.float64):
    return Tensor(normal(shape, seed).astype(dtype), requires_grad=True)


def cube(change=lambda gradient: gradient):
    """``x ** 3`` as an operation whose right gradient passes through ``change``."""

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return change(3 * x**2 * cotangent)

    return Cube.apply


def broadcast_product(change_first=lambda g: g, change_second=lambda g: g):
    """``a * b`` for ``b`` of shape (1, C, 1), as an operation whose right gradients pass through the changes."""

    class Product(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, cotangent):
            a, b = ctx.saved_tensors
            return change_first(cotangent * b), change_second((cotangent * a).sum(axis=(0, 2), keepdims=True))

    return Product.apply


# --- what is wrong is named -----------------------------------------------------------------------------------


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


def test_reports_the_argument_the_worst_entry_and_the_share():
    def change(gradient):
        gradient[1, 2, 0] += 10
        gradient[0, 0, 0] += 0.1
        return gradient

    with pytest.raises(GradcheckError) as caught:
        gradcheck(broadcast_product(change_first=change), (leaf((2, 3, 2)), leaf((1, 3, 1), 1)))
    wrong, right = caught.value.report.arguments
    assert right.ok
    assert (wrong.name, wrong.kind, wrong.index, wrong.wrong_share) == ("argument 0", "wrong", (1, 2, 0), 2 / 12)
    got, expected = wrong.got[1, 2, 0], wrong.expected[1, 2, 0]
    assert got - expected == pytest.approx(10, rel=1e-6)
    assert wrong.relative_error == pytest.approx(abs(got - expected) / max(abs(got), abs(expected)))
    assert wrong.norm_error == pytest.approx(10 / np.abs(wrong.expected).max(), rel=1e-6)
    message = str(caught.value)
    assert f"worst entry [1, 2, 0]: got {got:.10g}, expected {expected:.10g}" in message
    assert "wrong entries: 2 of 12 (17%)" in message
    assert message.index("argument 0") < message.index("argument 1: right")


def test_a_missing_gradient():
    with pytest.raises(GradcheckError, match=r"argument 1: no gradient \(None\), but the output depends on it"):
        gradcheck(broadcast_product(change_second=lambda g: None), (leaf((2, 3, 2)), leaf((1, 3, 1), 1)))
    with pytest.raises(GradcheckError, match="no gradient"):
        gradcheck(lambda x: cube()(x.detach()), leaf(3))


def test_an_argument_that_is_not_used_needs_no_gradient():
    assert gradcheck(lambda x, unused: cube()(x), (leaf(3), leaf(2)))


def test_the_random_cotangent_sees_what_ones_do_not():
    """Every row of a softmax sums to 1: under an all-ones cotangent the right gradient is zero."""

    class Softmax(Function):
        @staticmethod
        def forward(ctx, x):
            return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

        @staticmethod
        def backward(ctx, cotangent):
            return np.zeros_like(cotangent)

    assert gradcheck_report(Softmax.apply, leaf((2, 3))).arguments[0].kind == "zero"


# --- what is wrong with fn itself -----------------------------------------------------------------------------


def test_an_fn_that_is_not_deterministic():
    rng = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="not deterministic"):
        gradcheck(lambda x: cube()(Tensor(rng.standard_normal(3)) if rng.random() else x), leaf(3))


def test_a_backward_that_is_not_deterministic():
    rng = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="two backward passes gave argument 0 different gradients"):
        gradcheck(cube(lambda g: g * rng.random()), leaf(3))


def test_a_backward_that_writes_into_its_cotangent():
    class Halve(Function):
        @staticmethod
        def forward(ctx, x):
            return x / 2

        @staticmethod
        def backward(ctx, cotangent):
            cotangent /= 2
            return cotangent.copy()

    with pytest.raises(GradcheckError, match="backward failed: it wrote into the cotangent"):
        gradcheck(Halve.apply, leaf(3))


def test_a_backward_that_writes_into_its_input():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            x *= 2
            return x * cotangent

    with pytest.raises(GradcheckError, match="changed its input in place"):
        gradcheck(Square.apply, leaf(3))


def test_an_fn_that_loses_precision():
    class Downcast(Function):
        @staticmethod
        def forward(ctx, x):
            return x.astype(np.float32)

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent.astype(np.float64)

    with pytest.raises(GradcheckError, match="lost precision: float64 inputs gave float32"):
        gradcheck(Downcast.apply, leaf(3))


def test_an_fn_that_is_not_finite():
    class Divide(Function):
        @staticmethod
        def forward(ctx, x):
            return 1 / x

        @staticmethod
        def backward(ctx, cotangent):
            return -cotangent

    with pytest.raises(GradcheckError, match="NaN or infinity"):
        gradcheck(Divide.apply, Tensor(np.zeros(2), requires_grad=True))


def test_an_error_of_the_tape_is_reported():
    class Forgetful(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent

    with pytest.raises(GradcheckError, match="backward failed: .*1 gradients, expected 2"):
        gradcheck(Forgetful.apply, (leaf(2), leaf(2, 1)))


# --- what is right is accepted --------------------------------------------------------------------------------


@given(shapes(max_dims=4), SEEDS)
def test_accepts_a_right_gradient(shape, seed):
    assert gradcheck(cube(), leaf(shape, seed), seed=seed)


def test_several_outputs_and_other_inputs():
    class Both(Function):
        @staticmethod
        def forward(ctx, x, times):
            ctx.save_for_backward(x)
            ctx.times = times
            return x**2, times * x, np.argsort(x)

        @staticmethod
        def backward(ctx, squared, scaled, _):
            (x,) = ctx.saved_tensors
            return 2 * x * squared + ctx.times * scaled, None

    assert gradcheck(Both.apply, (leaf(5), 3.0))
    assert gradcheck(lambda x: Both.apply(x, 3.0)[:2], leaf(5))
    Both.backward = staticmethod(lambda ctx, squared, scaled, _: (ctx.times * scaled, None))
    assert gradcheck_report(Both.apply, (leaf(5), 3.0)).arguments[0].kind == "wrong"


def test_float32_inputs_are_checked_as_float64_copies():
    seen = []

    def fn(x):
        seen.append(x.dtype)
        return cube()(x)

    x = leaf(4, dtype=np.float32)
    before = x.detach().numpy().copy()
    assert gradcheck(fn, x)
    assert set(seen) == {np.dtype("float64")}
    assert x.dtype == np.float32 and (x.detach().numpy() == before).all()


def test_float64_inputs_are_restored_and_may_be_reached_from_elsewhere():
    weight = leaf(3)
    before = weight.detach().numpy().copy()
    assert gradcheck(lambda _: cube()(weight), (weight,))
    assert (weight.detach().numpy() == before).all()
    assert weight.grad is None


def test_inputs_are_restored_when_fn_raises():
    x, calls = leaf(3), []

    def fn(x):
        calls.append(1)
        if len(calls) == 8:  # in the middle of the differences
            raise KeyError("interrupted")
        return cube()(x)

    before = x.detach().numpy().copy()
    with pytest.raises(KeyError):
        gradcheck(fn, x)
    assert (x.detach().numpy() == before).all()


def test_what_it_returns_and_where_it_is():
    assert gradcheck(cube(), leaf(3)) is True
    assert gradcheck(cube(np.negative), leaf(3), raise_exception=False) is False
    assert autograd.gradcheck(cube(), (leaf(3),), eps=1e-5, atol=1e-6, rtol=1e-4) is True
    with pytest.raises(ValueError, match="at least one input Tensor with requires_grad=True"):
        gradcheck(cube(), Tensor(np.ones(3)))
    assert issubclass(GradcheckError, AssertionError) and issubclass(GradcheckError, RuntimeError)


def test_tolerances():
    slightly_wrong = cube(lambda g: g * (1 + 1e-4))
    assert not gradcheck(slightly_wrong, leaf(3), raise_exception=False)
    assert gradcheck(slightly_wrong, leaf(3), rtol=1e-3)
    assert gradcheck(slightly_wrong, leaf(3), atol=1e-1)


def test_empty_inputs_are_right():
    assert gradcheck(cube(), leaf((0, 3)))


@given(SEEDS)
def test_numerical_gradient_is_the_vector_jacobian_product(seed):
    matrix, x, cotangent = normal((3, 4), seed), normal((4,), seed + 1), normal((3,), seed + 2)
    got = numerical_gradient(lambda: [np.sin(matrix @ x)], x, [cotangent])
    np.testing.assert_allclose(got, matrix.T @ (np.cos(matrix @ x) * cotangent), rtol=1e-7, atol=1e-8)


# --- no false diagnosis ---------------------------------------------------------------------------------------


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
