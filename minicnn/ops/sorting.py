"""Order: sort, argsort, topk. The values are read at the found positions, so the gradient goes back there."""

from __future__ import annotations

from typing import NamedTuple

from .. import backend
from ..tensors import Tensor
from .axes import normal_dim
from .indexing import gather
from .sizes import integer


class Sorted(NamedTuple):
    """What ``sort`` and ``topk`` return: the values, and where along the dimension they stood."""

    values: Tensor
    indices: Tensor


def argsort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The positions along ``dim`` in the order of their values; of equals the first stays first."""
    xp = backend.get(input.device).xp
    dim = normal_dim(input, dim)
    if input.ndim == 0:
        return Tensor.wrap(xp.zeros((), "int64"), input.device)
    array = input.array
    if descending:  # a stable descending sort is an ascending one of the reversed sequence, read backwards
        order = xp.argsort(xp.flip(array, dim), axis=dim, kind="stable")
        return Tensor.wrap(array.shape[dim] - 1 - xp.flip(order, dim), input.device)
    return Tensor.wrap(xp.argsort(array, axis=dim, kind="stable"), input.device)


def sort(input: Tensor, dim: int = -1, descending: bool = False) -> Sorted:
    """The values along ``dim`` in order, and where they stood."""
    order = argsort(input, dim, descending)
    return Sorted(input.clone() if input.ndim == 0 else gather(input, dim, order), order)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True) -> Sorted:
    """The ``k`` largest (or smallest) values along ``dim``, best first, and where they stood.

    Raises:
        ValueError: if there are fewer than ``k``.
    """
    length = input.shape[normal_dim(input, dim)] if input.ndim else 1
    if not 0 <= integer("k", k) <= length:
        raise ValueError(f"topk: expected k between 0 and {length}, the length of dimension {dim}, got {k}")
    order = argsort(input, dim, descending=largest)
    best = order.narrow(dim, 0, k) if input.ndim else order
    return Sorted(gather(input, dim, best) if input.ndim else input.clone(), best)
