"""Running the steps of a compiled model.

Every value is dropped after its last use, and the backend's pool gives its memory to the next: so a call needs little
more memory than the values that are wanted at the same time, and one in steady state asks the system for none.
All that belongs to a call is local to it; a plan may run in several threads at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor
from .fuse import fuse, results
from .steps import Convolution, Step
from .trace import Graph, Value, mapped

#: By a convolution's ``key``: its packed filters, and the arrays they were made of, which keeps the key true.
Packs = dict[tuple[Any, ...], tuple[Any, list[Any]]]


class Plan:
    """The steps for inputs of one shape and dtype. ``print`` it to see what has been joined with what.

    Args:
        packs: filters that other plans have packed; those of this one are added.
    """

    def __init__(self, graph: Graph, primitives: Any, packs: Packs) -> None:
        self.input, self.result = graph.input, graph.result
        self.steps = fuse(graph, primitives)
        self.done_with = _last_uses(self.steps, results(graph))
        for step in self.steps:
            if isinstance(step, Convolution):
                if step.key not in packs:
                    packs[step.key] = step.pack(), step.parts
                step.packed = packs[step.key][0]

    def __call__(self, x: np.ndarray) -> Any:
        """What the model returns for the raw array ``x``, in tensors."""
        arrays = {self.input: x}
        with np.errstate(all="ignore"):  # as in ``Function.apply``
            for step, values in zip(self.steps, self.done_with, strict=True):
                step.run(arrays)
                for value in values:
                    del arrays[value]
        # A constant is copied: the caller may write into what he gets.
        return mapped(lambda v: Tensor.wrap(arrays[v] if v.varies else v.constant.copy()), self.result, Value)

    def __str__(self) -> str:
        shown = ((step, " x ".join(map(str, value.shape))) for step in self.steps for value in step.outputs if value)
        return "\n".join(f"{step!s:<40} {shape}" for step, shape in shown)


def _last_uses(steps: list[Step], kept: list[Value]) -> list[list[Value]]:
    """For each step the values that nobody needs after it; those ``kept`` are needed to the end."""
    needed = set(kept)
    found: list[list[Value]] = []
    for step in reversed(steps):
        last = dict.fromkeys(value for value in step.inputs if value not in needed)
        needed.update(last)
        found.append(list(last))
    return found[::-1]
