"""Channels side by side, and apart again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import joining, memory, pointwise
from tests.library.support.layouts import CHANNELS, DTYPES, LAYOUTS, SIDES, is_channels_last, laid_out
from tests.library.support.strategies import SEEDS, normal

LENGTHS = st.lists(st.one_of(CHANNELS, st.just(0)), min_size=1, max_size=4).filter(sum)


@given(
    n=st.integers(1, 3), lengths=LENGTHS, sides=SIDES, dtype=DTYPES, seed=SEEDS,
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 4),
)  # fmt: skip
def test_join_and_split(n, lengths, sides, dtype, seed, layouts):
    xs = [
        laid_out(normal((n, length, *sides), seed + k).astype(dtype), layout)
        for k, (length, layout) in enumerate(zip(lengths, layouts, strict=False))
    ]
    expected = np.concatenate(xs, axis=1)
    with memory.guarded():
        joined = joining.cat_channels(xs)
        pieces = joining.split_channels(laid_out(expected, layouts[-1]), lengths)
    np.testing.assert_array_equal(joined, expected)
    assert joined.dtype == dtype and is_channels_last(joined)
    starts = np.cumsum([0, *lengths])
    for piece, first, last in zip(pieces, starts, starts[1:], strict=False):
        np.testing.assert_array_equal(piece, laid_out(expected, layouts[-1])[:, first:last])
        assert piece.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shared_among_jobs(dtype):
    xs = [laid_out(normal((2, channels, 61, 67), channels).astype(dtype), "channels last") for channels in (3, 64, 17)]
    with memory.guarded():
        joined = joining.cat_channels(xs)
        pieces = joining.split_channels(joined, (3, 64, 17))
    np.testing.assert_array_equal(joined, np.concatenate(xs, axis=1))
    for piece, x in zip(pieces, xs, strict=True):
        np.testing.assert_array_equal(piece, x)


@pytest.mark.parametrize(
    "xs",
    [
        [np.ones((2, 3, 4, 4), np.float32), np.ones((2, 3, 4, 4))],
        [np.ones((2, 3, 4, 4), np.int64), np.ones((2, 1, 4, 4), np.int64)],
        [np.ones((2, 3)), np.ones((2, 4))],
        [np.ones((0, 3, 4, 4)), np.ones((0, 3, 4, 4))],
    ],
)
def test_what_the_kernel_does_not_take_goes_to_numpy(xs):
    expected = np.concatenate(xs, axis=1)
    got = joining.cat_channels(xs)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    lengths = [x.shape[1] for x in xs]
    for piece, x in zip(joining.split_channels(expected, lengths), xs, strict=True):
        np.testing.assert_array_equal(piece, x)


def test_sizes_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="dimensions"):
        joining.cat_channels([np.ones((2, 3, 4, 4)), np.ones((2, 3, 4, 5))])
    with pytest.raises(ValueError, match="dimension"):
        joining.cat_channels([np.ones((2, 3, 4, 4)), np.ones((2, 3, 4))])


@given(n=st.integers(1, 3), lengths=st.tuples(CHANNELS, CHANNELS), sides=SIDES, dtype=DTYPES, seed=SEEDS)
def test_pieces_add_up_where_they_lie(n, lengths, sides, dtype, seed):
    """The gradients of a join are parts of one array; they are added to themselves and to whole arrays."""
    with memory.guarded() as pool:
        joined = pool.empty((n, *sides, sum(lengths)), dtype).transpose(0, 3, 1, 2)
        joined[...] = normal(joined.shape, seed)
        before = joined.copy()
        piece = joining.split_channels(joined, lengths)[1]
        whole = pool.empty((n, *sides, lengths[1]), dtype).transpose(0, 3, 1, 2)
        whole[...] = normal(whole.shape, seed + 1)
        twice, both = pointwise.add(piece, piece), pointwise.add(whole, piece)
        assert is_channels_last(twice) and is_channels_last(both)
        np.testing.assert_array_equal(twice, 2 * before[:, lengths[0] :])
        np.testing.assert_array_equal(both, whole + before[:, lengths[0] :])
        np.testing.assert_array_equal(joined, before)
