"""What tensors tell about themselves, and turn into: lists, numbers, text, copies, pickles."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given

import minicnn
from minicnn.errors import AutogradError
from tests.library.support.strategies import arrays


@given(x=arrays())
def test_lists_arrays_and_sizes_are_numpys(x):
    t = minicnn.tensor(x)
    assert t.tolist() == x.tolist()
    np.testing.assert_array_equal(np.asarray(t), x)
    assert np.asarray(t, dtype="float32").dtype == np.float32
    assert (t.dim(), t.size(), t.numel(), t.element_size()) == (x.ndim, x.shape, x.size, 8)
    assert [t.size(d) for d in range(x.ndim)] == list(x.shape)
    assert t.stride() == tuple(step // 8 for step in np.zeros(x.shape).strides)
    if x.ndim:
        assert len(t) == len(x) and [row.tolist() for row in t] == x.tolist()


@given(x=arrays())
def test_copies_and_pickles_are_leaves_of_their_own(x):
    t = minicnn.tensor(x, requires_grad=True)
    t.grad = minicnn.tensor(2 * x)
    for twin, grad in ((copy.deepcopy(t), t.grad.tolist()), (pickle.loads(pickle.dumps(t)), None)):
        assert twin.tolist() == t.tolist() and twin.requires_grad and twin.is_leaf
        assert not np.shares_memory(twin.detach().numpy(), t.detach().numpy())
        assert (twin.grad if twin.grad is None else twin.grad.tolist()) == grad
    for duplicate in (copy.deepcopy, pickle.dumps):
        with pytest.raises(AutogradError, match="only leaf tensors"):
            duplicate(t * 2)


def test_one_number_is_a_python_number():
    x, count = minicnn.tensor([[2.5]]), minicnn.tensor(3)
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert f"{x:.2f} {count:03d}" == "2.50 003"
    assert "abcd"[count] == "d" and 3 in count and 4 not in count
    for call, error in [(lambda: "abcd"[x], TypeError), (lambda: len(count), TypeError)]:
        with pytest.raises(error):
            call()
    for many in (lambda: minicnn.zeros(2).item(), lambda: bool(minicnn.zeros(2))):
        with pytest.raises(ValueError, match=r"\(2,\)"):
            many()


def test_the_text_tells_what_is_not_usual():
    x = minicnn.tensor([1.0], requires_grad=True)
    assert repr(minicnn.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(x.detach()) == "tensor([1.])"
    assert repr(x.detach().double()) == "tensor([1.], dtype=float64)"
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == f"tensor([2.], grad_fn=<{(x * 2).grad_fn.name()}>)"
