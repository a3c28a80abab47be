"""What a compiled model depends on besides its input and the numbers in its tensors."""

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

    Attributes:
        marks: every module's settings, and which tensors it has, of which shape and dtype, with gradient or without.
            A recording made in one state holds in every other with equal marks, whatever the tensors' numbers.
        hooked: whether there is a hook on a module.
        kept: what the ids among the marks belong to, so that none of them is given twice.
        tensors: the model's own; ``buffers`` are those of them that its operations may write into.
    """

    marks: list[Any]
    hooked: bool
    kept: list[Any]
    tensors: list[Tensor]
    buffers: list[Tensor]


def state_of(model: Module) -> State:
    """The state of ``model`` and everything below it, in some microseconds a module."""
    marks: list[Any] = []
    kept: list[Any] = []
    tensors: list[Tensor] = []
    buffers: list[Tensor] = []
    hooked = False
    waiting, known = [model], {id(model)}
    while waiting:
        own = waiting.pop().__dict__
        if own["_forward_hooks"] or own["_forward_pre_hooks"]:
            hooked = True
        for value in own.values():  # the dictionaries of its members among them: another module has others
            kind = type(value)
            if kind in PLAIN:
                marks.append(value)
                continue
            marks.append(id(value))
            kept.append(value)
            if kind in SIZED:
                marks.append(len(value))
            elif isinstance(value, Tensor):
                tensors.append(value)
        tensors += own["_parameters"].values()
        buffers += own["_buffers"].values()
        for child in own["_modules"].values():
            if child is not None and id(child) not in known:
                known.add(id(child))
                waiting.append(child)
    buffers = [tensor for tensor in buffers if tensor is not None]
    tensors = [*(tensor for tensor in tensors if tensor is not None), *buffers]
    kept += tensors
    for tensor in tensors:
        array = tensor.array
        marks += (id(tensor), tensor._requires_grad, array.shape, array.dtype)
    return State(marks, hooked, kept, tensors, buffers)
