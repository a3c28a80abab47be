"""The version of a piece of memory: how often it was written into.

A tensor and its views show the same memory, so they share one ``Memory``. When an operation saves an array for its
backward, the tape notes the array's version, and backward refuses an array that has been overwritten since.
"""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class Memory:
    """The counters of one piece of memory."""

    def __init__(self, fresh: bool = False) -> None:
        self.writes = 0  # its version
        self.recorded = 0  # writes that went on the tape, after which an older view does not know its own history
        self.exposed = 0  # how often the raw array was given to code outside, which may write without notice
        self.of_leaf = False  # whether it is the memory of a leaf that requires grad
        self.fresh = fresh  # whether an operation made it and only one tensor shows it


def memory_of(tensor: Tensor) -> Memory:
    """The counters of the memory that ``tensor`` shows, made when first asked for."""
    if tensor.memory is None:
        tensor.memory = Memory()
    return tensor.memory


def share_memory(view: Tensor, tensor: Tensor) -> None:
    """Let ``view``, which shows the memory of ``tensor``, share its counters."""
    view.memory = memory_of(tensor)
    view.memory.fresh = False
    view.recorded_writes = view.memory.recorded


def owner(array: Any) -> Any:
    """The array whose memory ``array`` shows: two arrays with one owner may overlap."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def is_writable(array: Any) -> bool:
    """Whether each element has its own place in memory that may be written (false for a broadcast view)."""
    return getattr(array.flags, "writeable", True) and 0 not in array.strides
