"""How the tape is read: ``backward``, ``grad``, and what happens at each node on the way.

``function.py`` says what a node is and how an operation records one, ``backprop.py`` in which order they are visited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend.copies import copied
from ..errors import AutogradError
from ..tensors import Tensor
from . import checks
from .backprop import CotangentSums, topological_order, walk
from .function import AccumulateGrad, Edge, Function, Node, gradient_edge
from .memory import owner
from .modes import no_grad


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of ``tensors``, weighted by the cotangents ``grad_tensors``, to every leaf's ``.grad``.

    Args:
        grad_tensors: one per tensor, of its shape; may be left out for tensors of one element (then 1).
        retain_graph: keep what the operations saved, so that backward can run again.
        inputs: accumulate only into these tensors.

    Raises:
        AutogradError: for a tensor without a graph, a freed graph, an overwritten saved tensor, a missing cotangent.
    """
    wanted = None if inputs is None else checks.differentiable(checks.as_list(inputs), "inputs")
    captured = _run(checks.as_list(tensors), checks.as_list(grad_tensors), bool(retain_graph), create_graph, wanted)
    for tensor, gradient in zip(wanted or (), captured, strict=True):
        if gradient is not None:
            if tensor.grad_fn is not None:
                tensor.retain_grad()
            backend.get(tensor._device)
            AccumulateGrad(tensor).accumulate(gradient, fresh=False)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``: returned, and not added to any ``.grad``.

    Raises:
        AutogradError: as ``backward``; also for an input that the outputs do not depend on,
            unless ``allow_unused``, which gives ``None`` for it.
    """
    wanted = checks.differentiable(checks.as_list(inputs), "inputs")
    captured = _run(checks.as_list(outputs), checks.as_list(grad_outputs), bool(retain_graph), create_graph, wanted)
    for index, gradient in enumerate(captured):
        if gradient is None and not allow_unused:
            raise AutogradError(f"the outputs do not depend on inputs[{index}]: pass allow_unused=True to get None")
    return tuple(
        None if gradient is None else Tensor.wrap(copied(gradient, tensor._device), tensor._device)
        for tensor, gradient in zip(wanted, captured, strict=True)
    )


def _run(
    roots: list[Tensor], cotangents: list[Any], retain_graph: bool, create_graph: bool, wanted: list[Tensor] | None
) -> list[Any]:
    """Walk the graph; accumulate into the leaves, or with ``wanted`` return the gradients of those tensors."""
    if create_graph:
        raise AutogradError("create_graph=True: second derivatives are not recorded (backward runs on raw arrays)")
    checks.check_history("backward", checks.differentiable(roots, "tensors"))
    seeds = checks.seed_cotangents(roots, cotangents)
    edges = [gradient_edge(root) for root in roots]
    order = topological_order(node for node, _ in edges)
    targets = {gradient_edge(tensor): None for tensor in wanted} if wanted is not None else None
    last: set[Node] = set()  # requested nodes with no requested node below: only their cotangent is read
    if targets is not None:
        order, last = _leading_to({node for node, _ in targets}, order)
    for node in order:  # before anything is accumulated
        if node not in last and getattr(node, "freed", False):
            raise checks.freed(node)

    sums = CotangentSums(order)
    for (node, index), seed in zip(edges, seeds, strict=True):
        sums.add(node, index, seed, fresh=False)
    captured: dict[Edge, Any] = {}

    def run(node: Node, gradients: list[Any]) -> Iterator[tuple[Edge, Any, bool]]:
        backend.get(node.device)  # if it is a GPU, the current one from here on
        changed = _run_hooks(node, gradients)
        for index, gradient in enumerate(gradients):
            if targets is not None and (node, index) in targets:
                captured[node, index] = gradient
        if isinstance(node, AccumulateGrad):
            if targets is None:
                node.accumulate(gradients[0], fresh=not changed and sums.was_fresh)
        elif isinstance(node, Function) and node not in last:
            yield from _gradients_along_edges(node, gradients, retain_graph)

    with no_grad(), np.errstate(all="ignore"):
        walk(order, sums, run)
    return [captured.get(gradient_edge(tensor)) for tensor in wanted or ()]


def _gradients_along_edges(
    node: Function, cotangents: list[Any], retain_graph: bool
) -> Iterator[tuple[Edge, Any, bool]]:
    """Run ``node`` backwards: (edge, gradient, whether nothing else refers to the gradient's memory) for each edge."""
    others = [*cotangents, *node._saved]
    results = node.run_backward(cotangents, retain_graph)
    held = {id(owner(array)) for array in others if array is not None}
    memories = [id(owner(array)) for array in results if array is not None]
    held |= {memory for memory in memories if memories.count(memory) > 1}  # one array for several inputs
    for edge, gradient in zip(node.edges, results, strict=True):
        if edge is not None and gradient is not None:
            yield edge, gradient, id(owner(gradient)) not in held


def _run_hooks(node: Node, gradients: list[Any]) -> bool:
    """Run the hooks of ``node``'s outputs, which may replace entries of ``gradients``; whether there were any."""
    for index, hooks in node.hooks.items():
        for hook in list(hooks.values()):
            if gradients[index] is None:
                continue
            replacement = hook(Tensor.wrap(gradients[index], node.device))
            if replacement is not None:
                if replacement.shape != gradients[index].shape:
                    raise checks.hook_shape(node, replacement.shape, gradients[index].shape)
                gradients[index] = replacement.array
    for index, reference in node.retain.items():
        tensor = reference()
        if tensor is not None and gradients[index] is not None:
            AccumulateGrad(tensor).accumulate(gradients[index], fresh=False)
    return bool(node.hooks or node.retain)


def _leading_to(targets: set[Node], order: list[Node]) -> tuple[list[Node], set[Node]]:
    """The part of ``order`` from which some target can be reached, and those targets from which no other can."""
    leading, last = set(targets), set(targets)
    for node in reversed(order):  # oldest first, so that a node's inputs are decided before it
        if any(edge is not None and edge[0] in leading for edge in node.edges):
            leading.add(node)
            last.discard(node)
    return [node for node in order if node in leading], last
