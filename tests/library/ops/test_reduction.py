"""Sums, means, variances, extremes: values by loops, ties, dtypes, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from tests.library.support.cases.elementwise import reduced
from tests.library.support.strategies import arrays, shapes


def reduce_by_loop(x, dim, keepdim, function):
    """``function`` of the list of numbers behind each entry of the result."""
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    gone = {d % x.ndim for d in dims} if x.ndim else set()
    kept = tuple(1 if axis in gone else size for axis, size in enumerate(x.shape))
    out = np.zeros(kept)
    for index in np.ndindex(kept):
        ranges = [range(x.shape[axis]) if axis in gone else [i] for axis, i in enumerate(index)]
        out[index] = function([float(x[place]) for place in itertools.product(*ranges)])
    return out if keepdim else out.reshape([size for axis, size in enumerate(kept) if axis not in gone])


def variance(values, correction):
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - correction)


REDUCTIONS = {
    "sum": (lambda x, **o: x.sum(**o), math.fsum, {}),
    "mean": (lambda x, **o: x.mean(**o), lambda v: math.fsum(v) / len(v), {}),
    "var": (lambda x, **o: x.var(**o), lambda v: variance(v, 1), {"least": 2}),
    "var biased": (lambda x, **o: x.var(unbiased=False, **o), lambda v: variance(v, 0), {}),
    "std": (lambda x, **o: x.std(**o), lambda v: math.sqrt(variance(v, 1)), {"least": 2}),
    "amax": (lambda x, **o: x.amax(**o), max, {}),
    "amin": (lambda x, **o: x.amin(**o), min, {}),
    "max": (lambda x, **o: x.max(**o).values, max, {"single": True}),
    "min": (lambda x, **o: x.min(**o).values, min, {"single": True}),
    "argmax": (lambda x, **o: x.argmax(**o), np.argmax, {"single": True}),
    "argmin": (lambda x, **o: x.argmin(**o), np.argmin, {"single": True}),
    "indices of max": (lambda x, **o: x.max(**o).indices, np.argmax, {"single": True}),
    "prod": (lambda x, **o: x.prod(**o), math.prod, {"single": True}),
    "logsumexp": (lambda x, **o: x.logsumexp(**o), lambda v: math.log(sum(map(math.exp, v))), {"every": False}),
    "norm": (lambda x, **o: x.norm(**o), lambda v: math.hypot(*v), {}),
    "norm 1": (lambda x, **o: x.norm(1, **o), lambda v: math.fsum(map(abs, v)), {}),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data())
def test_values(name, data):
    ours, by_loop, kind = REDUCTIONS[name]
    (x,), options = data.draw(reduced(**kind))
    got = ours(minicnn.tensor(x), **options)
    expected = reduce_by_loop(x, options.get("dim"), options.get("keepdim", False), by_loop)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-12)


@given(x=arrays(shapes(min_dims=1)))
def test_cumsum(x):
    got = minicnn.cumsum(minicnn.tensor(x), 0)
    for i in range(len(x)):
        np.testing.assert_allclose(got.numpy()[i], sum(x[j] for j in range(i + 1)), rtol=1e-12, atol=1e-12)


@given(x=arrays(shapes(min_dims=1, min_side=1)))
def test_all_and_any(x):
    mask = minicnn.tensor(x) > 0
    assert bool(mask.all()) == all(v > 0 for v in x.ravel())
    assert bool(mask.any()) == any(v > 0 for v in x.ravel())
    assert mask.any(dim=0).tolist() == (x > 0).any(axis=0).tolist()
    assert mask.all(dim=-1, keepdim=True).shape == (*x.shape[:-1], 1)


def gradient_of(fn, values):
    x = minicnn.tensor(np.asarray(values, dtype=float), requires_grad=True)
    fn(x).sum().backward()
    return x.grad.tolist()


def test_ties():
    """Over everything (and in amax) equals share; along one dimension the first takes all."""
    assert gradient_of(lambda x: x.max(), [1, 3, 3, 2]) == [0, 0.5, 0.5, 0]
    assert gradient_of(lambda x: x.min(), [1, 1, 1, 2]) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert gradient_of(lambda x: x.amax(0), [1, 3, 3, 2]) == [0, 0.5, 0.5, 0]
    assert gradient_of(lambda x: x.max(0)[0], [1, 3, 3, 2]) == [0, 1, 0, 0]
    assert gradient_of(lambda x: x.min(0).values, [1, 1, 3, 2]) == [1, 0, 0, 0]
    assert minicnn.tensor([1.0, 3.0, 3.0]).argmax().item() == 1
    assert minicnn.tensor([1.0, 1.0, 3.0]).argmin().item() == 0


def test_nan_wins():
    x = minicnn.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0]])
    assert x.max().isnan().item() and x.amin().isnan().item()
    values, indices = x.max(1)
    assert math.isnan(values[0].item()) and indices.tolist() == [1, 2]


def test_gradients_where_the_root_has_none():
    assert gradient_of(lambda x: x.norm(), [0, 0]) == [0, 0]
    assert gradient_of(lambda x: x.norm(1), [0, -3]) == [0, -1]
    assert gradient_of(lambda x: x.std(), [2, 2, 2]) == [0, 0, 0]


def test_prod_with_zeros():
    assert gradient_of(lambda x: x.prod(), [2, 0, 3]) == [0, 6, 0]
    assert gradient_of(lambda x: x.prod(), [2, 0, 0]) == [0, 0, 0]
    assert gradient_of(lambda x: x.prod(0), np.zeros((0, 2))) == []


def test_logsumexp_of_large_numbers():
    assert minicnn.tensor([1e4, 1e4], dtype=minicnn.float64).logsumexp(0).item() == 1e4 + math.log(2)
    assert minicnn.tensor([-math.inf, -math.inf]).logsumexp(0).item() == -math.inf


def test_empty():
    empty = minicnn.zeros(0, 3)
    assert empty.sum().item() == 0
    assert empty.sum(0).tolist() == [0, 0, 0]
    assert empty.prod().item() == 1
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        empty.max()


def test_dtypes():
    ints, bools = minicnn.tensor([1, 2, 3]), minicnn.tensor([True, True, False])
    assert (ints.sum().dtype, ints.sum().item()) == (np.int64, 6)
    assert (bools.sum().dtype, bools.sum().item()) == (np.int64, 2)
    assert ints.argmax().dtype == np.int64
    assert ints.sum(dtype=minicnn.float32).dtype == np.float32
    assert minicnn.ones(3).mean().dtype == np.float32
    with pytest.raises(TypeError, match=r"mean: expected a floating point tensor, got int64.*\.float\(\)"):
        ints.mean()
