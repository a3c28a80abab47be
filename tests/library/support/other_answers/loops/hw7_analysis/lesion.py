"""Homework 7, lesion.py: the holes, filled in another way."""

from contextlib import ExitStack

from minicnn import nn
from minicnn.lecture.analyses.blocks import is_residual, replaced, shortcut


def without_branch(module):
    def stand_in(x):
        if not is_residual(module):
            return x
        return nn.functional.relu(shortcut(module, x))  # a new tensor: x itself stays as it is

    return stand_in


def reordered(model, order):
    forwards = [(model.get_submodule(place), model.get_submodule(guest).forward) for place, guest in order.items()]
    with ExitStack() as stack:
        for module, forward in forwards:
            stack.enter_context(replaced({module: forward}))
        yield


def kendall_tau(order):
    right = wrong = 0
    for i in range(len(order)):
        for j in range(i):
            if order[j] < order[i]:
                right += 1
            else:
                wrong += 1
    return (right - wrong) / (right + wrong)
