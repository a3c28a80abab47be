"""Backpropagation: in which order the nodes of the tape are visited, and how cotangents are summed on the way.

``docs/autograd.md`` goes through an example, and shows what goes wrong in another order (lecture lines L1.2.1, L2.2.4).
``backward.py`` says what happens at a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minicnn.autograd.function import Edge, Node
from minicnn.autograd.memory import is_writable

#: What happens at a node: from the node and the cotangents of its outputs to (edge, gradient, fresh), for each edge
#: along which a gradient is passed on. ``fresh`` is as in ``CotangentSums.add``.
Run = Callable[[Node, list[Any]], Iterable[tuple[Edge, Any, bool]]]


def topological_order(roots: Iterable[Node]) -> list[Node]:
    """Every node that ``roots`` depend on, each one after all nodes that use its outputs.

    In another order a node could run before all of its cotangents have arrived, and pass on a gradient that is too
    small (``docs/autograd.md`` shows a case in numbers). A chain of ten thousand operations is fine, and the nodes
    below a node are visited once, however many paths lead to it.

    Args:
        roots: where the walk begins; a root may depend on another root, and may be given twice. The nodes below a
            node are those in its ``edges``, a sequence of (node, which of its outputs) or ``None``. Neither the nodes
            nor a list of roots are changed.

    Returns:
        the roots and all nodes below them, each once.
    """
    # A node is created after the nodes that made its inputs, always: the tape is defined by running. So newest first
    # is a topological order.
    found = set(roots)
    frontier = list(found)
    while frontier:
        for edge in frontier.pop().edges:
            if edge is not None and edge[0] not in found:
                found.add(edge[0])
                frontier.append(edge[0])
    return sorted(found, key=lambda node: node.created, reverse=True)


class CotangentSums:
    """The cotangents that have arrived so far, summed per node and output until the node's turn comes."""

    def __init__(self, order: Sequence[Node]) -> None:
        self._sums: dict[Node, dict[int, Any]] = {node: {} for node in order}
        self._fresh: set[Edge] = set()  # the sums in memory of their own, which may be written into
        self.was_fresh = False

    def add(self, node: Node, index: int, gradient: Any, fresh: bool) -> None:
        """Add ``gradient`` to the sum for output ``index`` of ``node``, which ``take`` returns.

        Args:
            node: if it is not in the order of this walk, no wanted gradient depends on it, and nothing is kept.
            gradient: an array of the output's shape; the sum has its dtype.
            fresh: whether nothing else refers to the memory of ``gradient``. If something does, or if ``is_writable``
                is false of the array, it is never written into.
        """
        sums = self._sums.get(node)
        if sums is None:
            return
        if index not in sums:
            sums[index] = gradient
            if fresh and is_writable(gradient):
                self._fresh.add((node, index))
        elif (node, index) in self._fresh:
            sums[index] += gradient
        else:
            sums[index] = sums[index].copy()
            sums[index] += gradient
            self._fresh.add((node, index))

    def take(self, node: Node) -> list[Any] | None:
        """The cotangents of all outputs of ``node``, ``None`` for an output without one; ``None`` if there are none."""
        sums = self._sums.pop(node)
        self.was_fresh = (node, 0) in self._fresh
        if not sums:
            return None
        return [sums.get(index) for index in range(len(getattr(node, "output_specs", (0,))))]


def walk(order: Sequence[Node], arriving: CotangentSums, run: Run) -> None:
    """Run each node once, in order, with the sums of its cotangents, and add the gradients that it passes on.

    Args:
        order: the nodes, each one after all nodes that use its outputs. It is not changed.
        arriving: holds the cotangents that the walk begins with, and sums those that the nodes pass on.
        run: what happens at a node. A node at which no cotangent has arrived is not run.
    """
    for node in order:
        cotangents = arriving.take(node)
        if cotangents is None:
            continue  # no root depends on it
        for (below, index), gradient, fresh in run(node, cotangents):
            arriving.add(below, index, gradient, fresh)
