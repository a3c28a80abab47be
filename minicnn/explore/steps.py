"""What a recording is made of: the steps of a forward, which are the nodes of its graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..nn import Module
from ..tensors import Tensor
from .source import Line

INPUT = -1  # in place of a step: the network's input


@dataclass(eq=False)
class Step:
    """One node of the graph.

    Attributes:
        module: the path of the layer, or of the module whose ``forward`` calls the function.
        inputs: the steps whose outputs it reads, ``INPUT`` for the network's.
        shape: of its first output, without the batch, as far as that is in front.
        batched: whether it is.
        parameters: how many numbers of the network it uses that no earlier step has used.
        multiply_adds: as the backend counts them; 0 on a backend that does not count.
        edge: the tape's node that made the first output, and which of that node's outputs it is.
    """

    id: int
    module: str
    kind: str
    inputs: list[int] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    batched: bool = False
    label: str = ""
    parameters: int = 0
    multiply_adds: int = 0
    line: Line | None = None
    edge: tuple[Any, int] | None = None
    layer: Module | None = None
    operations: list[Any] = field(default_factory=list, repr=False)  # their names and windows

    @property
    def likeness(self) -> tuple[Any, ...]:
        """What is the same in two runs in which the same has run."""
        return self.module, self.kind, self.inputs, self.shape


@dataclass
class Recording:
    """The steps in the order in which they ran; ``output`` is what the network returned, ``result`` its step.

    ``image`` is the input to which the tape leads.
    """

    steps: list[Step]
    image: Tensor
    output: Tensor
    result: int
    codes: dict[str, Counter[Any]]  # by module: the functions of it that call steps
