"""Handles of hooks: functions that a tensor calls with its gradient, or a module around its forward."""

from __future__ import annotations

import itertools
from typing import Any

_keys = itertools.count()


class RemovableHandle:
    """What a ``register_..._hook`` returns. ``remove()``, or the end of its ``with`` block, removes the hook."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.key = next(_keys)
        hooks[self.key] = hook
        self._hooks = hooks

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        self._hooks.pop(self.key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()
