"""Joining tensors and taking them apart: concatenate, stack, split.

An inception module (lecture line L2.1.1) and a dense block (L2.3.1) are held together by ``cat``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from ..autograd import Function
from ..errors import ShapeError
from ..short_floats import promoted
from ..tensors import Tensor
from .axes import normal_dim
from .shape import squeeze, to, unsqueeze
from .sizes import integer, integers


class Cat(Function):
    """Tensors end to end along an axis: each gets its own stretch of the cotangent (lecture lines L2.1.1, L2.3.1)."""

    @staticmethod
    def forward(ctx: Any, *xs: Any, axis: int) -> Any:
        """Lay the arrays ``xs`` end to end, in the order given.

        Args:
            ctx: keeps what ``backward`` needs; ``ctx.backend.xp`` is NumPy, or CuPy on a GPU.
            xs: one array or more, of equal shapes but for their length along ``axis``, which may be 0.
            axis: counted from the front, 0 to ndim - 1.

        Returns:
            An array as long along ``axis`` as all of ``xs`` together.
        """
        ctx.axis = axis
        ctx.lengths = [x.shape[axis] for x in xs]
        return ctx.backend.xp.concatenate(xs, axis=axis)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients at ``xs``, given ``dy``, the gradient at the output and of its shape.

        Returns:
            A tuple with one array for each of ``xs``, in their order and of their shapes.
        """
        ends = np.cumsum(ctx.lengths)
        before = (slice(None),) * ctx.axis
        return tuple(dy[(*before, slice(end - length, end))] for end, length in zip(ends, ctx.lengths, strict=True))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """``tensors`` end to end along ``dim``: how an inception module and a dense block join their branches.

    Raises:
        ShapeError: if they differ in another dimension than ``dim``.
    """
    tensors = [x for x in tensors if x.shape != (0,)] or list(tensors)[:1]
    if not tensors:
        raise ValueError("cat: expected at least one tensor, got none")
    axis = normal_dim(tensors[0], dim)
    first = tensors[0].shape
    for index, x in enumerate(tensors):
        if x.ndim != len(first) or any(
            n != m for a, (n, m) in enumerate(zip(x.shape, first, strict=True)) if a != axis
        ):
            raise ShapeError(
                f"cat: expected shapes that agree in every dimension but {axis}, "
                f"got {first} for tensor 0 and {x.shape} for tensor {index}"
            )
    return Cat.apply(*_one_dtype(tensors), axis=axis)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension ``dim``.

    Raises:
        ShapeError: if the shapes differ.
    """
    tensors = list(tensors)
    if not tensors:
        raise ValueError("stack: expected at least one tensor, got none")
    for index, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ShapeError(
                f"stack: expected equal shapes, got {tensors[0].shape} for tensor 0 and {x.shape} for tensor {index}"
            )
    place = normal_dim(tensors[0], dim, new=1)
    return cat([unsqueeze(x, place) for x in tensors], place)


def split(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Consecutive pieces along ``dim``: of one size (the last may be smaller), or of the sizes given; views."""
    axis = normal_dim(input, dim)
    length = _length(input, axis)
    sizes = list(integers("split_size", split_size))
    if not isinstance(split_size, Sequence):
        step = integer("split_size", split_size, 1 if length else 0)
        sizes = [min(step, length - start) for start in range(0, length, step)] if length else [0]
    if sum(sizes) != length or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sizes {sizes} do not add up to {length}, the length of dimension {axis}")
    ends = np.cumsum(sizes).tolist()
    return tuple(narrow(input, axis, end - size, size) for end, size in zip(ends, sizes, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` consecutive pieces of equal size along ``dim`` (the last may be smaller); views."""
    return split(input, max(1, -(-_length(input, normal_dim(input, dim)) // integer("chunks", chunks, 1))), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that dimension; views."""
    axis = normal_dim(input, dim)
    return tuple(squeeze(piece, axis) for piece in split(input, 1, axis)) if _length(input, axis) else ()


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices from ``start`` on along ``dim``, counted from the end if negative; a view.

    Raises:
        IndexError: if they reach beyond ``input``.
    """
    axis = normal_dim(input, dim)
    start, length, whole = integer("start", start), integer("length", length, 0), _length(input, axis)
    first = start + whole if start < 0 else start
    if not 0 <= first <= whole - length:
        raise IndexError(f"narrow: {length} slices from {start} on are not within the {whole} of dimension {axis}")
    return input[(*(slice(None),) * axis, slice(first, first + length))]


def _length(input: Tensor, axis: int) -> int:
    if input.ndim == 0:
        raise ShapeError("expected at least one dimension to take apart, got a single number")
    return input.shape[axis]


def _one_dtype(tensors: Sequence[Tensor]) -> list[Tensor]:
    dtype = reduce(promoted, (x.dtype for x in tensors))
    floats = [x.dtype for x in tensors if x.is_floating_point()]
    if floats:
        dtype = reduce(promoted, floats)
    return [x if x.dtype == dtype else to(x, dtype) for x in tensors]
