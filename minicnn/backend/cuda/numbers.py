"""Numbers that differ from step to step, in device memory: a captured step finds new ones there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import replay

KEPT = 64


class Numbers:
    """Called with numbers and their dtype: an array (n,) of them on the GPU, which nobody may write into.

    Numbers that were asked for lately are not copied again. While a graph is captured the array is its own, filled
    before each replay (see ``minicnn.replay``).
    """

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.kept: OrderedDict[Any, Any] = OrderedDict()

    def __call__(self, values: Sequence[float], dtype: Any) -> Any:
        """The array; made on the current GPU and stream, and kept for these alone."""
        script = replay.THREAD.script
        if script is not None:
            if script.action is None:
                return replay.again(partial(self, values, dtype))
            place = script.action.place(lambda: _Place(self.cupy, len(values), dtype))
            if not script.recording:
                place.fill(self.cupy, values)
            return place.array
        here = self.cupy.cuda.runtime.getDevice(), self.cupy.cuda.get_current_stream()
        key = (*here, np.dtype(dtype), tuple(values))
        array = self.kept.pop(key, None)
        if array is None:
            array = self.cupy.asarray(np.array(values, dtype))
        self.kept[key] = array
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return array


class _Place:
    """Where a graph reads its numbers.

    It is not in the memory of the graph, which is used again and again during one replay: the numbers are written there
    before the replay, and other kernels of it would write over them.
    """

    def __init__(self, cupy: Any, length: int, dtype: Any) -> None:
        with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):
            self.array = cupy.empty(length, dtype)
        self.values: tuple[float, ...] | None = None

    def fill(self, cupy: Any, values: Sequence[float]) -> None:
        """Copy the numbers there, unless they are there already."""
        if tuple(values) != self.values:
            self.values = tuple(values)
            self.array[...] = cupy.asarray(np.array(values, self.array.dtype))
