"""What a model computes, as a list of steps in which the number of images is left open.

The model's own ``forward`` is recorded twice, for two images and for three (``compiler/record.py``), on arrays that
have a shape and no numbers (``backend/shapes.py``), so even the largest network takes little time. A length that
differs between the two recordings belongs to the batch: it becomes a ``Batch``. All else must be the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..amp.casting import recast
from ..autograd import no_grad
from ..backend.shapes import shape_array
from ..compiler.record import Call, Graph, Leaf, Value, Write, record
from ..nn import Module
from ..nn.summary import evaluating
from ..tensors import Tensor
from .errors import ExportError

SIZES = (2, 3)


@dataclass(frozen=True)
class Batch:
    """A length that is ``times`` the number of images."""

    times: int

    def __float__(self) -> float:
        raise ExportError("a number that follows the number of images has no entry in the table here")


Shape = tuple[int | Batch, ...]


@dataclass(eq=False)
class Array:
    """A value of the recorded forward. ``tensor``: of a parameter, a buffer, or a constant of the forward."""

    shape: Shape
    dtype: np.dtype
    tensor: Tensor | None = None

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def lengths(self) -> tuple[int, ...]:
        """The shape from the second dimension on, which a batch leaves alone.

        Raises:
            ExportError: if one of these lengths depends on the number of images.
        """
        found = tuple(n for n in self.shape[1:] if isinstance(n, int))
        if len(found) < self.ndim - 1:
            raise ExportError(f"a length besides the first of {self.shape} depends on the number of images")
        return found


@dataclass
class Step:
    """One call of an operation: ``outputs = operation(*args, **options)``, made by the module at ``path``."""

    operation: Any
    args: tuple[Any, ...]
    options: dict[str, Any]
    outputs: tuple[Array, ...]
    path: str


@dataclass
class Trace:
    """The steps of a forward, in order, from its inputs to its results."""

    inputs: list[Array]
    steps: list[Step]
    results: list[Array]


def trace(model: Module, args: Sequence[Tensor], free: Sequence[bool]) -> Trace:
    """Record ``model(*args)`` in evaluation; the first length of each argument that is ``free`` stays open.

    Raises:
        ExportError: if the forward cannot be recorded, or does something else for another number of images.
    """
    shapes = [[(n, *x.shape[1:]) if open_ else x.shape for x, open_ in zip(args, free, strict=True)] for n in SIZES]
    graphs = [_recorded(model, sizes, args) for sizes in (shapes if any(free) else shapes[:1])]
    return _Merge().trace(graphs[0], graphs[-1])


def _recorded(model: Module, shapes: Sequence[tuple[int, ...]], args: Sequence[Tensor]) -> Graph:
    own = [*model.parameters(), *model.buffers()]
    with ExitStack() as stack:
        for context in (evaluating(model), backend.use("shapes"), no_grad(), recast(None)):
            stack.enter_context(context)
        inputs = [Tensor.wrap(shape_array(shape, x.dtype)) for shape, x in zip(shapes, args, strict=True)]
        _, graph, reason = record(lambda: model(*inputs), inputs, own)
    if graph is None:
        raise ExportError(f"{type(model).__name__} cannot be exported, because {reason}")
    return graph


class Differs(Exception):
    """Two recordings differ in a way that does not follow the number of images."""


class _Merge:
    """Two recordings of one forward as one; they may be the same, and then no length is open."""

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[Array, Value]] = {}  # by the id of the first recording's value

    def trace(self, two: Graph, three: Graph) -> Trace:
        inputs = [self.value(a, b) for a, b in zip(two.inputs, three.inputs, strict=True)]
        if [call.operation for call in two.calls] != [call.operation for call in three.calls]:
            raise ExportError(f"for {SIZES[0]} images its forward runs other operations than for {SIZES[1]}")
        steps = [self.step(a, b) for a, b in zip(two.calls, three.calls, strict=True)]
        try:
            results = [self.value(a.value, b.value) for a, b in zip(two.returned, three.returned, strict=True)]
        except Differs as difference:
            raise ExportError(f"what it returns does not follow the number of images: {difference}") from None
        return Trace(inputs, steps, results)

    def step(self, two: Call, three: Call) -> Step:
        path = two.lines[0][0].partition(".")[2]  # without the class of the whole model
        if two.operation is Write or two.writes:
            raise ExportError(f"{place(two.name, path)} writes into the model's own state")
        try:
            args, options = self.same(two.args, three.args), self.same(two.options, three.options)
            outputs = tuple(self.value(a, b) for a, b in zip(two.outputs, three.outputs, strict=True))
        except Differs as difference:
            raise ExportError(f"{place(two.name, path)} does not follow the number of images: {difference}") from None
        return Step(two.operation, args, options, outputs, path)

    def value(self, two: Value, three: Value) -> Array:
        if id(two) in self.arrays:
            known, partner = self.arrays[id(two)]
            if partner is not three:
                raise Differs("it takes other values for another number")
            return known
        shape = tuple(map(length, two.shape, three.shape)) if len(two.shape) == len(three.shape) else None
        if shape is None:
            raise Differs(f"it gives {two.shape} for {SIZES[0]} and {three.shape} for {SIZES[1]}")
        tensor = None
        if isinstance(two, Leaf) and isinstance(three, Leaf):
            tensor = two.tensor
            if tensor is not three.tensor:  # made anew by each forward
                _require_equal(tensor.array, three.tensor.array)
        self.arrays[id(two)] = array = Array(shape, two.dtype, tensor), three
        return array[0]

    def same(self, two: Any, three: Any) -> Any:
        """What the arguments ``two`` and ``three`` have in common, with a ``Batch`` for a number that follows it."""
        if isinstance(two, Value):
            return self.value(two, three)
        if type(two) is not type(three):
            raise Differs(f"{two!r} and {three!r}")
        if isinstance(two, np.ndarray):
            _require_equal(two, three)
            return two
        if isinstance(two, dict):
            return {key: self.same(two[key], three[key]) for key in two}
        if isinstance(two, (tuple, list)):
            if len(two) != len(three):
                raise Differs(f"{two} and {three}")
            merged = [self.same(a, b) for a, b in zip(two, three, strict=True)]
            return type(two)(*merged) if hasattr(two, "_fields") else type(two)(merged)
        if isinstance(two, slice):
            return slice(*(self.same(getattr(two, n), getattr(three, n)) for n in ("start", "stop", "step")))
        if type(two) is int:
            return length(two, three)
        if two != three and not (two != two and three != three):  # NaN is the same as NaN
            raise Differs(f"{two!r} and {three!r}")
        return two


def length(two: int, three: int) -> int | Batch:
    """A number of both recordings: itself, or a ``Batch`` if it is a multiple of the number of images.

    Raises:
        Differs: for anything else.
    """
    if two == three:
        return two
    times = two // SIZES[0]
    if (two, three) != (times * SIZES[0], times * SIZES[1]):
        raise Differs(f"{two} for {SIZES[0]} and {three} for {SIZES[1]}")
    return Batch(times)


def _require_equal(two: np.ndarray, three: np.ndarray) -> None:
    if two.shape != three.shape or not np.array_equal(two, three, equal_nan=two.dtype.kind == "f"):
        raise Differs(
            f"it makes a tensor of shape {two.shape} for {SIZES[0]} and of {three.shape} for {SIZES[1]}; "
            "dynamic_axes={} exports for one number only"
        )


def place(name: str, path: str) -> str:
    """How a message names an operation: ``Add in layer1.0``."""
    return f"{name} in {path or 'the model itself'}"
