"""From a recorded graph to steps: fewer and larger ones, that go through memory less often.

    Conv2d -> FixedNorm             the norm is a line a channel: it goes into the filters and the bias
    Conv2d or FixedNorm -> Add      the other summand is added on the way out
    Conv2d or FixedNorm -> ReLU     the same

Each only where nobody else wants the value in between. Convolutions that feed one ``Cat`` could write into their part
of its result, once ``conv.run_sweep`` takes a step from pixel to pixel: that would be a rule for ``Cat`` here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..ops.activation import ReLU
from ..ops.arithmetic import Add
from ..ops.conv import Conv2d
from ..ops.normalization import FixedNorm
from .steps import Call, Convolution, Fused, Norm, Step
from .trace import Graph, Node, Value, mapped


def fuse(graph: Graph, primitives: Any) -> list[Step]:
    """The steps that compute ``graph.result`` with a backend's ``primitives``, in an order in which they can run."""
    return _Fusion(graph, primitives).steps()


def results(graph: Graph) -> list[Value]:
    """The values that the forward returned."""
    found: list[Value] = []
    mapped(found.append, graph.result, Value)
    return found


class _Fusion:
    """Goes through the nodes in their order. A step that takes over a later operation gets that one's output."""

    def __init__(self, graph: Graph, primitives: Any) -> None:
        self.primitives = primitives
        self.nodes, self.uses = _wanted(graph)
        self.makers: dict[Value, Fused] = {}  # of values that are wanted once: the step that may take that use over
        self.found: dict[Step, None] = {}  # an ordered set

    def steps(self) -> list[Step]:
        for node in self.nodes:
            rule = RULES.get(node.operation)
            if rule is None or not rule(self, node):
                outputs = tuple(value if self.uses[value] else None for value in node.outputs)
                self.found[Call(node, outputs, self.primitives)] = None
        return list(self.found)

    def convolution(self, node: Node) -> bool:
        x, weight, bias, *_ = node.args
        if not x.varies or not _all_constant(weight, bias) or not _one_dtype(node):
            return False
        self._enter(Convolution(node))
        return True

    def norm(self, node: Node) -> bool:
        x, *parts, _ = node.args
        if not x.varies or not _all_constant(*parts) or not _one_dtype(node):
            return False
        step = self.makers.get(x)
        if isinstance(step, Convolution) and step.residual is None and not step.relu:
            step.fold(node)
            self._take_over(step, node)
        else:
            self._enter(Norm(node, self.primitives))
        return True

    def add(self, node: Node) -> bool:
        """The later of two candidates takes the sum over: the other summand has been computed by then."""
        a, b = node.args
        if not isinstance(a, Value) or not isinstance(b, Value) or a.shape != b.shape or a.dtype != b.dtype:
            return False
        order = {step: place for place, step in enumerate(self.found)}
        makers = [(self.makers.get(summand), other) for summand, other in ((a, b), (b, a))]
        free = [(order[s], s, other) for s, other in makers if s is not None and s.residual is None and not s.relu]
        if not free:
            return False
        _, step, other = max(free, key=lambda candidate: candidate[0])
        step.add(other)
        self._take_over(step, node)
        del self.found[step]
        self.found[step] = None  # last: behind the step that computes the other summand
        return True

    def relu(self, node: Node) -> bool:
        step = self.makers.get(node.args[0])
        if step is None or step.relu:
            return False
        step.relu = True
        self._take_over(step, node)
        return True

    def _enter(self, step: Fused) -> None:
        self.found[step] = None
        self._offer(step)

    def _take_over(self, step: Fused, node: Node) -> None:
        del self.makers[step.output]
        step.take_over(node.outputs[0])
        self._offer(step)

    def _offer(self, step: Fused) -> None:
        if self.uses[step.output] == 1:
            self.makers[step.output] = step


RULES: dict[Any, Callable[[_Fusion, Node], bool]] = {
    Conv2d: _Fusion.convolution,
    FixedNorm: _Fusion.norm,
    Add: _Fusion.add,
    ReLU: _Fusion.relu,
}


def _wanted(graph: Graph) -> tuple[list[Node], Counter[Value]]:
    """The nodes that the result depends on, and how often each value is used, being returned counted in."""
    uses = Counter(results(graph))
    nodes = []
    for node in reversed(graph.nodes):
        if any(uses[value] for value in node.outputs):
            nodes.append(node)
            uses.update(arg for arg in node.args if isinstance(arg, Value))
    return nodes[::-1], uses


def _all_constant(*args: Any) -> bool:
    return all(arg is None or not arg.varies for arg in args)


def _one_dtype(node: Node) -> bool:
    """Whether nothing is converted on the way."""
    return len({value.dtype for value in (*node.args, *node.outputs) if isinstance(value, Value)}) == 1
