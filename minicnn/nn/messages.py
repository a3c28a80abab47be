"""Texts of a module: its tree, the nearest name to a typo, and where a wrong shape came from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..autograd import scope
from ..errors import ShapeError
from ..tensors import Tensor

if TYPE_CHECKING:
    from .module import Module


class MissingAttributeError(AttributeError):
    """A module has no such attribute; the message suggests the nearest name.

    The search is done only when the message is read, because ``hasattr`` raises this error too and reads no message.
    """

    def __init__(self, module: Module, name: str) -> None:
        # With the object, Python would append its own suggestion to the traceback.
        super().__init__(f"{type(module).__name__!r} object has no attribute {name!r}", name=name, obj=None)
        self._module = module
        self._wanted = name

    def __str__(self) -> str:
        candidates = [name for name in dir(self._module) if name[0] != "_" or self._wanted[0] == "_"]
        nearest = difflib.get_close_matches(self._wanted, candidates, n=1)
        return super().__str__() + (f". Did you mean {nearest[0]!r}?" if nearest else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return AttributeError, (str(self),)


def tree_text(module: Module, children: list[str]) -> str:
    """The module's name around its ``extra_repr`` and the texts of its children, indented, one per line."""
    extra = module.extra_repr()
    name = type(module).__name__
    if not children and "\n" not in extra:
        return f"{name}({extra})"
    lines = [*(extra.split("\n") if extra else []), *children]
    return f"{name}(\n  " + "\n".join(lines).replace("\n", "\n  ") + "\n)"


def not_initialised(module: Module) -> str:
    name = type(module).__name__
    return f"{name}.__init__() must call super().__init__() before it assigns modules or is used"


def locate(error: ShapeError, inputs: Iterable[Any]) -> None:
    """Add to ``error`` which module is running, the shape of its input, and the module that computed it."""
    error.path = scope.path()
    tensor = next((value for value in inputs if isinstance(value, Tensor)), None)
    if tensor is None:
        return
    shape = str(tuple(tensor.shape))
    details = [f"from {source}"] if (source := _source(tensor)) else []
    if shape not in error.message:
        details.append(f"shape {shape}")
    if details:
        error.message += f" ({', '.join(details)})"


def _source(tensor: Tensor) -> str:
    """The name of the module that computed ``tensor``: its path below the running network, or its class."""
    module = tensor.producer() if tensor.producer is not None else None
    if module is None:
        return ""
    names = (name for name, other in scope.stack()[0].named_modules() if other is module)
    return next(names, "") or type(module).__name__
