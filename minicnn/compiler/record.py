"""Recording a forward: which operations ran, on which values, and what was returned.

The model's own ``forward`` runs once, as usual: what it returns, its tape and its random numbers are those of an
ordinary call. ``Function.apply`` reports every operation to the ``Recorder``, which stores it as a ``Call`` on values:

    inputs     what the model was called with
    leaves     tensors that no recorded operation made: parameters, buffers, and any other tensor that the forward
               used. Their numbers are read again at every run
    results    what the operations returned

A recording is valid for other inputs only if the forward did not depend on the numbers. So the recorder gives up if the
forward reads numbers that it computes (``.item()``, ``if x.mean() > 0``, ``.numpy()``), draws random numbers outside an
operation, or writes into memory that others can see. ``__init__.py`` says what it cannot notice.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import random
from ..autograd import scope
from ..autograd.memory import memory_of, owner
from ..autograd.modes import SWITCHES
from ..devices import device
from ..ops.indexing import IndexOverwrite, IndexWrite
from ..ops.inplace import Overwrite
from ..tensors import Tensor

# What may read a tensor's array without reading its numbers: these modules, and functions of others.
TAPE = frozenset(
    {
        *("minicnn.tensors", "minicnn.autograd.function", "minicnn.autograd.memory", "minicnn.autograd.methods"),
        "minicnn.amp.casting",
    }
)
SHAPES = frozenset({"dim", "size", "numel", "is_contiguous", "stride", "__len__"})  # of minicnn.ops.conversion


@dataclass(eq=False)
class Value:
    """An array of the recorded run. ``memory`` is the same for arrays that share memory."""

    shape: tuple[int, ...]
    dtype: Any
    memory: int = 0


@dataclass(eq=False)
class Input(Value):
    """One of the arrays that the model was called with."""


@dataclass(eq=False)
class Leaf(Value):
    """A tensor that no recorded operation made. ``dirty``: an operation writes into it."""

    tensor: Any = None
    writes: int = 0
    dirty: bool = False


@dataclass(eq=False)
class Call:
    """One call of an operation: ``outputs = operation(*args, **options)``; among ``args`` are values.

    Attributes:
        needs_input_grad: for each argument, whether its gradient is wanted.
        differentiable: for each output, whether the tape knows how it was made.
        writes: the leaves that it writes into.
        saves: the memories that it keeps for backward.
        lines: the operations of the model that it computes, each as (module path, operation).
        joined, kernels: the names of those operations, and of the kernels that compute them.
    """

    operation: Any
    args: tuple[Any, ...]
    options: dict[str, Any]
    outputs: tuple[Value, ...]
    needs_input_grad: tuple[bool, ...]
    differentiable: tuple[bool, ...]
    writes: tuple[Leaf, ...] = ()
    saves: frozenset[int] = frozenset()
    lines: tuple[tuple[str, str], ...] = ()
    joined: str = ""
    kernels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The operation, or the operations that it replaces."""
        return self.joined or self.operation.__name__

    @property
    def random(self) -> bool:
        """Whether it draws random numbers."""
        return bool(self.generators)

    @property
    def generators(self) -> list[Any]:
        """The generators that it draws from."""
        return [arg for arg in (*self.args, *self.options.values()) if hasattr(arg, "bit_generator")]

    def prepares(self, fixed: Container[Value]) -> bool:
        """Whether it computes the same as long as ``fixed`` values are the same."""
        return not self.writes and not self.random and all(value in fixed for value in self.reads)

    @property
    def reads(self) -> list[Value]:
        """The values among its arguments."""
        return [arg for arg in self.args if isinstance(arg, Value)]


@dataclass(eq=False)
class Graph:
    """A recorded forward.

    Attributes:
        result: what the forward returned, with each tensor replaced by a ``Returned``.
        watched: leaves whose numbers the forward has read, and their stamps.
    """

    inputs: list[Input]
    leaves: list[Leaf]
    calls: list[Call]
    result: Any
    watched: list[tuple[Tensor, Any]] = field(default_factory=list)

    @property
    def returned(self) -> list[Returned]:
        """The tensors of ``result``, in order."""
        found: list[Returned] = []
        mapped(found.append, self.result, Returned)
        return found


@dataclass(frozen=True)
class Returned:
    """A tensor that the forward returned: its value, and whether it requires grad."""

    value: Value
    requires_grad: bool
    itself: bool = False  # whether it is the same object as an input or a leaf, not another tensor on its memory


class Recorder:
    """Records a running forward. ``reason``: why it has given up, in words.

    Args:
        inputs: the tensors that the model is called with.
        own: the tensors that belong to the model, into which an operation may write.
    """

    def __init__(self, inputs: Sequence[Tensor], own: Sequence[Tensor]) -> None:
        self.reason: str | None = None
        self.calls: list[Call] = []
        self.leaves: dict[int, Leaf] = {}  # by the id of the array
        self._own = {id(tensor): writes_into(tensor) for tensor in own}
        self._owners = {id(tensor.array): tensor for tensor in own}
        self._tensors: dict[int, Value] = {}  # by the id of the tensor
        self._arrays: dict[int, Value] = {}  # by the id of the array, for other tensors on the same array
        self._sharing: dict[int, set[int]] = {}  # ids of arrays by the id of the array that owns their memory
        self._tensors_on: dict[int, list[int]] = {}  # ids of tensors by the id of their array
        self._stale: set[int] = set()  # ids of arrays whose memory has been written into since
        self._kept: list[Any] = []  # so that no id is given twice
        self._watched: dict[int, tuple[Tensor, int]] = {}
        self._randomness = _state_of_randomness()
        self._grad_enabled = SWITCHES.grad_enabled
        self.place = inputs[0]._device
        self.inputs = [Input(x.shape, x.dtype, id(owner(x.array))) for x in inputs]
        for tensor, value in zip(inputs, self.inputs, strict=True):
            self._know(tensor, value)

    # ---- what the tape reports -----------------------------------------------------------------------------------

    def record(self, ctx: Any, args: Sequence[Any], options: dict[str, Any], outputs: Sequence[Tensor]) -> None:
        """An operation has run: ``outputs = type(ctx).apply(*args, **options)``."""
        if self.reason is not None:
            return
        operation = type(ctx)
        if operation is Overwrite:
            self._overwrite(args[0], self.value(args[1]), args[1].requires_grad, outputs[0])
            return
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        self._check_call(operation, args, options, (*tensors, *outputs))
        taken = tuple(self.value(arg) if isinstance(arg, Tensor) else arg for arg in args)
        dirty = [value for arg, value in zip(args, taken, strict=True)
                 if isinstance(arg, Tensor) and id(arg.array) in ctx._dirty]  # fmt: skip
        written = [value for value in dirty if not isinstance(value, Leaf)]
        if written and operation is IndexOverwrite:
            operation = IndexWrite  # with a copy
        elif written:
            self.give_up(f"{operation.__name__} writes into numbers that the model computes")
        writes = tuple(dict.fromkeys(leaf for leaf in dirty if isinstance(leaf, Leaf)))
        for leaf in writes:
            self._writes(leaf)
        differentiable = tuple(out.grad_fn is ctx for out in outputs)
        made = tuple(Value(out.shape, out.dtype, id(owner(out.array))) for out in outputs)
        if written:
            self._overwrite(args[0], made[0], False, outputs[0])
        else:
            for out, value in zip(outputs, made, strict=True):
                self._know(out, value)
        saves = frozenset(id(owner(array)) for array in ctx._saved if hasattr(array, "dtype"))
        self._kept += [array for array in ctx._saved if hasattr(array, "dtype")]
        line = ((scope.path(), operation.__name__),)
        self.calls.append(
            Call(operation, taken, dict(options), made, ctx.needs_input_grad, differentiable, writes, saves, line)
        )

    def _check_call(self, operation: Any, args: Any, options: dict[str, Any], tensors: Sequence[Tensor]) -> None:
        if SWITCHES.grad_enabled and not self._grad_enabled:
            self.give_up("its forward switches gradients on")
        if any(_hides_tensor(arg) for arg in (*args, *options.values()) if not isinstance(arg, Tensor)):
            self.give_up(f"{operation.__name__} is given an argument that may hold tensors")
        if any(tensor._device != self.place for tensor in tensors):
            self.give_up("its forward moves tensors to another device")
        if (now := _state_of_randomness()) != self._randomness:
            self._randomness = now
            if not any(hasattr(arg, "bit_generator") for arg in (*args, *options.values())):
                self.give_up("its forward draws random numbers outside the operations that it records")

    def _writes(self, leaf: Leaf) -> None:
        """An operation has written into ``leaf``."""
        leaf.dirty, leaf.writes = True, leaf.writes + 1
        if id(leaf.tensor) not in self._own:
            self.give_up("it writes into tensors that are not the model's own")

    def _overwrite(self, target: Tensor, after: Value, requires_grad: bool, written: Tensor) -> None:
        """``target`` has been overwritten with ``after``; ``written`` is on the same array."""
        before, array = self.value(target), target.array
        sharing = self._sharing.get(id(owner(array)), set())
        if isinstance(before, Leaf):
            self._writes(before)
            self.calls.append(
                Call(Write, (before, after), {}, (), (False, False), (), (before,), lines=((scope.path(), "Write"),))
            )
            if requires_grad:
                self.give_up("it writes on the tape into its own state")
            return
        if any(isinstance(self._arrays[other], (Input, Leaf)) for other in sharing):
            self.give_up("it writes into its input or into tensors that are not its own")
        elif after.dtype != target.dtype:
            self.give_up("it converts numbers by writing them into a tensor of another dtype")
        elif target.requires_grad and not SWITCHES.grad_enabled:
            self.give_up("it writes, beside the tape, into a tensor that requires grad")
        self._stale.update(other for other in sharing if other != id(array))
        self._know(written, after)
        for tensor in self._tensors_on[id(array)]:
            self._tensors[tensor] = after

    def seen(self, tensor: Tensor) -> None:
        """The numbers of ``tensor`` are read by other code."""
        value = self._tensors.get(id(tensor)) or self._arrays.get(id(tensor.array))
        if value is None or isinstance(value, Leaf):
            if value is not None and value.dirty:
                self.give_up("its forward reads numbers that it changes")
            self._watched[id(tensor)] = tensor, writes_into(tensor)
        else:
            self.give_up("its forward reads the numbers that it computes")

    def give_up(self, reason: str) -> None:
        """Stop recording. The first reason is kept."""
        self.reason = self.reason or reason

    # ---- values --------------------------------------------------------------------------------------------------

    def value(self, tensor: Tensor) -> Value:
        """The value in ``tensor`` now: a known one, or a leaf."""
        array = tensor.array
        if id(array) in self._stale:
            self.give_up("it reads a view of a tensor that was written in place after the view was taken")
        value = self._tensors.get(id(tensor)) or self._arrays.get(id(array))
        if value is None:
            tensor = self._owners.get(id(array), tensor)
            writes = self._own.get(id(tensor), writes_into(tensor))
            leaf = Leaf(tensor.shape, tensor.dtype, id(owner(array)), tensor, writes)
            self.leaves[id(array)] = value = leaf
            self._know(tensor, leaf)
        return value

    def _know(self, tensor: Tensor, value: Value) -> None:
        array = tensor.array
        self._kept += (tensor, array)
        self._tensors[id(tensor)] = self._arrays[id(array)] = value
        self._tensors_on.setdefault(id(array), []).append(id(tensor))
        self._sharing.setdefault(id(owner(array)), set()).add(id(array))

    def graph(self, returned: Any) -> Graph | None:
        """The recorded graph; ``None`` if it gave up."""
        try:
            result = mapped(self._returned, returned, Tensor)
        except TypeError as error:
            self.give_up(str(error))
            result = None
        if any(writes_into(leaf.tensor) != leaf.writes for leaf in self.leaves.values()):
            self.give_up("it writes into tensors that it has used before")
        if any(writes_into(tensor) != writes for tensor, writes in self._watched.values()):
            self.give_up("it reads numbers that it changes")
        watched = [(tensor, stamp(tensor)) for tensor, _ in self._watched.values()]
        if _state_of_randomness() != self._randomness:
            self.give_up("its forward draws random numbers outside the operations that it records")
        graph = Graph(self.inputs, list(self.leaves.values()), self.calls, result, watched)
        taped = any(r.requires_grad for r in graph.returned)
        if self.reason is None and taped and _share_memory(graph.returned):
            self.give_up("it returns two tensors on one memory")
        return graph if self.reason is None else None

    def _returned(self, tensor: Tensor) -> Returned:
        value = self.value(tensor)
        if isinstance(value, Leaf):
            itself = value.tensor is tensor
        else:
            itself = any(tensor is kept for kept in self._kept[: 2 * len(self.inputs)])
        return Returned(value, tensor.requires_grad, itself)


class Write:
    """``leaf = result``, in place: a write into the model's own state, as the plan computes it."""

    @staticmethod
    def forward(ctx: Any, target: Any, result: Any) -> tuple[()]:
        """Write the array ``result`` over ``target``."""
        target[...] = result
        return ()


def record(run: Callable[[], Any], inputs: Sequence[Tensor], own: Sequence[Tensor]) -> tuple[Any, Graph | None, str]:
    """Call ``run``, which calls the model: its result, its graph or None, and the reason if there is no graph."""
    recorder = Recorder(inputs, own)
    SWITCHES.recorder = recorder
    try:
        with _watching():
            returned = run()
        return returned, recorder.graph(returned), recorder.reason or ""
    finally:
        SWITCHES.recorder = None


# ---- noticing that numbers are read ----------------------------------------------------------------------------------

_lock = threading.Lock()
_recordings = 0


def _array(tensor: Tensor) -> Any:
    """``tensor.array`` during a recording: the recorder of this thread, if any, is informed of the reading."""
    if SWITCHES.recorder is not None:
        caller = sys._getframe(1)
        module, name = caller.f_globals.get("__name__"), caller.f_code.co_name
        if (module not in TAPE or name == "exposed_array") and not (
            module == __name__ or (module == "minicnn.ops.conversion" and name in SHAPES)
        ):
            SWITCHES.recorder.seen(tensor)
    return tensor.__dict__["array"]


def _set_array(tensor: Tensor, array: Any) -> None:
    tensor.__dict__["array"] = array


@contextmanager
def _watching() -> Iterator[None]:
    """Let ``Tensor.array``, through which all numbers are read, report until the last recording has ended."""
    global _recordings
    with _lock:
        _recordings += 1
        setattr(Tensor, "array", property(_array, _set_array))  # noqa: B010  (an attribute of instances, else)
    try:
        yield
    finally:
        with _lock:
            _recordings -= 1
            if not _recordings:
                delattr(Tensor, "array")


def stamp(tensor: Tensor) -> tuple[int, int, int, int]:
    """A value that differs once the numbers of ``tensor`` change, or its raw array is exposed to code that may change
    them.

    Two stamps may be compared while the array and the memory of the first are kept.
    """
    memory = memory_of(tensor)
    return id(tensor.array), id(memory), memory.writes, memory.exposed


def writes_into(tensor: Tensor) -> int:
    """How often the memory of ``tensor`` has been written into."""
    return memory_of(tensor).writes


def mapped(function: Callable[[Any], Any], structure: Any, kind: type) -> Any:
    """``structure`` with ``function`` applied to each ``kind`` in its tuples, lists and dictionaries.

    Raises:
        TypeError: for a structure of another type, in which tensors could not be found.
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


def _share_memory(returned: list[Returned]) -> bool:
    """Whether two of these tensors are different ones on the same memory."""
    different = {(id(r.value), r.requires_grad): r.value.memory for r in returned}
    return len(set(different.values())) < len(different)


PLAIN = (bool, int, float, complex, str, bytes, slice, type(None), type(...), type, np.dtype, np.generic, np.ndarray,
         device, np.random.Generator)  # fmt: skip


def _hides_tensor(argument: Any) -> bool:
    """Whether it is, or may hold, a tensor or another value that could change what an operation computes."""
    if isinstance(argument, dict):
        argument = tuple(argument.values())
    if isinstance(argument, (tuple, list, set)):
        return any(map(_hides_tensor, argument))
    return not isinstance(argument, PLAIN) and not hasattr(argument, "__cuda_array_interface__")


def _state_of_randomness() -> Any:
    return random.default_generator.get_state()
