"""Recording a forward: which operations ran, on which values, and what came back.

The model's own ``forward`` runs once, on a real input. Every operation goes through ``Function.apply``, which tells
the ``Tracer``. A value is known by its array: an array that no recorded operation made, and that is not the input, is
a constant (a parameter, a buffer, a mask made on the way), and so is what is computed from constants alone.

The recording is only true of the next input if nothing else depended on the numbers. So the tracer gives up where the
forward looks at numbers that it computes (``.item()``, ``if x.mean() > 0``, ``.numpy()``), draws random numbers, or
writes where that would be seen outside. What it cannot see is listed in ``inference/__init__.py``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import random
from ..deferral import Version, no_deferral, owner
from ..device import CPU
from ..grad_mode import SWITCHES, no_grad
from ..graph import Function
from ..tensor import Tensor


@dataclass(eq=False)
class Value:
    """An array of the recorded run. ``constant`` is that array where it does not depend on the input, else None."""

    shape: tuple[int, ...]
    dtype: Any
    constant: Any = None

    @property
    def varies(self) -> bool:
        """Whether it depends on the input."""
        return self.constant is None


@dataclass(eq=False)
class Node:
    """One call of an operation: ``outputs = operation(*args, **options)``; among ``args`` are values."""

    operation: type[Function]
    args: tuple[Any, ...]
    options: dict[str, Any]
    outputs: tuple[Value, ...]


@dataclass(eq=False)
class Leaf:
    """A tensor that the forward took from somewhere, and what was in it."""

    tensor: Tensor
    array: Any
    version: Version
    writes: int
    lent: int = 0

    @classmethod
    def of(cls, tensor: Tensor) -> Leaf:
        """As it is now."""
        return cls(tensor, tensor._array, tensor.version, tensor.version.writes)

    def written(self) -> bool:
        """Whether something has been written into it since, or its memory exchanged."""
        return self.tensor._array is not self.array or self.version.writes != self.writes

    def lend(self) -> None:
        """From here on it counts as ``touched`` when its raw array is given away."""
        self.lent = self.version.lent

    def touched(self) -> bool:
        """Whether it may be different now."""
        return self.written() or self.tensor.version is not self.version or self.version.lent != self.lent


@dataclass(eq=False)
class Graph:
    """A recorded forward. ``result`` is what it returned, with values in the place of tensors."""

    input: Value
    nodes: list[Node]
    result: Any
    leaves: list[Leaf]


class Tracer:
    """Listens while a forward runs on the input ``x``. ``reason``: why it has given up, in words."""

    def __init__(self, x: Tensor) -> None:
        self.input = Value(x.shape, x.dtype)
        self.nodes: list[Node] = []
        self.reason: str | None = None
        self._values: dict[int, Value] = {}  # by the id of the array
        self._arrays: list[Any] = []  # kept, so that no id is given twice
        self._in_memory: dict[int, list[int]] = {}  # ids of arrays, by the id of the array that owns their memory
        self._overwritten: set[int] = set()  # ids of arrays that showed memory which has been written into since
        self._leaves: dict[int, Leaf] = {}
        self._read: dict[int, Tensor] = {}  # constants whose raw numbers were looked at: an index, a factor
        self._know(x._array, self.input)

    # ---- what the tape reports -----------------------------------------------------------------------------------

    def record(
        self, operation: type[Function], args: Sequence[Any], options: dict[str, Any], outputs: Sequence[Tensor]
    ) -> None:
        """An operation has run."""
        if self.reason is not None:
            return
        if SWITCHES.grad_enabled:
            self.give_up("its forward switches gradients on")
        elif any(_hides_tensor(arg) for arg in (*args, *options.values()) if not isinstance(arg, Tensor)):
            self.give_up(f"{operation.__name__} is given tensors inside other arguments")
        elif any(x._device != CPU for x in (*args, *outputs) if isinstance(x, Tensor)):
            self.give_up("its forward moves tensors to another device")
        else:
            taken = tuple(self.value(arg) if isinstance(arg, Tensor) else arg for arg in args)
            varies = any(isinstance(arg, Value) and arg.varies for arg in taken)
            made = tuple(Value(out.shape, out.dtype, None if varies else out._array) for out in outputs)
            for out, value in zip(outputs, made, strict=True):
                self._know(out._array, value)
            if varies:
                self.nodes.append(Node(operation, taken, dict(options), made))

    def rewrite(self, target: Tensor, result: Tensor) -> None:
        """The numbers of ``result`` are about to be written over those of ``target``."""
        array = target._array
        before, after = self._values.get(id(array)), self.value(result)
        sharing = self._in_memory.get(id(owner(array)), [])
        if before is None or not before.varies or any(self._values[other] is self.input for other in sharing):
            self.give_up("it writes into its input or into its own state")
        elif result.dtype != target.dtype:
            self.give_up("it converts numbers by writing them into a tensor of another dtype")
        self._overwritten.update(other for other in sharing if other != id(array))
        self._know(array, after)

    def seen(self, tensor: Tensor) -> None:
        """The numbers of ``tensor`` are given to somebody outside."""
        value = self._values.get(id(tensor._array))
        if value is not None and value.varies:
            self.give_up("its forward looks at the numbers that it computes")
        else:
            self._read[id(tensor)] = tensor

    def give_up(self, reason: str) -> None:
        """Record no further. The first reason counts."""
        self.reason = self.reason or reason

    # ---- values --------------------------------------------------------------------------------------------------

    def value(self, tensor: Tensor) -> Value:
        """What ``tensor`` holds now: known, or a constant."""
        array = tensor._array
        if id(array) in self._overwritten:
            self.give_up("it reads a view of a tensor that was written in place after the view was taken")
        if id(array) not in self._values:
            self._know(array, Value(tensor.shape, tensor.dtype, array))
        value = self._values[id(array)]
        if not value.varies:
            self._leaves.setdefault(id(tensor), Leaf.of(tensor))
        return value

    def _know(self, array: Any, value: Value) -> None:
        self._values[id(array)] = value
        self._arrays.append(array)
        self._in_memory.setdefault(id(owner(array)), []).append(id(array))

    def graph(self, returned: Any) -> Graph | None:
        """What was recorded; ``None`` if it had to give up."""
        try:
            result = mapped(self.value, returned, Tensor)
        except TypeError as error:
            self.give_up(str(error))
        if any(leaf.written() for leaf in self._leaves.values()):
            self.give_up("it writes into tensors that it has used before")
        if self.reason is not None:
            return None
        for tensor in self._read.values():
            self._leaves.setdefault(id(tensor), Leaf.of(tensor))
        return Graph(self.input, self.nodes, result, list(self._leaves.values()))


def trace(model: Callable[[Tensor], Any], x: Tensor) -> tuple[Any, Graph | None, str]:
    """Run ``model(x)`` without gradients: what it returned, its graph, and if there is none, why."""
    tracer = Tracer(x)
    randomness = random.default_generator.get_state()
    SWITCHES.tracer = tracer
    try:
        with no_grad(), no_deferral():
            returned = model(x)
        if random.default_generator.get_state() != randomness:
            tracer.give_up("its forward draws random numbers")
        return returned, tracer.graph(returned), tracer.reason or ""
    finally:
        SWITCHES.tracer = None


def mapped(function: Callable[[Any], Any], structure: Any, kind: type) -> Any:
    """``structure`` with ``function`` applied to what is a ``kind`` in its tuples, lists and dictionaries.

    Raises:
        TypeError: for something that may hold tensors where they cannot be found.
    """
    if isinstance(structure, kind):
        return function(structure)
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(mapped(function, item, kind) for item in structure))
    if type(structure) in (tuple, list):
        return type(structure)(mapped(function, item, kind) for item in structure)
    if type(structure) in (dict, OrderedDict):
        return type(structure)((key, mapped(function, item, kind)) for key, item in structure.items())
    if structure is None or isinstance(structure, (bool, int, float, str)):
        return structure
    raise TypeError(f"it returns a {type(structure).__name__}")


def _hides_tensor(argument: Any) -> bool:
    if isinstance(argument, dict):
        argument = tuple(argument.values())
    if isinstance(argument, (tuple, list, set)):
        return any(_hides_tensor(item) for item in argument)
    return isinstance(argument, Tensor)
