"""Backpropagation: in which order the nodes of the tape are visited, and what is carried from one to the next.

The page ``docs/autograd.md`` walks through one example, and through what goes wrong in another order (lecture lines
L1.2.1, L2.2.4). ``backward.py`` says what happens at a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .function import Edge, Node
from .memory import is_writable

#: What happens at a node: from the node and the cotangents of its outputs to (edge, gradient, fresh), for each edge
#: along which a gradient is passed on. ``fresh`` is as in ``CotangentSums.add``.
Run = Callable[[Node, list[Any]], Iterable[tuple[Edge, Any, bool]]]


def topological_order(roots: Iterable[Node]) -> list[Node]:
    """Every node that ``roots`` depend on, each one after all nodes that use its outputs.

    In another order a node could run before all of its cotangents have arrived, and pass on a gradient that is too
    small (``docs/autograd.md`` shows a case in numbers). A chain of ten thousand operations is fine, and however many
    ways lead to a node, what is below it is looked at once.

    Args:
        roots: where the walk begins; one of them may depend on another, and one may be given twice. The nodes below a
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
        self._fresh: set[Edge] = set()  # the sums in memory that nobody else holds, which may be written into
        self.was_fresh = False

    def add(self, node: Node, index: int, gradient: Any, fresh: bool) -> None:
        """Add ``gradient`` to what has arrived at output ``index`` of ``node``, until ``take`` asks for the sum.

        Args:
            node: one that is not in the order of this walk is not on the way to a wanted gradient: nothing is kept.
            gradient: an array of the output's shape; the sum has its dtype.
            fresh: whether nobody else holds the memory of ``gradient``. If somebody does, it is never written into, and
                nor is an array that ``is_writable`` says no of.
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
        """The cotangents of all outputs of ``node`` (``None`` where nothing came), or ``None`` for none at all."""
        sums = self._sums.pop(node)
        self.was_fresh = (node, 0) in self._fresh
        if not sums:
            return None
        return [sums.get(index) for index in range(len(getattr(node, "output_specs", (0,))))]


def walk(order: Sequence[Node], arriving: CotangentSums, run: Run) -> None:
    """Run the nodes in turn, each once, with all that has arrived at it, and carry on what it passes on.

    Args:
        order: the nodes, each one after all nodes that use its outputs. It is not changed.
        arriving: holds the cotangents that the walk begins with, and collects those that the nodes pass on.
        run: what happens at a node. A node that nothing has arrived at is not run.
    """
    for node in order:
        cotangents = arriving.take(node)
        if cotangents is None:
            continue  # nothing that was differentiated reaches it
        for (below, index), gradient, fresh in run(node, cotangents):
            arriving.add(below, index, gradient, fresh)
