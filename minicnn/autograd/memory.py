"""The version of a piece of memory: how often it was written into.

A tensor and its views show the same memory, so they share one ``Memory``. When an operation saves an array for its
backward, the tape notes the array's version, and backward refuses an array that has been overwritten since.
"""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class Memory:
    """The counters of one piece of memory.

    ``writes`` is its version, the number of writes so far. ``recorded`` counts those of them that went on the tape:
    after one, an older view no longer knows how its values came about. ``of_leaf``: the memory is that of a leaf which
    requires grad. ``fresh``: an operation made it and one tensor shows it. ``exposed`` counts how often the raw array
    was given to code outside, which may write into it without notice.
    """

    __slots__ = ("exposed", "fresh", "of_leaf", "recorded", "writes")

    def __init__(self, fresh: bool = False) -> None:
        self.writes = self.recorded = self.exposed = 0
        self.of_leaf = False
        self.fresh = fresh


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
