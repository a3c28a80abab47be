"""Homework 7, lesion.py: the holes, filled in another way."""

from functools import partial

from minicnn import nn
from minicnn.lecture.analyses.blocks import is_residual, shortcut


def without_branch(module):
    if is_residual(module):
        return partial(_no_residual, module)
    return nn.Identity()


def reordered(model, order):
    # Not the forwards but the modules change places, in the registers of those that hold them.
    guests = {place: model.get_submodule(guest) for place, guest in order.items()}
    registers = {place: model.get_submodule(place.rpartition(".")[0])._modules for place in order}
    hosts = {place: model.get_submodule(place) for place in order}
    try:
        for place, register in registers.items():
            register[place.rpartition(".")[2]] = guests[place]
        yield
    finally:
        for place, register in registers.items():
            register[place.rpartition(".")[2]] = hosts[place]


def kendall_tau(order):
    pairs = len(order) * (len(order) - 1) / 2
    return 1 - 2 * _sort(list(order))[1] / pairs


def _no_residual(block, x):
    """F(x) = 0: the identity, where it is positive."""
    identity = shortcut(block, x)
    return identity * (identity > 0)


def _sort(numbers):
    """The numbers in order, and how many pairs stood in the wrong one (merge sort)."""
    if len(numbers) < 2:
        return numbers, 0
    middle = len(numbers) // 2
    (left, wrong_left), (right, wrong_right) = _sort(numbers[:middle]), _sort(numbers[middle:])
    merged, wrong = [], wrong_left + wrong_right
    while left and right:
        if right[0] < left[0]:
            wrong += len(left)  # it overtakes all that are left there
            merged.append(right.pop(0))
        else:
            merged.append(left.pop(0))
    return merged + left + right, wrong
