"""Operation -> the function that writes it as ONNX nodes. The modules beside this one fill the table, a family each.

A rule gets the ``Builder`` and the operation's own arguments: an ``Array`` for each tensor, all else as it was. It
returns the name of its result, or one name for each output. ``builder.step`` is the step that it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import Function
from .builder import Builder

RULES: dict[Any, Callable[..., Any]] = {}


def writes(*operations: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that enters a rule for ``operations``."""

    def enter(rule: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update(dict.fromkeys(operations, rule))
        return rule

    return enter


def one_node(kinds: dict[type[Function], str]) -> None:
    """Enter rules for operations that are one node each, of their tensors and numbers."""

    def rule(kind: str) -> Callable[..., Any]:
        return lambda b, *values: b.node(kind, *b.operands(*values))

    RULES.update({operation: rule(kind) for operation, kind in kinds.items()})


__all__ = ["RULES", "Builder", "one_node", "writes"]
