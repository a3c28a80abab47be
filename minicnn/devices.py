"""Where a tensor's numbers live: ``device("cpu")``, ``device("cuda:0")``, spelled as in PyTorch."""

from __future__ import annotations

import re
import threading
from typing import Any

DEVICE_TYPES = ("cpu", "cuda")


class device:  # noqa: N801  (PyTorch's name)
    """A device: a type and, for GPUs, an index. ``device("cuda:1")``, ``device("cuda", 1)`` and ``device("cpu")``.

    A number alone is a GPU's. Whether a device exists is checked only when a tensor is placed on it.

    Raises:
        ValueError: for a name that is not ``cpu``, ``cuda`` or ``cuda:N``, and an index that is no natural number.
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | int | device, index: int | None = None) -> None:
        if isinstance(type, int):
            type, index = f"cuda:{type}", None
        if isinstance(type, device):
            type = str(type) if index is None else type.type
        match = re.fullmatch(r"([a-z]+)(?::(\d+))?", type) if isinstance(type, str) else None
        if index is not None and (isinstance(index, bool) or not hasattr(index, "__index__") or index < 0):
            raise ValueError(f"expected the number of a device, 0 or more, got {index!r}")
        if match is None or match[1] not in DEVICE_TYPES or (match[2] and index is not None):
            raise ValueError(f"expected a device like 'cpu', 'cuda' or 'cuda:0' (there are no others), got {type!r}")
        self.type = match[1]
        self.index = int(match[2]) if match[2] else index

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = device(other)
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"


#: What names a device: ``"cuda:0"``, ``minicnn.device("cuda:0")``, or 0 for that GPU.
Place = str | int | device

CPU = device("cpu")


class _Current(threading.local):
    """Which GPU ``"cuda"`` means in this thread: see ``minicnn.cuda.set_device``."""

    index = 0


current = _Current()


def as_device(value: Any) -> device:
    """``value`` as a ``device``; the CPU is always the same object, and a GPU has its number, or the current one's."""
    place = value if isinstance(value, device) else device(value)
    if place.type == "cpu":
        return CPU
    return device(place.type, current.index) if place.index is None else place
