"""Lesions (L2.2.5): what a trained network still knows with some of its blocks removed or reordered.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431, section 4.1: deleting one block, deleting several, shuffling.

In the unravelled view removing one of n blocks leaves 2^(n-1) of the 2^n paths as they were. Removing a layer of a
plain network cuts its only path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import no_grad
from minicnn.lecture.analyses.blocks import is_residual, replaced, shortcut
from minicnn.nn.summary import evaluating
from minicnn.tensor import Tensor


def without_branch(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """What stands in for a removed module.

    Returns:
        for a residual block ReLU(shortcut(x)), the block with F(x) = 0; for every other module x itself, which suits
        modules that keep their input's shape.
    """
    if is_residual(module):
        return partial(_no_residual, module)
    return nn.Identity()


@contextmanager
def removed(model: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """Inside this block the network runs without the named modules; see ``without_branch``.

    Raises:
        AttributeError: for a name that leads to no module.
    """
    modules = [model.get_submodule(name) for name in names]
    with replaced({module: without_branch(module) for module in modules}):
        yield


@contextmanager
def reordered(model: nn.Module, order: Mapping[str, str]) -> Iterator[None]:
    """Inside this block each module named as a key of ``order`` computes what the one named as its value did before.

    Their shapes must be the same, or the network raises a ShapeError when it runs. ``{"a": "b", "b": "a"}`` swaps two
    blocks, ``{}`` changes nothing.
    """
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


def error_rate(model: nn.Module, images: Tensor, targets: Tensor, batch_size: int = 256) -> float:
    """The share of wrong answers in per cent, in evaluation mode; the model is in its own mode afterwards.

    Args:
        model: (N, C, H, W) -> logits (N, classes).
        images: (N, C, H, W).
        targets: (N,) class indices.
        batch_size: how many images run at once.
    """
    wrong = 0
    with evaluating(model), no_grad():
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            answers = model(images[rows]).argmax(1).cpu().numpy()
            wrong += int((answers != targets[rows].cpu().numpy()).sum())
    return 100 * wrong / len(images)


def errors_without_each(model: nn.Module, names: Sequence[str], images: Tensor, targets: Tensor) -> np.ndarray:
    """The error in per cent after removing one module at a time: (names,)."""
    errors = []
    for name in names:
        with removed(model, [name]):
            errors.append(error_rate(model, images, targets))
    return np.array(errors)


def random_swaps(groups: Sequence[Sequence[str]], count: int, rng: np.random.Generator) -> dict[str, str]:
    """The order after ``count`` swaps of two random blocks of the same group.

    Args:
        groups: names of blocks that can stand for each other, such as those of one stage; at least one group has two.
        count: how many swaps, one after the other.
        rng: draws them; a pair of a group is as likely as a pair of another.

    Returns:
        an ``order`` for ``reordered`` over all names.
    """
    order = {name: name for group in groups for name in group}
    pairs = [(a, b) for group in groups for i, a in enumerate(group) for b in group[i + 1 :]]
    for pair in rng.integers(len(pairs), size=count):
        a, b = pairs[pair]
        order[a], order[b] = order[b], order[a]
    return order


def kendall_tau(order: Sequence[int]) -> float:
    """How much of the order is left (Kendall's rank correlation with 0, 1, ..., n - 1).

    Args:
        order: a permutation of n >= 2 numbers.

    Returns:
        the share of pairs in the right order less that of pairs in the wrong one: 1 untouched, -1 reversed.
    """
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
