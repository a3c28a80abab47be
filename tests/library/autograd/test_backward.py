"""``backward`` and ``grad``: accumulation, freeing, the second time, and what they refuse."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.autograd import Function, grad
from minicnn.errors import AutogradError
from tests.library.support.leaves import leaf

# ---- accumulation ---------------------------------------------------------------------------------------------


def test_long_chain_that_is_never_differentiated_is_freed_without_recursion():
    y = leaf(1.0)
    for _ in range(20_000):
        y = y + 1.0
    del y
    gc.collect()


def test_backward_accumulates_into_leaves():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [7.0, 7.0])


def test_same_tensor_twice_in_one_operation():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.item() == 6.0
    y = leaf(3.0)
    (y + y).backward()
    assert y.grad.item() == 2.0


def test_gradients_of_two_leaves_never_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(minicnn.ones(2, dtype=minicnn.float64))
    a.grad.zero_()
    np.testing.assert_array_equal(b.grad.numpy(), [1.0, 1.0])


class SumInNewMemory(Function):
    """x + y, whose backward makes one array and returns it for both."""

    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, cotangent):
        gradient = 1.0 * cotangent
        return gradient, gradient


def test_one_new_array_returned_for_two_inputs_is_shared():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    x, y = a * 1.0, b * 1.0
    early = x * 5.0  # adds to what has arrived at x while the same array waits at y
    (SumInNewMemory.apply(x, y) + early).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [6.0, 6.0])
    np.testing.assert_array_equal(b.grad.numpy(), [1.0, 1.0])


def test_the_given_cotangent_is_not_written_into():
    cotangent = minicnn.ones(2, dtype=minicnn.float64)
    x = leaf(1.0, 2.0)
    y = x + 0.0
    (y + y + y).backward(cotangent)
    x.grad.add_(5.0)
    np.testing.assert_array_equal(cotangent.numpy(), [1.0, 1.0])


def test_leaf_gradient_is_writable_even_of_a_sum():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad.mul_(3.0)
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])


def test_non_scalar_output_needs_a_cotangent():
    x = leaf(1.0, 2.0)
    with pytest.raises(AutogradError, match=r"shape \(2,\) needs a cotangent"):
        (x * 2).backward()
    (x * 2).backward(minicnn.tensor([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 20.0])


def test_wrong_cotangent_shape():
    x = leaf(1.0, 2.0)
    with pytest.raises(AutogradError, match=r"cotangent of shape \(2,\), got \(3,\)"):
        (x * 2).backward(minicnn.ones(3))


def test_disconnected_parts_stay_untouched():
    x, other = leaf(1.0), leaf(2.0)
    dead_end = other * 5
    (x * 2 + dead_end.detach()).backward()
    assert other.grad is None and x.grad.item() == 2.0


def test_backward_without_a_graph():
    with pytest.raises(AutogradError, match="does not require grad"):
        minicnn.tensor(1.0).backward()


def test_root_that_is_a_leaf():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1.0


# ---- freeing and second backward -------------------------------------------------------------------------------


def test_second_backward_is_an_error_that_names_the_operation_and_accumulates_nothing():
    x, w = leaf(2.0), leaf(5.0)
    y = x.exp() + w
    y.backward()
    with pytest.raises(AutogradError, match="Exp a second time.*retain_graph=True"):
        y.backward()
    assert w.grad.item() == 1.0  # not 2: the error came before anything was added


def test_retain_graph_gives_the_same_again():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(AutogradError):
        y.backward()


def test_shared_part_freed_by_the_first_loss():
    x = leaf(2.0)
    shared = x.exp()
    first, second = shared * 1, shared * 2
    first.backward()
    with pytest.raises(AutogradError, match="second time"):
        second.backward()


def test_backward_frees_saved_arrays():
    x = leaf(*np.arange(4.0))
    h = x * 1
    watch = weakref.ref(h.array)
    y = h.exp() * h
    out = y.sum()
    del h, y
    assert watch() is not None  # saved by the product
    out.backward()
    assert watch() is None


def test_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x * x).exp()
        watch = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        assert watch() is None
    finally:
        gc.enable()


# ---- grad() ----------------------------------------------------------------------------------------------------


def test_grad_returns_and_accumulates_nothing():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    out = h * h
    dx, dh = grad(out, [x, h], retain_graph=True)
    assert (dx.item(), dh.item()) == (36.0, 12.0)
    assert x.grad is None and w.grad is None
    with pytest.raises(AutogradError, match=r"do not depend on inputs\[0\]"):
        grad(out, leaf(1.0), retain_graph=True)
    assert grad(out, leaf(1.0), allow_unused=True) == (None,)


def test_grad_of_a_non_leaf_leaves_what_lies_below_it_alone():
    x = leaf(2.0)
    h = x.exp()
    grad(h * 3, [h])
    h.backward()  # the graph below h was neither run nor freed
    np.testing.assert_allclose(x.grad.item(), np.exp(2.0))


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2.0), leaf(3.0)
    (x * w).backward(inputs=[x])
    assert x.grad.item() == 3.0 and w.grad is None


# ---- dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [minicnn.float32, minicnn.float64])
def test_gradients_have_their_tensors_dtype(dtype):
    x = minicnn.ones(3, dtype=dtype, requires_grad=True)
    y = (x.double() * 2).sum()
    y.backward()
    assert x.grad.dtype == dtype and y.dtype == minicnn.float64


def test_the_constructor_makes_floats_of_sequences_as_in_pytorch():
    assert Tensor([1, 2]).dtype == minicnn.float32 and Tensor(np.arange(2)).dtype == minicnn.int64
    assert minicnn.tensor([1, 2]).dtype == minicnn.as_tensor([1, 2]).dtype == minicnn.int64
    assert (minicnn.tensor([1, 2]) + np.array([1, 2])).dtype == minicnn.int64


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_numbers_of_another_byte_order_are_read_as_what_they_are(dtype):
    for tensor in (minicnn.Tensor(np.array([1, 2], dtype)), minicnn.tensor([1, 2], dtype=dtype)):
        assert tensor.dtype.isnative and tensor.tolist() == [1, 2]


def test_the_cotangent_may_be_of_another_byte_order_and_the_input_a_repeated_one():
    values = np.broadcast_to(np.random.default_rng(0).standard_normal((1, 8, 32, 32)).astype("f4"), (4, 8, 32, 32))
    cotangent = np.random.default_rng(1).standard_normal(values.shape).astype("f4")
    gradients = []
    for images, dy in ((values.copy(), cotangent), (values, cotangent.astype(">f4"))):
        x = minicnn.Tensor(images, requires_grad=True)
        minicnn.nn.functional.batch_norm(x, None, None, training=True).backward(minicnn.Tensor(dy))
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)
