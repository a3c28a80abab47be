"""The parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

from ..tensors import Tensor


class Parameter(Tensor):
    """A leaf tensor that a ``Module`` registers when it is assigned as an attribute.

    Args:
        data: a tensor or array, which is not copied: writing into one changes the other.
        requires_grad: whether ``backward`` computes its gradient.
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
