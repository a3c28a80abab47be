"""Homework 4, residual.py: the holes, filled in another way."""

from minicnn.errors import ShapeError
from minicnn.ops.joining import stack


def residual_add(branch, shortcut):
    pair = [branch, shortcut]
    if len({tuple(x.shape) for x in pair}) > 1:
        raise ShapeError("branch and shortcut: " + " against ".join(str(x.shape) for x in pair))
    return stack(pair).sum(0)
