"""What moves numbers about, and reductions, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import indexing, joining, reduction, shape
from .errors import ExportError
from .table import Builder, writes
from .trace import Array, Batch


@writes(shape.Reshape)
def reshape(b: Builder, x: Any, wanted: Any) -> str:
    """To the shape of the result, in which lengths that follow the batch stay open."""
    return b.reshape(x, b.step.outputs[0].shape)


@writes(shape.Permute)
def permute(b: Builder, x: Any, order: tuple[int, ...]) -> str:
    """Axes in another order."""
    return b.node("Transpose", x, perm=list(order))


@writes(shape.Expand)
def expand(b: Builder, x: Any, wanted: Any) -> str:
    """Repeated to the shape of the result."""
    return b.node("Expand", x, b.shape(b.step.outputs[0].shape))


@writes(shape.Pad)
def pad(b: Builder, x: Array, widths: tuple[tuple[int, int], ...], value: float) -> str:
    """ONNX takes all widths before, and then all behind."""
    before, after = zip(*widths, strict=True)
    return b.node("Pad", x, b.integers(*before, *after), b.constant(np.array(value, x.dtype)))


@writes(shape.Flip)
def flip(b: Builder, x: Any, over: tuple[int, ...]) -> str:
    """A slice that goes backwards."""
    count = len(over)
    first, last = b.integers(*[-1] * count), b.integers(*[np.iinfo(np.int64).min] * count)
    return b.node("Slice", x, first, last, b.integers(*over), b.integers(*[-1] * count))


@writes(shape.Clone)
def clone(b: Builder, x: Any) -> str:
    """Nothing: values of a graph are never written into."""
    return b.name(x)


@writes(shape.Cast)
def cast(b: Builder, x: Any, dtype: Any) -> str:
    """In another dtype."""
    return b.cast(x, dtype)


@writes(joining.Cat)
def cat(b: Builder, *xs: Any, axis: int) -> str:
    """End to end."""
    return b.node("Concat", *xs, axis=axis)


@writes(indexing.Gather)
def gather(b: Builder, x: Any, axis: int, positions: Any) -> str:
    """A position for each element of the output."""
    return b.node("GatherElements", x, b.constant(np.asarray(positions, np.int64)), axis=axis)


@writes(indexing.Index)
def index(b: Builder, x: Array, parts: tuple[Any, ...]) -> str:
    """Slices and integers, and at most one array of positions, or mask of one axis, among them."""
    parts = _along_axes(parts, x.ndim)
    cuts: list[tuple[int, int, int, int]] = []  # start, end, axis, step
    chosen: list[tuple[int, np.ndarray]] = []
    for axis, part in enumerate(part for part in parts if part is not None):
        if isinstance(part, slice):
            if part in (slice(None), slice(None, x.shape[axis]), slice(0, x.shape[axis])):
                continue
            start, end, step = _bounds(part, x.shape[axis])
        elif isinstance(part, (int, np.integer)):
            start, end, step = int(part), int(part) + 1 or np.iinfo(np.int64).max, 1
        else:
            chosen.append((axis, _positions(part)))
            continue
        cuts.append((start, end, axis, step))
    y = b.name(x)
    if cuts:
        y = b.node("Slice", y, *(b.integers(*numbers) for numbers in zip(*cuts, strict=True)))
    if chosen and len(chosen) + sum(isinstance(part, (int, np.integer)) for part in parts) > 1:
        raise ExportError("an index with an array and another array or number has no entry in the table")
    for axis, positions in chosen:
        y = b.node("Gather", y, b.constant(positions), axis=axis)
    kept = not any(part is None or isinstance(part, (int, np.integer)) for part in parts)
    return y if kept else b.reshape(y, b.step.outputs[0].shape)


def _along_axes(parts: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """``parts`` with ``...`` written out, one for each axis, and ``None`` for each new one."""
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    rest = (slice(None),) * (ndim - taken)
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    return (*parts[:place], *rest, *parts[place + 1 :])


def _bounds(part: slice, length: int | Batch) -> tuple[int, int, int]:
    if isinstance(length, Batch) or any(isinstance(n, Batch) for n in (part.start, part.stop, part.step)):
        raise ExportError("a slice along the batch has no entry in the table")
    start, end, step = part.indices(length)
    return start, end if end >= 0 else np.iinfo(np.int64).min, step  # -1 is the last one, as in Python


def _positions(part: Any) -> np.ndarray:
    array = np.asarray(part)
    if array.dtype != bool:
        return array.astype(np.int64)
    if array.ndim > 1:
        raise ExportError("a mask of several axes has no entry in the table")
    return np.flatnonzero(array)


def _reduced(kind: str) -> Any:
    def rule(b: Builder, x: Array, over: tuple[int, ...], keepdim: bool, *_: Any) -> str:
        return b.node(kind, x, b.integers(*over), keepdims=int(keepdim)) if over else b.name(x)

    return rule


writes(reduction.Sum)(_reduced("ReduceSum"))
writes(reduction.Mean)(_reduced("ReduceMean"))


@writes(reduction.Prod)
def product(b: Builder, x: Array, axis: int, keepdim: bool) -> str:
    """Along one axis."""
    return b.node("ReduceProd", x, b.integers(axis), keepdims=int(keepdim))


@writes(reduction.Cumsum)
def cumsum(b: Builder, x: Array, axis: int) -> str:
    """Along one axis."""
    return b.node("CumSum", x, b.constant(np.array(axis)))


@writes(reduction.Var)
def var(b: Builder, x: Array, over: tuple[int, ...], keepdim: bool, correction: float) -> str:
    """The mean of squares, scaled for the correction."""
    centred = b.node("Sub", x, b.node("ReduceMean", x, b.integers(*over)))
    mean = b.node("ReduceMean", b.node("Mul", centred, centred), b.integers(*over), keepdims=int(keepdim))
    if not correction:
        return mean
    lengths = [x.shape[axis] for axis in over]
    if any(isinstance(n, Batch) for n in lengths):
        raise ExportError("an unbiased variance over the batch has no entry in the table")
    count = float(np.prod(np.array(lengths)))
    with np.errstate(divide="ignore"):
        scale = np.float64(count) / max(count - correction, 0)
    return b.node("Mul", mean, b.constant(np.array(scale, x.dtype)))


@writes(reduction.Extreme)
def extreme(b: Builder, x: Array, over: tuple[int, ...], keepdim: bool, name: str) -> str:
    """The largest or smallest over several axes."""
    return _reduced({"max": "ReduceMax", "min": "ReduceMin"}[name])(b, x, over, keepdim)


@writes(reduction.ExtremeAlong)
def extreme_along(b: Builder, x: Array, axis: int, keepdim: bool, name: str) -> tuple[str, str]:
    """The largest or smallest along one axis, and where it stands."""
    position = b.node({"max": "ArgMax", "min": "ArgMin"}[name], x, axis=axis, keepdims=int(keepdim))
    return extreme(b, x, (axis,), keepdim, name), position
