"""gradcheck accepts what is right, and notices each planted wrong backward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minicnn import autograd
from minicnn.autograd import Function
from minicnn.autograd.gradcheck import GradcheckError, gradcheck, gradcheck_report, numerical_gradient
from minicnn.tensors import Tensor
from tests.library.support.strategies import SEEDS, normal, shapes
from tests.library.support.wrong_gradients import broadcast_product, cube, leaf

# --- what is wrong is reported --------------------------------------------------------------------------------


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

    with pytest.raises(GradcheckError, match="backward failed: it wrote into its cotangent"):
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
