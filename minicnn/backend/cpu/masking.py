"""Zeros where a mask holds: the gradient of a ReLU and of whatever else switches numbers off."""

from __future__ import annotations

import numpy as np

from . import memory
from .pointwise import in_memory_order, memory_order
from .sharing import jobs, task


def masked(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """0 where ``mask`` (bool, of the shape of x) holds, x elsewhere; in memory like ``mask``."""
    order = memory_order(mask)
    flat = None if order is None else in_memory_order(mask, x)
    if order is None or flat is None:
        return np.where(mask, x.dtype.type(0), x)
    y = memory.empty(mask.transpose(order).shape, x.dtype)
    _masked(x.dtype, jobs(x.size), flat[0].view(np.uint8), flat[1], y.reshape(-1))
    return y.transpose(np.argsort(order))


@task("uint8[::1], T[::1], T[::1]")
def _masked(job, jobs, mask, x, y):
    first, last = job * y.size // jobs, (job + 1) * y.size // jobs
    off, some, out = mask[first:last], x[first:last], y[first:last]
    zero = x.dtype.type(0)
    for k in range(out.size):
        out[k] = zero if off[k] else some[k]
