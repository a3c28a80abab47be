"""Copies of arrays, on their own device and on another."""

from __future__ import annotations

from typing import Any

from ..devices import device
from . import get


def copied(array: Any, place: device) -> Any:
    """A copy of an array that lives on ``place``: CuPy copies to the current GPU."""
    get(place)
    return array.copy()


def moved(array: Any, source: device, target: device) -> Any:
    """A copy on ``target`` of an array that lives on ``source``, another device.

    Raises:
        DeviceError: if one of them does not exist here.
    """
    if source.type == target.type == "cuda":
        gpus: Any = get(target)
        return gpus.copied(array)
    on_host = get(source).to_host(array)
    return get(target).to_device(on_host)
