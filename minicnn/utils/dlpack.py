"""Sharing memory with other libraries, where PyTorch has it: ``from minicnn.utils.dlpack import from_dlpack``."""

from __future__ import annotations

from typing import Any

from ..creation import from_dlpack
from ..tensors import Tensor


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule on the memory of ``tensor``, which one call of a ``from_dlpack`` uses up.

    New code passes the tensor itself: ``torch.from_dlpack(tensor)``.
    """
    return tensor.__dlpack__()


__all__ = ["from_dlpack", "to_dlpack"]
