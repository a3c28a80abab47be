"""Zeros where a mask holds: the gradient of a ReLU and of whatever else switches numbers off."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from . import memory
from .pointwise import in_memory_order, memory_order
from .sharing import Vector, jobs, part_of, task


def masked(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """0 where ``mask`` (bool, of the shape of x) holds, x elsewhere; in memory like ``mask``."""
    order = memory_order(mask)
    flat = None if order is None else in_memory_order(mask, x)
    if order is None or flat is None:
        return np.where(mask, x.dtype.type(0), x)
    y = memory.empty(mask.transpose(order).shape, x.dtype)
    _masked(x.dtype, jobs(x.size), _Masked(flat[0].view(np.uint8), flat[1], y.reshape(-1)))
    return y.transpose(np.argsort(order))


class _Masked(NamedTuple):
    """Flat arrays of one length."""

    mask: Annotated[np.ndarray, "uint8[::1]"]
    x: Vector
    y: Vector


@task(_Masked)
def _masked(job, jobs, flat):
    mask, x, y = part_of(job, jobs, flat.mask), part_of(job, jobs, flat.x), part_of(job, jobs, flat.y)
    zero = x.dtype.type(0)
    for k in range(y.size):
        y[k] = zero if mask[k] else x[k]
