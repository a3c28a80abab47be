"""Rules."""

from __future__ import annotations

from typing import Any

from .record import Call, Graph


def fuse(graph: Graph, primitives: Any, differentiable: bool) -> list[Call]:
    """The calls that are needed."""
    return wanted(graph)


def wanted(graph: Graph) -> list[Call]:
    """The calls on which the result depends, or that write or draw."""
    needed = {r.value for r in graph.returned}
    found = []
    for call in reversed(graph.calls):
        random = any(hasattr(arg, "bit_generator") for arg in (*call.args, *call.options.values()))
        if call.writes or random or any(value in needed for value in call.outputs):
            found.append(call)
            needed.update(call.reads)
    return found[::-1]
