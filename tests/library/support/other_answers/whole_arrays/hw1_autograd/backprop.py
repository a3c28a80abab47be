"""Homework 1, backprop.py: the holes, filled in another way."""

from collections.abc import Iterator

from minicnn.autograd.function import Edge, Node
from minicnn.autograd.memory import is_writable


def topological_order(roots):
    # Depth first: a node is finished after everything below it, so the order is the finished nodes, backwards.
    finished: list[Node] = []
    entered: set[Node] = set()
    path: list[tuple[Node, Iterator[Edge | None]]] = []
    for root in roots:
        if root not in entered:
            entered.add(root)
            path.append((root, iter(root.edges)))
        while path:
            node, edges = path[-1]
            below = next((edge[0] for edge in edges if edge is not None and edge[0] not in entered), None)
            if below is None:
                finished.append(node)
                path.pop()
            else:
                entered.add(below)
                path.append((below, iter(below.edges)))
    return finished[::-1]


class CotangentSums:
    def add(self, node, index, gradient, fresh):
        # Add into whichever of the two arrays is ours, and only if neither is into a copy.
        if node not in self._sums:
            return
        ours = fresh and is_writable(gradient)
        earlier = self._sums[node].get(index)
        if earlier is not None:
            if (node, index) in self._fresh:
                gradient, earlier = earlier, gradient
            elif not ours:
                gradient = gradient.copy()
            gradient += earlier
            ours = True
        self._sums[node][index] = gradient
        if ours:
            self._fresh.add((node, index))


def walk(order, arriving, run):
    for node in order:
        arrived = arriving.take(node)
        passed_on = [] if arrived is None else list(run(node, arrived))
        for edge, *gradient_and_fresh in passed_on:
            arriving.add(*edge, *gradient_and_fresh)
