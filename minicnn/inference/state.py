"""What a compiled model depends on besides its input, and how to notice quickly that it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
SIZED = frozenset({list, dict, set})


@dataclass(eq=False)
class State:
    """A model at one moment.

    ``marks``: every module's settings, and of every tensor which memory it has and how often that was written. Two
    states with equal marks compute the same. ``lent``: how often raw arrays of these tensors were given away, into
    which anybody may have written. ``training``: the path of a module in training mode; ``hooked``: whether there is a
    forward hook. ``arrays`` are the ids of the tensors' arrays.
    """

    marks: list[Any]
    lent: int
    training: str | None
    hooked: bool
    arrays: set[int]
    kept: list[Any]  # so that no id among the marks is given twice

    def equals(self, other: State) -> bool:
        """Whether a graph recorded in one holds in the other."""
        return self.lent == other.lent and self.marks == other.marks


def state_of(model: Module) -> State:
    """The state of ``model`` and everything below it, in some microseconds a module."""
    state = State([], 0, None, False, set(), [])
    waiting, known = [("", model)], {id(model)}
    while waiting:
        path, module = waiting.pop()
        own = module.__dict__
        if own["training"] and state.training is None:
            state.training = path
        state.hooked |= bool(own["_forward_hooks"] or own["_forward_pre_hooks"])
        for value in own.values():  # the dictionaries of its members among them: another module has others
            kind = type(value)
            if kind in PLAIN:
                state.marks.append(value)
                continue
            state.marks.append(id(value))
            state.kept.append(value)
            if kind in SIZED:
                state.marks.append(len(value))
            elif isinstance(value, Tensor):
                _mark(state, value)
        for members in (own["_parameters"], own["_buffers"]):
            for tensor in members.values():
                if tensor is not None:
                    _mark(state, tensor)
        for name, child in own["_modules"].items():
            if child is not None and id(child) not in known:
                known.add(id(child))
                waiting.append((f"{path}.{name}" if path else name, child))
    return state


def _mark(state: State, tensor: Tensor) -> None:
    array, version = tensor._array, tensor.version
    state.marks += (id(array), id(version), version.writes)
    state.kept += (array, version)
    state.lent += version.lent
    state.arrays.add(id(array))
