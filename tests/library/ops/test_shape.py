"""Moving numbers about: same numbers as NumPy's, views share memory, errors say which shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ShapeError
from tests.library.support.cases.base import Drawn
from tests.library.support.cases.shapes import CASES
from tests.library.support.strategies import SEEDS, arrays, distinct, shapes

DRAWS = {case.name: case.draw for case in CASES}


def check(ours, theirs, drawn: Drawn):
    arrays_, options = drawn
    got = ours(*map(minicnn.tensor, arrays_), **options)
    expected = theirs(*arrays_, **options)
    for y, e in zip(
        got if isinstance(got, tuple) else (got,), expected if isinstance(expected, list) else [expected], strict=True
    ):
        assert y.shape == e.shape
        np.testing.assert_array_equal(y.numpy(), e)


def squeezed(x, args=()):
    axes = [axis for axis in (args or range(x.ndim)) if x.shape[axis] == 1]
    return np.squeeze(x, tuple(axes))


def expanded(x, args):
    (sizes,) = args
    new = len(sizes) - x.ndim
    return np.broadcast_to(x, [x.shape[i - new] if size == -1 else size for i, size in enumerate(sizes)])


def padded(x, pad, value):
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    return np.pad(x, widths, constant_values=value)


def flattened(x, start_dim, end_dim):
    end = end_dim % x.ndim
    return x.reshape(*x.shape[:start_dim], int(np.prod(x.shape[start_dim : end + 1])), *x.shape[end + 1 :])


def pieces(x, sizes, dim):
    ends = range(sizes, x.shape[dim], sizes) if isinstance(sizes, int) else np.cumsum(sizes)[:-1]
    return np.split(x, list(ends), axis=dim)


NUMPY = {
    "reshape": (lambda x, args: x.reshape(*args), lambda x, args: x.reshape(*args)),
    "view": (lambda x, args: x.view(*args), lambda x, args: x.reshape(*args)),
    "permute": (lambda x, args: x.permute(*args), lambda x, args: x.transpose(args)),
    "transpose": (lambda x, args: x.transpose(*args), lambda x, args: x.swapaxes(*args)),
    "movedim": (lambda x, args: x.movedim(*args), lambda x, args: np.moveaxis(x, *args)),
    "flatten": (lambda x, **o: x.flatten(**o), flattened),
    "unsqueeze": (lambda x, dim: x.unsqueeze(dim), lambda x, dim: np.expand_dims(x, dim)),
    "squeeze": (lambda x, args: x.squeeze(*args), squeezed),
    "expand": (lambda x, args: x.expand(*args), expanded),
    "repeat": (lambda x, args: x.repeat(*args), lambda x, args: np.tile(x, args)),
    "pad": (lambda x, **o: F.pad(x, **o), padded),
    "cat": (lambda *xs, dim: minicnn.cat(xs, dim), lambda *xs, dim: np.concatenate(xs, dim)),
    "stack": (lambda *xs, dim: minicnn.stack(xs, dim), lambda *xs, dim: np.stack(xs, dim)),
    "split": (lambda x, sizes, dim: x.split(sizes, dim), pieces),
    "narrow": (lambda x, args: x.narrow(*args), lambda x, args: x.take(range(args[1], args[1] + args[2]), args[0])),
    "gather": (lambda x, dim, index: x.gather(dim, minicnn.tensor(index)), None),
    "index_select": (
        lambda x, dim, index: x.index_select(dim, minicnn.tensor(index)),
        lambda x, dim, index: x.take(index, dim),
    ),
}


def gathered(x, dim, index):
    out = np.zeros(index.shape)
    for place in np.ndindex(index.shape):
        source = list(place)
        source[dim] = index[place]
        out[place] = x[tuple(source)]
    return out


@pytest.mark.parametrize("name", NUMPY)
@given(data=st.data())
def test_values(name, data):
    ours, theirs = NUMPY[name]
    check(ours, theirs or gathered, data.draw(DRAWS[name]))


@given(x=arrays(shapes(min_dims=2, max_dims=2)))
def test_the_three_transposes(x):
    t = minicnn.tensor(x)
    for got in (t.T, t.t(), t.mT, t.transpose(0, -1)):
        np.testing.assert_array_equal(got.numpy(), x.T)


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_pad_modes(mode, numpy_mode):
    x = distinct((1, 2, 4, 3), 0)
    got = F.pad(minicnn.tensor(x), (1, 2, 3, 0), mode=mode)
    np.testing.assert_array_equal(got.numpy(), np.pad(x, ((0, 0), (0, 0), (3, 0), (1, 2)), mode=numpy_mode))


def test_negative_padding_crops():
    x = distinct((4, 5), 0)
    np.testing.assert_array_equal(F.pad(minicnn.tensor(x), (-1, -2, 0, -1)).numpy(), x[:3, 1:3])
    np.testing.assert_array_equal(F.pad(minicnn.tensor(x), (-1, 1)).numpy(), np.pad(x[:, 1:], ((0, 0), (0, 1))))


@given(x=arrays(shapes(min_dims=2)), seed=SEEDS)
def test_views_share_memory_and_copies_do_not(x, seed):
    t = minicnn.tensor(x)
    views = [
        t.reshape(-1),
        t.view(*x.shape),
        t.permute(*range(x.ndim)),
        t.T,
        t.unsqueeze(0),
        t.detach(),
        t[0],
        t[..., :1],
    ]
    views += [t.flatten(), t.expand(2, *x.shape), t.narrow(0, 0, 1), t.chunk(2)[0], t.contiguous(), t.data]
    copies = [
        t.clone(),
        t.repeat(*[1] * x.ndim),
        minicnn.cat([t]),
        t.flip(0),
        t.to(minicnn.float32),
        t[minicnn.tensor([0])],
    ]
    before = t.numpy().copy()
    assert all(np.shares_memory(view.numpy(), t.numpy()) for view in views)
    assert not any(np.shares_memory(copy.numpy(), t.numpy()) for copy in copies)
    views[0][0] = 100.0
    assert t.numpy().flat[0] == 100.0 and (t.numpy().ravel()[1:] == before.ravel()[1:]).all()


def test_contiguous():
    x = minicnn.tensor(distinct((2, 3), 0))
    assert x.is_contiguous() and x.contiguous() is x
    assert not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
    np.testing.assert_array_equal(x.T.contiguous().numpy(), x.numpy().T)


# --- dtype ------------------------------------------------------------------------------------------------------------


def test_casting_casts_the_gradient_back():
    x = minicnn.tensor([1.0, 2.0], dtype=minicnn.float32, requires_grad=True)
    y = x.double() * 3
    assert y.dtype == np.float64
    y.backward(minicnn.tensor([1.0, 10.0], dtype=minicnn.float64))
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [3.0, 30.0]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.reshape(4, 2), ShapeError, r"6 elements of shape \(2, 3\) the shape \(4, 2\)"),
        (lambda x: x.reshape(-1, -1), ShapeError, r"the shape \(-1, -1\)"),
        (lambda x: x.reshape(-1, 4), ShapeError, r"the shape \(-1, 4\)"),
        (lambda x: x.permute(0, 0), ShapeError, r"each of the 2 dimensions once, got \(0, 0\)"),
        (lambda x: x.permute(0), ShapeError, "each of the 2 dimensions once"),
        (lambda x: x.transpose(0, 2), IndexError, "expected -2 to 1, got 2"),
        (lambda x: x.unsqueeze(4), IndexError, "expected -3 to 2, got 4"),
        (lambda x: x.expand(2, 4), ShapeError, r"\(2, 3\) cannot be expanded to \(2, 4\)"),
        (lambda x: x.expand(3), ShapeError, r"\(2, 3\) cannot be expanded to \(3,\)"),
        (lambda x: x.flatten(1, 0), ShapeError, "start_dim 1 comes after end_dim 0"),
        (lambda x: x.split([1, 2]), ShapeError, r"sizes \[1, 2\] do not add up to 2"),
        (lambda x: minicnn.cat([x, x.T]), ShapeError, r"got \(2, 3\) for tensor 0 and \(3, 2\) for tensor 1"),
        (lambda x: minicnn.cat([x, x[0]]), ShapeError, r"\(3,\) for tensor 1"),
        (lambda x: minicnn.cat([]), ValueError, "at least one tensor"),
        (lambda x: minicnn.stack([x, x.T]), ShapeError, r"equal shapes, got \(2, 3\)"),
        (lambda x: minicnn.stack([]), ValueError, "at least one tensor"),
        (lambda x: F.pad(x, (1,)), ShapeError, r"two widths for each padded dimension of \(2, 3\), got \(1,\)"),
        (lambda x: F.pad(x, (1, 1), mode="mirror"), ValueError, "got 'mirror'"),
        (lambda x: F.pad(x, (3, 0), mode="reflect"), ShapeError, "larger than 2"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call(minicnn.zeros(2, 3))


MADE = {
    "convolved": lambda x, other: minicnn.nn.functional.conv2d(x, minicnn.ones(8, 4, 1, 1)),
    "normed": lambda x, other: minicnn.nn.functional.batch_norm(x, None, None, training=True),
    "pooled": lambda x, other: minicnn.nn.functional.max_pool2d(x, 2),
    "joined": lambda x, other: minicnn.cat([x, x], 1),
    "added": lambda x, other: x + x.permute(0, 1, 3, 2),
    "sum of channels last": lambda x, other: other + other,
    "permuted": lambda x, other: x.permute(0, 2, 3, 1),
    "expanded": lambda x, other: x[:, :1].expand(2, 4, *x.shape[2:]),
    "sliced": lambda x, other: x[:, :, ::2],
    "detached": lambda x, other: minicnn.nn.functional.conv2d(x, minicnn.ones(8, 4, 1, 1)).detach(),
    "lent": lambda x, other: (lambda y: (y.numpy(), y)[1])(minicnn.nn.functional.conv2d(x, minicnn.ones(8, 4, 1, 1))),
    "contiguous": lambda x, other: x.permute(0, 2, 3, 1).contiguous(),
}
REFUSED = {"permuted", "expanded", "sliced", "detached", "lent"}


@pytest.mark.parametrize("shape", [(-1,), (2, -1), (2, 4, -1)], ids=str)
@pytest.mark.parametrize("side", [4, 72])  # fewer and more than 16 384 numbers
@pytest.mark.parametrize("made", MADE)
def test_a_view_shares_memory_or_is_refused(made, side, shape):
    values = np.arange(2 * 4 * side * side, dtype=np.float32).reshape(2, 4, side, side)
    x, other = minicnn.tensor(values), minicnn.tensor(np.moveaxis(np.moveaxis(values, 1, -1).copy(), -1, 1))
    y = MADE[made](x, other)
    before = y.clone().numpy()
    try:
        flat = y.view(*shape)
    except RuntimeError as error:
        assert made in REFUSED and ".reshape()" in str(error)
        return
    np.testing.assert_array_equal(flat.numpy().ravel(), before.ravel())
    assert np.shares_memory(flat.array, y.array)
    if made != "expanded":
        flat.fill_(7)
        assert bool((y == 7).all())
        y.zero_()
        assert not flat.numpy().any()


def test_gradients_through_a_view_of_a_channels_last_result_and_a_write_into_it():
    weight = minicnn.ones(8, 4, 1, 1, requires_grad=True)
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 4, 72, 72)).astype("f4"))
    gradients = []
    for through in ("view", "reshape"):
        weight.grad = None
        y = minicnn.nn.functional.conv2d(x, weight)
        flat = getattr(y, through)(2, -1)
        flat = flat.mul_(3) if through == "view" else flat * 3
        flat.sum().backward()
        gradients.append(weight.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-5)
