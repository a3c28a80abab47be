"""What differentiates a tensor: leaves, retained gradients, hooks, detaching."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.errors import AutogradError
from tests.library.support import peers
from tests.library.support.leaves import leaf


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


def test_a_hook_after_accumulation_sees_the_whole_gradient_as_pytorchs_does():
    def run(library):
        x = library.tensor([2.0, 3.0], requires_grad=True)
        seen = []
        handle = x.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor.grad.tolist()))
        other = x.register_post_accumulate_grad_hook(lambda tensor: setattr(tensor, "grad", tensor.grad * 2))
        (x * 3 + x * 4).sum().backward()
        (x * 5).sum().backward()
        other.remove()
        (x * 1).sum().backward(inputs=[x])
        handle.remove()
        (x * 1).sum().backward()
        return seen, x.grad.tolist()

    assert run(minicnn) == ([[7.0, 7.0], [19.0, 19.0], [39.0, 39.0]], [40.0, 40.0])
    assert run(peers.torch()) == run(minicnn)


def test_a_hook_after_accumulation_is_a_leafs_and_runs_while_backward_goes_on():
    with pytest.raises(AutogradError, match="leaf that requires grad"):
        minicnn.ones(2).register_post_accumulate_grad_hook(print)
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(AutogradError, match="leaf that requires grad"):
        (x * 1).register_post_accumulate_grad_hook(print)
    before = []
    y.register_post_accumulate_grad_hook(lambda tensor: before.append(x.grad))
    ((x * x) * y).backward()
    assert before == [None] and x.grad is not None
