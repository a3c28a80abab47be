"""Backends, which compute: one object per kind of device, with the short list of primitives in ``base.Backend``.

``get(device)`` returns the backend of a device; ``use("reference")`` forces one for comparison. Operations
(``minicnn.ops``) need nothing else of a device, so a new device is one new folder here.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..devices import current, device
from .base import Backend


def _reference() -> Backend:
    from .reference import ReferenceBackend

    return ReferenceBackend()


def _cpu() -> Backend:
    if importlib.util.find_spec(f"{__name__}.cpu") is None:  # a student's edition, while its primitives are homework
        return _reference()
    from .cpu import CpuBackend

    return CpuBackend()


def _shapes() -> Backend:
    from .shapes import ShapesBackend

    return ShapesBackend()


def _cuda() -> Backend:
    from .cuda.device import CudaBackend

    return CudaBackend()


def __getattr__(name: str) -> Any:
    """The packages ``cpu`` and ``cuda``, which have switches, are imported at their first use."""
    if name in ("cpu", "cuda"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


LOADERS: dict[str, Callable[[], Backend]] = {"reference": _reference, "cpu": _cpu, "shapes": _shapes, "cuda": _cuda}
_loaded: dict[str, Backend] = {}


class _Active(threading.local):
    """Which backend serves a type of device, for each thread."""

    cpu, cuda = "cpu", "cuda"


_active = _Active()


def load(name: str) -> Backend:
    """The backend called ``name``, made on first use.

    Raises:
        ValueError: for a name that is not in ``LOADERS``.
        DeviceError: if its device does not exist here.
    """
    if name not in _loaded:
        if name not in LOADERS:
            raise ValueError(f"expected a backend among {sorted(LOADERS)}, got {name!r}")
        _loaded[name] = LOADERS[name]()
    return _loaded[name]


def get(place: str | device) -> Backend:
    """The backend that computes on ``place``; one serves all GPUs, and computes on ``place`` from here on.

    Raises:
        DeviceError: if that device does not exist here.
    """
    place = place if isinstance(place, device) else device(place)
    found: Any = load(getattr(_active, place.type))
    if place.type == "cuda":
        found.make_current(current.index if place.index is None else place.index)
    return found


@contextmanager
def use(name: str) -> Iterator[Backend]:
    """Compute with the backend ``name`` inside the block, in this thread, on the type of device it serves."""
    chosen = load(name)
    before = getattr(_active, chosen.device_type)
    setattr(_active, chosen.device_type, name)
    try:
        yield chosen
    finally:
        setattr(_active, chosen.device_type, before)


__all__ = ["Backend", "get", "load", "use"]
