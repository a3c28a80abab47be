"""Leaves of the tape made of plain numbers, and their gradients as plain numbers."""

from __future__ import annotations

import numpy as np

import minicnn
from minicnn import Tensor


def tensor(values, dtype=np.float64, requires_grad=True):
    return minicnn.tensor(np.asarray(values, dtype=dtype), requires_grad=requires_grad)


def gradient_of(fn, *values):
    """The gradients of ``fn(*tensors).sum()``."""
    inputs = [tensor(value) for value in values]
    fn(*inputs).sum().backward()
    found = [x.grad.numpy().tolist() for x in inputs]
    return found[0] if len(found) == 1 else found


def leaf(*values: float) -> Tensor:
    return minicnn.tensor(list(values) if len(values) != 1 else values[0], dtype=minicnn.float64, requires_grad=True)
