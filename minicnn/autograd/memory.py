"""The version of a piece of memory: how often it was written into.

A tensor and its views are on the same memory, so they share one ``Memory``. When an operation saves an array for its
backward, the tape notes the array's version, and backward raises an error for an array that was overwritten later.
"""

from __future__ import annotations

from typing import Any

from ..tensors import Tensor


class Memory:
    """The counters of one piece of memory."""

    def __init__(self, fresh: bool = False) -> None:
        self.writes = 0  # its version
        self.recorded = 0  # writes recorded on the tape: they make the history of older views invalid
        self.exposed = 0  # how often the raw array was given to outside code, which may write into it unnoticed
        self.of_leaf = False  # whether it is the memory of a leaf that requires grad
        self.fresh = fresh  # whether an operation made it and only one tensor is on it


def memory_of(tensor: Tensor) -> Memory:
    """The counters of the memory of ``tensor``, made at their first use."""
    if tensor.memory is None:
        tensor.memory = Memory()
    return tensor.memory


def share_memory(view: Tensor, tensor: Tensor) -> None:
    """Let ``view``, which is on the memory of ``tensor``, share its counters."""
    view.memory = memory_of(tensor)
    view.memory.fresh = False
    view.recorded_writes = view.memory.recorded


def owner(array: Any) -> Any:
    """The array that owns the memory of ``array``: two arrays with one owner may overlap."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def is_writable(array: Any) -> bool:
    """Whether ``array`` may be written, with a separate place in memory per element (false for a broadcast view)."""
    return getattr(array.flags, "writeable", True) and 0 not in array.strides
