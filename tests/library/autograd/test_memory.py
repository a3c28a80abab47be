"""Writing in place: the version counter, histories of views, leaves, and equal results to out of place."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.errors import AutogradError


def leaf(*values: float) -> minicnn.Tensor:
    return minicnn.tensor(list(values), dtype=minicnn.float64, requires_grad=True)


def test_overwriting_what_backward_needs_names_the_operation():
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y.exp()
    z.add_(1)  # exp saved its output
    with pytest.raises(AutogradError, match="backward of Exp needs an array that was overwritten"):
        z.sum().backward()


def test_overwriting_an_input_that_is_saved():
    x, w = leaf(1.0, 2.0), minicnn.tensor([3.0, 4.0], dtype=minicnn.float64)
    y = x * w
    w[0] = 100.0
    with pytest.raises(AutogradError, match="backward of Mul.*version 0, now at version 1"):
        y.sum().backward()


def test_overwriting_through_a_view_or_a_detached_alias_is_noticed_too():
    for alias in (lambda t: t[1:], lambda t: t.reshape(2, 1), lambda t: t.detach()):
        x, w = leaf(1.0, 2.0), minicnn.tensor([3.0, 4.0], dtype=minicnn.float64)
        y = x * w
        alias(w).zero_()
        with pytest.raises(AutogradError, match="overwritten"):
            y.sum().backward()


def test_overwriting_what_backward_does_not_need_is_fine():
    x = leaf(1.0, 2.0)
    y = x + 1
    y.mul_(3)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])


def test_data_bypasses_the_counter_as_in_pytorch():
    x, w = leaf(1.0, 2.0), minicnn.tensor([3.0, 4.0], dtype=minicnn.float64)
    y = x * w
    w.data.fill_(0.0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])


def test_leaf_that_requires_grad():
    x = leaf(1.0, 2.0)
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 5.0), lambda: x.zero_(), lambda: x.__iadd__(1)):
        with pytest.raises(AutogradError, match="no_grad"):
            write()
    with minicnn.no_grad():
        x.add_(1)
        x[0] = 7.0
    np.testing.assert_array_equal(x.detach().numpy(), [7.0, 3.0])


@pytest.mark.parametrize(
    ("in_place", "out_of_place"),
    [
        (lambda t, w: t.add_(w), lambda t, w: t + w),
        (lambda t, w: t.mul_(w), lambda t, w: t * w),
        (lambda t, w: t.sub_(w).mul_(w), lambda t, w: (t - w) * w),
        (lambda t, w: t.div_(w), lambda t, w: t / w),
        (lambda t, w: t.pow_(2).add_(w), lambda t, w: t**2 + w),
        (lambda t, w: t.exp_(), lambda t, w: t.exp()),
        (lambda t, w: t.relu_().mul_(w), lambda t, w: t.relu() * w),
        (lambda t, w: t.clamp_(0.0, 1.0).add_(w), lambda t, w: t.clamp(0.0, 1.0) + w),
    ],
)
def test_recorded_in_place_equals_out_of_place(in_place, out_of_place):
    results = []
    for compute in (in_place, out_of_place):
        x, w = leaf(0.3, -0.7, 1.9), leaf(2.0, 3.0, -4.0)
        out = compute(x * 2.0, w)
        (out * minicnn.tensor([1.0, 2.0, 3.0], dtype=minicnn.float64)).sum().backward()
        results.append([out.detach().numpy(), x.grad.numpy(), None if w.grad is None else w.grad.numpy()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b) if a is not None else None
        assert (a is None) == (b is None)


def test_augmented_assignment_writes_into_the_same_memory():
    x = minicnn.ones(3)
    alias = x
    x += 1
    np.testing.assert_array_equal(alias.numpy(), [2.0, 2.0, 2.0])


def test_setitem_splits_the_gradient():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2
    y[1:2] = v
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8.0, 0.0, 24.0])
    np.testing.assert_array_equal(v.grad.numpy(), [20.0])


def test_setitem_broadcasts_its_value():
    v = leaf(2.0)
    y = minicnn.zeros(2, 3, dtype=minicnn.float64)
    y[:, 1:] = v
    y.sum().backward()
    np.testing.assert_array_equal(v.grad.numpy(), [4.0])


def test_stale_view_is_refused_and_a_fresh_one_is_right():
    x = leaf(1.0, 2.0)
    y = x * 1
    old = y[0]
    y.mul_(5)
    with pytest.raises(AutogradError, match="history is out of date"):
        old * 2
    y[0].backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 0.0])


def test_writing_through_a_view_outdates_its_base():
    x = leaf(1.0, 2.0)
    y = x * 1
    y[0].mul_(5)
    with pytest.raises(AutogradError, match="history is out of date"):
        y.sum()


def test_retained_gradient_follows_the_write():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.retain_grad()
    y.mul_(3)
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [6.0, 12.0])


def test_result_must_fit():
    with pytest.raises(RuntimeError, match="does not fit"):
        minicnn.ones(1).add_(minicnn.ones(3))
    with pytest.raises(TypeError, match="float"):
        minicnn.arange(3).add_(0.5)


def test_an_optimiser_like_write_under_no_grad_is_noticed():
    w = leaf(1.0, 2.0)
    loss = (w * w).sum()
    with minicnn.no_grad():
        w.sub_(0.1)
    with pytest.raises(AutogradError, match="Mul"):
        loss.backward()


def test_copy_from_a_tensor_with_history():
    x = leaf(1.0, 2.0)
    buffer = minicnn.zeros(2, dtype=minicnn.float64)
    buffer.copy_(x * 3)
    buffer.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])


def test_a_detached_alias_of_a_leaf_may_be_written_as_in_pytorch():
    x = leaf(1.0, 2.0)
    x.detach().add_(1)
    np.testing.assert_array_equal(x.detach().numpy(), [2.0, 3.0])
    with pytest.raises(AutogradError, match="a view of a leaf"):
        x[0].add_(1)
