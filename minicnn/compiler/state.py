"""What a plan depends on other than its input and the numbers in the model's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensors import Tensor

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
SIZED = frozenset({list, dict, set})
DICTIONARIES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")


@dataclass(eq=False)
class State:
    """A model at one moment.

    Attributes:
        marks: every module's settings, and which tensors it has, of which shape and dtype, with gradient or without.
            A recording made in one state is valid in every other with equal marks, whatever the tensors' numbers.
        hooked: whether there is a hook on a module.
        dicts: every module's dictionaries, and what was in them.
        sized: other collections of the modules, and their lengths.
        kept: the objects whose ids are among the marks, so that no other object gets the same id.
        tensors: the model's own; ``buffers`` are those of them that its operations may write into.
    """

    marks: list[Any]
    hooked: bool
    dicts: list[tuple[dict[str, Any], list[Any]]]
    sized: list[tuple[Any, int]]
    kept: list[Any]
    tensors: list[Tensor]
    buffers: list[Tensor]

    def __post_init__(self) -> None:
        self.key = tuple(self.marks)
        self.kinds = list(map(_kind, self.tensors))

    def holds(self) -> bool:
        """Whether nothing has changed since: quicker than computing the state again."""
        return (
            all(_content(members) == content for members, content in self.dicts)
            and all(len(collection) == length for collection, length in self.sized)
            and list(map(_kind, self.tensors)) == self.kinds
        )


def _content(members: dict[str, Any]) -> list[Any]:
    return [*members, *map(id, members.values())]


def _kind(tensor: Tensor) -> tuple[bool, tuple[int, ...], Any]:
    array = tensor.array
    return tensor._requires_grad, array.shape, array.dtype


def state_of(model: Module) -> State:
    """The state of ``model`` and everything below it; takes some microseconds per module."""
    marks: list[Any] = []
    kept: list[Any] = []
    tensors: list[Tensor] = []
    buffers: list[Tensor] = []
    dicts: list[tuple[dict[str, Any], list[Any]]] = []
    sized: list[tuple[Any, int]] = []
    hooked = False
    waiting, known = [model], {id(model)}
    while waiting:
        own = waiting.pop().__dict__
        if own["_forward_hooks"] or own["_forward_pre_hooks"]:
            hooked = True
        registries = [own[name] for name in DICTIONARIES]
        dicts += [(members, _content(members)) for members in (own, *registries)]
        kept += own.values()
        for value in own.values():  # the dictionaries of its members among them: another module has others
            kind = type(value)
            if kind in PLAIN:
                marks.append(value)
                continue
            marks.append(id(value))
            if kind in SIZED:
                marks.append(len(value))
                sized.append((value, len(value)))
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
        marks += (id(tensor), *_kind(tensor))
    return State(marks, hooked, dicts, sized, kept, tensors, buffers)
