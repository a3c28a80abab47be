"""Homework 4, residual.py: the holes, filled in another way."""

from minicnn.errors import ShapeError


def residual_add(branch, shortcut):
    same = branch.ndim == shortcut.ndim
    for axis in range(branch.ndim):
        same = same and branch.shape[axis] == shortcut.shape[axis]
    if not same:
        raise ShapeError(f"{branch.shape} and {shortcut.shape} cannot be added")
    return branch + shortcut
