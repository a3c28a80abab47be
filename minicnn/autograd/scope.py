"""Which module is running now: a stack that lets an error or an anomaly say *where* it happened.

``nn.Module.__call__`` keeps it, and nothing else needs to::

    stack = scope.stack()
    stack.append(self)
    try:
        ...            # hooks and forward
    finally:
        stack.pop()

This costs almost nothing: the names are looked up only when ``path()`` is called.
"""

from __future__ import annotations

import threading
from typing import Any

_local = threading.local()


def stack() -> list[Any]:
    """The modules that are running in this thread, outermost first."""
    try:
        return _local.stack
    except AttributeError:
        _local.stack = []
        return _local.stack


def path() -> str:
    """The dotted path of the innermost running module, ``"ResNet.layer1.0.conv1"``; empty outside any module.

    Works for anything with ``named_modules()``. A module that is not registered in the module that calls it is shown by
    its class.
    """
    running = stack()
    if not running:
        return ""
    parts = [type(running[0]).__name__]
    for parent, child in zip(running, running[1:], strict=False):
        names = (name for name, module in parent.named_modules() if module is child)
        parts.append(next(names, f"<{type(child).__name__}>"))
    return ".".join(parts)
