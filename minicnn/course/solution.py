"""The solutions are the reference itself: modules under ``solutions/`` that re-export it, not copies."""

from __future__ import annotations

import importlib
from typing import Any


def reexport(module: str, namespace: dict[str, Any]) -> None:
    """Put all that a module of minicnn defines into ``namespace``, its private helpers too."""
    source = vars(importlib.import_module(module))
    namespace.update({name: value for name, value in source.items() if not name.startswith("__")})
