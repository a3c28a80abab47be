"""Numbers that differ from step to step, in device memory: a captured step finds new ones there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

KEPT = 64


class Numbers:
    """Called with numbers and their dtype: an array (n,) of them on the GPU, which nobody may write into.

    Numbers that were asked for lately are not copied again.
    """

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.kept: OrderedDict[Any, Any] = OrderedDict()

    def __call__(self, values: Sequence[float], dtype: Any) -> Any:
        """The array; made on the current stream, and kept for that stream alone."""
        key = (self.cupy.cuda.get_current_stream(), np.dtype(dtype), tuple(values))
        array = self.kept.pop(key, None)
        if array is None:
            array = self.cupy.asarray(np.array(values, dtype))
        self.kept[key] = array
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return array
