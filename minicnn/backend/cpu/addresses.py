"""Lists of arrays as tables of addresses: what a kernel walks that goes through many arrays in one call.

The arrays that a training step writes into are the same at each step. So what is known of them is kept as long as they
live, and only the gradients, which are new arrays each time, are looked at again.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from . import FLOATS
from .compiling import LOCK
from .inputs import copied
from .pointwise import memory_order

MOST = 64  # lists of arrays to know at a time


class Table(NamedTuple):
    """Arrays for one call of a kernel.

    A row of ``rows`` (R, 3 + L) is for one place in the L lists of arrays that are written: its first number and the
    one after its last, counted through all rows; then the addresses of the first array, of the gradient, and of the
    other arrays, whose numbers all lie in one order. ``places`` are the places in the lists that the rows are for, and
    ``others`` those that a kernel cannot do. ``copies`` are gradients that lay otherwise: they must live until
    the call is over.
    """

    dtype: np.dtype
    numbers: int
    rows: np.ndarray
    places: list[int]
    others: list[int]
    copies: list[np.ndarray]


class _Known(NamedTuple):
    """What stays the same as long as the arrays that are written live."""

    dtype: np.dtype
    rows: np.ndarray
    places: list[int]
    shapes: list[tuple[int, ...]]
    strides: list[tuple[int, ...]]
    orders: list[tuple[int, ...]]
    references: list[Any]


_known: dict[Any, _Known] = {}


def table_of(written: Sequence[Sequence[np.ndarray]], grads: Sequence[np.ndarray]) -> Table:
    """The table for lists of arrays to write into and for the list of gradients, all of one length.

    A place can be done by a kernel if its arrays have one dtype and shape, no gaps, and their numbers in one order;
    only the gradient is copied where its numbers lie in another. No two parameters may share memory.
    """
    key = tuple((id(array), array.flags.writeable) for array in chain(*written))
    with LOCK:
        known = _known.get((len(written), key))
        if known is None:
            if len(_known) >= MOST:
                _known.clear()
            known = _known[len(written), key] = _look_at(written, (len(written), key))
    rows, copies = known.rows.copy(), []
    places, others = known.places, sorted(set(range(len(grads))) - set(known.places))
    fitting = []
    for row, place in enumerate(places):
        grad = grads[place]
        if grad.dtype != known.dtype or grad.shape != known.shapes[row]:
            others.append(place)
            continue
        if grad.strides != known.strides[row] or not grad.flags.aligned:
            view = grad.transpose(known.orders[row])
            if not (view.flags.c_contiguous and view.flags.aligned):
                grad = copied(view)
                copies.append(grad)
        rows[row, 3] = _address(grad)
        fitting.append(row)
    if len(fitting) < len(places):
        rows, places, others = rows[fitting], [places[row] for row in fitting], sorted(others)
        rows[:, :2] = _counted(rows[:, 1] - rows[:, 0])
    return Table(known.dtype, int(rows[-1, 1]) if places else 0, rows, places, others, copies)


def _look_at(written: Sequence[Sequence[np.ndarray]], key: Any) -> _Known:
    orders = {place: memory_order(arrays[0]) for place, arrays in enumerate(zip(*written, strict=True))}
    dtype = next((param.dtype for param in written[0] if param.dtype in FLOATS), np.dtype(np.float32))
    places = [
        place
        for place, arrays in enumerate(zip(*written, strict=True))
        if arrays[0].size and all(_fits(array, arrays[0].shape, dtype, orders[place]) for array in arrays)
    ]
    columns = [[_address(arrays[place]) for place in places] for arrays in written]
    params = [written[0][place] for place in places]
    ends = [(address, address + param.nbytes) for address, param in zip(columns[0], params, strict=True)]
    if any(end > start for (_, end), (start, _) in pairwise(sorted(ends))):
        places, columns, params = [], [[] for _ in columns], []  # in turn, not at once
    rows = np.zeros((len(places), 3 + len(written)), np.int64)
    rows[:, :2] = _counted([param.size for param in params])
    rows[:, 2] = columns[0]
    for number, column in enumerate(columns[1:], 4):
        rows[:, number] = column
    return _Known(
        dtype,
        rows,
        places,
        [param.shape for param in params],
        [param.strides for param in params],
        [orders[place] or () for place in places],
        [weakref.ref(array, partial(_forget, key)) for array in chain(*written)],
    )


def _fits(array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, order: tuple[int, ...] | None) -> bool:
    """Whether a kernel can walk through the array in this order of its axes, and write."""
    if order is None or array.dtype != dtype or array.shape != shape:
        return False
    flags = array.transpose(order).flags
    return flags.c_contiguous and flags.aligned and flags.writeable


def _counted(sizes: Any) -> np.ndarray:
    """For arrays laid end to end, the number that each begins with and the one after its last."""
    ends = np.array(list(accumulate(map(int, sizes))), np.int64)
    return np.stack([ends - np.array(list(sizes), np.int64), ends], axis=1) if len(ends) else np.zeros((0, 2), np.int64)


def _address(array: np.ndarray) -> int:
    """Of its first number in memory, for an array without gaps and negative steps."""
    return array.__array_interface__["data"][0]


def _forget(key: Any, _: Any) -> None:
    """One of the arrays is gone: its address may be another's soon."""
    _known.pop(key, None)
