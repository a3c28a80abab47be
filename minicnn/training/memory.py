"""How much memory a training needs at least, and whether the machine has that much."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from ..nn import Module
from ..nn.summary import FLOAT32_BYTES, summary

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # where Linux says what a container may use


def machine_bytes() -> float:
    """The memory of this machine or, if that is less, of the container; infinity if the system does not say."""
    found = [math.inf]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit: "max"
        found.append(int(CONTAINER_LIMIT.read_text()))
    return min(found)


class TooLarge(ValueError):
    """The machine's memory is too small for a training; the message says how much it needs, and how much there is."""


def require_memory(model: Module, input_shape: tuple[int, int, int], images: int) -> None:
    """Raise TooLarge if the machine cannot hold the outputs of all layers of a training step.

    Args:
        model: a network in host memory; it is not run, only its shapes are computed.
        input_shape: (C, H, W) of an image.
        images: per step.
    """
    there = machine_bytes()
    needed = images * FLOAT32_BYTES * math.prod(input_shape)
    if needed < there:  # else the shapes, too, may be beyond what can be counted
        needed += images * summary(model, input_shape).activation_bytes
    if needed > there:
        raise TooLarge(
            f"a step with {images} of them needs at least {needed / 1e9:,.0f} GB of memory, "
            f"and there are {there / 1e9:,.0f}"
        )
