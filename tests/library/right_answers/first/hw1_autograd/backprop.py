"""Backpropagation: in which order the nodes of the tape are visited, and what is carried from one to the next.

The page ``docs/autograd.md`` walks through one example, and through what goes wrong in another order (lecture lines
L1.2.1, L2.2.4). ``autograd.py`` says what happens at a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minicnn.autograd.function import Edge, Node
from minicnn.autograd.memory import is_writable

#: What happens at a node: from the node and the cotangents of its outputs to (edge, gradient, fresh), for each edge
#: along which there is a gradient to pass on. ``fresh`` is as in ``CotangentSums.add``.
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
    roots = list(roots)
    uses = users(roots)
    ready = [node for node in dict.fromkeys(roots) if uses[node] == 0]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for edge in filter(None, node.edges):
            uses[edge[0]] -= 1
            if uses[edge[0]] == 0:
                ready.append(edge[0])
    return order


def users(roots: list[Node]) -> dict[Node, int]:
    """Along how many edges each node at and below ``roots`` is reached."""
    uses = dict.fromkeys(roots, 0)
    unseen = list(uses)
    while unseen:
        for edge in filter(None, unseen.pop().edges):
            if edge[0] not in uses:
                uses[edge[0]] = 0
                unseen.append(edge[0])
            uses[edge[0]] += 1
    return uses


class CotangentSums:
    """The cotangents on their way: summed per node and output until the node's turn comes."""

    def __init__(self, order: Sequence[Node]) -> None:
        self._sums: dict[Node, dict[int, Any]] = {node: {} for node in order}
        self._fresh: set[Edge] = set()
        self.was_fresh = False

    def add(self, node: Node, index: int, gradient: Any, fresh: bool) -> None:
        """Add ``gradient`` to what has arrived at output ``index`` of ``node``, until ``take`` asks for the sum.

        Args:
            node: one that is not in the order of this walk is not on the way to a wanted gradient: nothing is kept.
            gradient: an array of the output's shape; the sum has its dtype.
            fresh: whether nobody else holds the memory of ``gradient``. If somebody does, it is never written into, and
                nor is an array that ``is_writable`` says no of.
        """
        # Nothing is ever written into: a sum is always a new array.
        if node in self._sums:
            earlier = self._sums[node].get(index)
            self._sums[node][index] = gradient if earlier is None else np.asarray(earlier + gradient)

    def only_waits_for(self, node: Node) -> bool:
        """Whether ``node`` is still to come and nothing has arrived there."""
        return self._sums.get(node) == {}

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
    done = 0
    while done < len(order):
        cotangents = arriving.take(order[done])
        if cotangents is not None:
            for edge, gradient, fresh in run(order[done], cotangents):
                arriving.add(edge[0], edge[1], gradient, fresh)
        done += 1
