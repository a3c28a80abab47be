"""Reading and writing by index: NumPy's meaning, gradients that add up, writes that the tape sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import AutogradError
from tests.library.support.cases.shapes import CASES
from tests.library.support.strategies import SEEDS, distinct, normal, random_cotangent

DRAWS = {case.name: case.draw for case in CASES}
READS = ("slices and integers", "integer arrays", "mask")


def index_of(options):
    if "mask" in options:
        return options["mask"], minicnn.tensor(options["mask"])
    plain = options["index"]
    return plain, tuple(minicnn.tensor(item) if isinstance(item, list) else item for item in plain)


@pytest.mark.parametrize("name", READS)
@given(data=st.data())
def test_reading(name, data):
    (x,), options = data.draw(DRAWS[name])
    plain, wrapped = index_of(options)
    expected = x[plain]
    for index in (plain, wrapped):
        got = minicnn.tensor(x)[index]
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", READS)
@given(data=st.data())
def test_the_gradient_adds_up_what_was_read(name, data):
    """Entry by entry: each entry of x collects the cotangents of all places that show it."""
    (x,), options = data.draw(DRAWS[name])
    plain, wrapped = index_of(options)
    t = minicnn.tensor(x, requires_grad=True)
    y = t[wrapped]
    cotangent = random_cotangent(y.shape, 1)
    y.backward(minicnn.tensor(cotangent))
    number = np.arange(x.size).reshape(x.shape)[plain]  # which entry each place shows
    expected = np.bincount(number.ravel(), cotangent.ravel(), minlength=x.size).reshape(x.shape)
    np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", READS)
@given(data=st.data(), seed=SEEDS)
def test_writing(name, data, seed):
    (x,), options = data.draw(DRAWS[name])
    plain, wrapped = index_of(options)
    values = normal(x[plain].shape, seed)
    if name == "integer arrays":
        values = np.broadcast_to(7.0, values.shape)  # a place written twice has no defined winner
    expected = x.copy()
    expected[plain] = values
    t = minicnn.tensor(x)
    t[wrapped] = minicnn.tensor(np.ascontiguousarray(values))
    np.testing.assert_array_equal(t.numpy(), expected)
    t[wrapped] = 3
    expected[plain] = 3
    np.testing.assert_array_equal(t.numpy(), expected)


def test_basic_indices_are_views_and_others_are_copies():
    x = minicnn.tensor(distinct((3, 4), 0))
    for view in (x[0], x[1:], x[..., 0], x[None], x[:, ::2], x[0, 1], x[-1:, 2]):
        assert np.shares_memory(view.numpy(), x.numpy())
    for copy in (x[[0, 1]], x[x > 0], x[minicnn.tensor([0])], x[:, minicnn.tensor([True, False, True, False])]):
        assert not np.shares_memory(copy.numpy(), x.numpy())


def test_a_write_through_a_view_is_seen():
    x = minicnn.zeros(2, 2)
    x[0][1] = 5
    assert x.tolist() == [[0, 5], [0, 0]]
    x[1] += 1
    assert x.tolist() == [[0, 5], [1, 1]]


def test_indices_may_be_tensors_of_one_number():
    x = minicnn.arange(5)
    assert x[minicnn.tensor(2)].item() == 2
    assert x[minicnn.tensor(1) : minicnn.tensor(3)].tolist() == [1, 2]
    assert [int(v) for v in x] == [0, 1, 2, 3, 4]


def test_a_broadcast_value_collects_its_gradient():
    x = minicnn.zeros(3, 4, dtype=minicnn.float64)
    row = minicnn.tensor(normal((4,), 0), requires_grad=True)
    number = minicnn.tensor(2.0, dtype=minicnn.float64, requires_grad=True)
    y = x * 1
    y[1:] = row
    y[0, :2] = number
    cotangent = random_cotangent((3, 4), 1)
    y.backward(minicnn.tensor(cotangent))
    np.testing.assert_allclose(row.grad.numpy(), cotangent[1:].sum(0))
    np.testing.assert_allclose(number.grad.numpy(), cotangent[0, :2].sum())


def test_writing_is_refused_where_a_gradient_would_be_wrong():
    leaf = minicnn.zeros(3, requires_grad=True)
    with pytest.raises(AutogradError, match="leaf that requires grad"):
        leaf[0] = 1.0
    with minicnn.no_grad():
        leaf[0] = 1.0
    assert leaf.tolist() == [1, 0, 0]

    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y * y
    y[0] = 5.0
    with pytest.raises(AutogradError, match="Mul.*overwritten in place"):
        z.sum().backward()


def test_out_of_range():
    with pytest.raises(IndexError):
        minicnn.zeros(3)[3]
    with pytest.raises(IndexError):
        minicnn.zeros(3)[minicnn.tensor([0, 3])]
    with pytest.raises(IndexError):
        minicnn.zeros(3)[0, 0]
