"""What differentiates a tensor: leaves, retained gradients, hooks, detaching."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.errors import AutogradError
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
