"""Questions about GPUs, under PyTorch's names."""

from __future__ import annotations

from . import backend
from .errors import DeviceError


def is_available() -> bool:
    """Whether tensors can be placed on ``"cuda"``; ``backend.load("cuda")`` says why not."""
    try:
        backend.load("cuda")
    except DeviceError:
        return False
    return True
