"""The tape: order, accumulation, freeing, hooks, second backward, modes."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor
from minicnn.autograd import Function, grad, topological_order
from minicnn.errors import AutogradError


class Twice(Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, dy):
        return 2 * dy


def leaf(*values: float) -> Tensor:
    return minicnn.tensor(list(values) if len(values) != 1 else values[0], dtype=minicnn.float64, requires_grad=True)


# ---- order and accumulation ------------------------------------------------------------------------------------


def test_diamond_collects_both_ways():
    x = leaf(3.0)
    y = x * x
    z = y * 2 + y * y  # dz/dy = 2 + 2y = 20, dy/dx = 6
    z.backward()
    assert x.grad.item() == 120.0


def test_a_node_waits_for_all_of_its_cotangents():
    """The counter-example of docs/autograd.md: depth-first without an order runs ``a`` before its second use is in."""
    x = leaf(2.0)
    a = x * x  # da/dx = 4
    b = a * 3
    c = a + b  # c = 4 a: a is used at two depths
    c.backward()
    assert x.grad.item() == 16.0


def test_topological_order_puts_users_first():
    x = leaf(1.0)
    a = x * 2
    b = a * a
    c = b + a
    order = topological_order([c.grad_fn])
    position = {node: i for i, node in enumerate(order)}
    assert all(position[node] < position[edge[0]] for node in order for edge in node.edges if edge is not None)
    assert len(order) == 4  # c, b, a and the leaf


@given(st.lists(st.tuples(st.sampled_from("+*-"), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_random_graphs_agree_with_forward_mode(program):
    """Any graph of additions and products: reverse mode equals derivatives carried forward."""
    values, slopes = [1.5, -0.5], [1.0, 0.0]
    x = leaf(1.5)
    tensors = [x, minicnn.tensor(-0.5, dtype=minicnn.float64)]
    for op, i, j in program:
        i, j = i % len(values), j % len(values)
        a, b, da, db = values[i], values[j], slopes[i], slopes[j]
        value, slope = {"+": (a + b, da + db), "-": (a - b, da - db), "*": (a * b, da * b + a * db)}[op]
        if abs(value) > 1e6:
            continue
        values.append(value)
        slopes.append(slope)
        s, t = tensors[i], tensors[j]
        tensors.append(s + t if op == "+" else s - t if op == "-" else s * t)
    out = tensors[-1]
    if out.requires_grad:
        out.backward()
        np.testing.assert_allclose(x.grad.item(), slopes[-1], rtol=1e-9, atol=1e-9)
    else:
        assert slopes[-1] == 0


def test_chain_of_ten_thousand():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1e-3
    y.backward()
    assert x.grad.item() == 1.0
    del y  # taking the chain apart must not recurse either


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


# ---- modes -----------------------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with minicnn.no_grad():
        assert not (x * 2).requires_grad and not minicnn.is_grad_enabled()
        with minicnn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert minicnn.is_grad_enabled()


def test_no_grad_survives_an_exception_and_works_as_decorator():
    x = leaf(1.0)

    @minicnn.no_grad()
    def with_parentheses():
        return x * 2

    @minicnn.no_grad
    def without():
        return x * 2

    assert not with_parentheses().requires_grad and not without().requires_grad
    with pytest.raises(KeyError), minicnn.no_grad():
        raise KeyError
    assert minicnn.is_grad_enabled()


def test_set_grad_enabled_as_call_and_as_block():
    minicnn.set_grad_enabled(False)
    assert not minicnn.is_grad_enabled()
    minicnn.set_grad_enabled(True)
    with minicnn.set_grad_enabled(False):
        assert not minicnn.is_grad_enabled()
    assert minicnn.is_grad_enabled()


def test_modes_are_per_thread():
    seen = []
    with minicnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(minicnn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_cuts_and_shares_memory():
    x = leaf(1.0, 2.0)
    d = x.detach()
    assert not d.requires_grad and np.shares_memory(d.array, x.array)
    (x * d).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 2.0])


def test_only_floats_require_grad():
    with pytest.raises(AutogradError, match="int64"):
        minicnn.arange(3).requires_grad_()
    with pytest.raises(AutogradError, match="int64"):
        minicnn.tensor([1, 2], requires_grad=True)


# ---- leaves, retain_grad, hooks --------------------------------------------------------------------------------


def test_leaf_and_non_leaf_grad():
    x = leaf(2.0)
    y = x * 3
    z = y * y
    z.backward()
    assert x.is_leaf and not y.is_leaf
    with pytest.warns(UserWarning, match="non-leaf.*Mul"):
        assert y.grad is None


def test_retain_grad():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    (y * y).backward()
    assert y.grad.item() == 12.0 and x.grad.item() == 36.0


def test_hook_sees_and_replaces_the_gradient():
    x = leaf(2.0)
    y = x * 3
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 10)
    (y * y).backward()
    assert seen == [12.0] and x.grad.item() == 360.0
    handle.remove()
    x.grad = None
    z = x * 3
    z.backward()
    assert seen == [12.0]


def test_leaf_hook_sees_the_sum_once():
    x = leaf(2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 3 + x * 4).backward()
    assert seen == [7.0]


def test_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.register_hook(lambda g: g.sum())
    with pytest.raises(AutogradError, match="hook"):
        y.sum().backward()


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


# ---- custom functions ------------------------------------------------------------------------------------------


def test_custom_function_and_its_name():
    x = leaf(2.0)
    y = Twice.apply(x)
    y.backward()
    assert x.grad.item() == 2.0 and y.grad_fn.name() == "Twice" and "grad_fn=<Twice>" in repr(y)


def test_gradients_may_come_in_a_list():
    class Sum(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dy):
            return [dy, 2 * dy]

    x, y = (minicnn.ones(3, requires_grad=True) for _ in range(2))
    Sum.apply(x, y).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    assert y.grad.tolist() == [2, 2, 2]


def test_wrong_number_of_gradients():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dz):
            return dz

    with pytest.raises(AutogradError, match="Bad returned 1 gradients, expected 2"):
        Bad.apply(leaf(1.0), leaf(1.0)).backward()


def test_wrong_gradient_shape_is_named():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(axis=0)

        @staticmethod
        def backward(ctx, dy):
            return dy

    x = minicnn.ones(2, 3, requires_grad=True)
    with pytest.raises(AutogradError, match=r"Bad returned a gradient of shape \(3,\) for argument 0.*\(2, 3\)"):
        Bad.apply(x).sum().backward()


def test_missing_cotangents_of_several_outputs_are_zero():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, da, db):
            return 2 * da + 3 * db

    x = leaf(1.0)
    a, b = Both.apply(x)
    b.backward(retain_graph=True)
    assert x.grad.item() == 3.0
    (a + b).backward()
    assert x.grad.item() == 8.0


def test_needs_input_grad_is_told():
    told = []

    class Watch(Function):
        @staticmethod
        def forward(ctx, x, y, option):
            told.append(ctx.needs_input_grad)
            return x * y

        @staticmethod
        def backward(ctx, dz):
            return dz, None, None

    Watch.apply(leaf(1.0), minicnn.tensor(2.0), "option")
    assert told == [(True, False, False)]


def test_double_backward_is_refused():
    with pytest.raises(AutogradError, match="create_graph"):
        leaf(1.0).exp().backward(create_graph=True)


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
