"""Lesions (L2.2.5): what a trained network can still do with some of its blocks removed or reordered.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431, section 4.1: deleting one block, deleting several, shuffling.

In the unravelled view removing one of n blocks leaves 2^(n-1) of the 2^n paths as they were. Removing a layer of a
plain network cuts its only path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...nn.summary import evaluating
from ...tensors import Tensor
from .blocks import is_residual, replaced, shortcut


def without_branch(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward that replaces a removed module's.

    Returns:
        for a residual block ReLU(shortcut(x)), the block with F(x) = 0, whose branch does not run; for every other
        module x itself, which suits modules that keep their input's shape. The module is not changed.
    """
    if is_residual(module):
        return lambda x: module.relu(shortcut(module, x))
    return lambda x: x


@contextmanager
def removed(model: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """Inside this block the network runs without the named modules; see ``without_branch``.

    Raises:
        AttributeError: for a name that is not a module's.
    """
    modules = [model.get_submodule(name) for name in names]
    with replaced({module: without_branch(module) for module in modules}):
        yield


@contextmanager
def reordered(model: nn.Module, order: Mapping[str, str]) -> Iterator[None]:
    """Inside this block each module named as a key of ``order`` computes what the one named as its value did before.

    Their shapes must be the same, or the network raises a ShapeError when it runs. ``{"a": "b", "b": "a"}`` swaps two
    blocks, ``{}`` changes nothing. *Before* means when this block is entered: inside ``removed`` a removed module
    passes on its input in its new place too. Afterwards, also after an error, each computes again what it did before.

    Raises:
        AttributeError: for a name that is not a module's.
    """
    forwards: dict[nn.Module, Callable[..., Any]] = {
        model.get_submodule(place): model.get_submodule(guest).forward for place, guest in order.items()
    }
    with replaced(forwards):
        yield


def error_rate(model: nn.Module, images: Tensor, targets: Tensor, batch_size: int = 256) -> float:
    """The share of wrong answers in per cent, in evaluation mode; afterwards the model is in its old mode again.

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
        groups: names of blocks that can replace each other, such as those of one stage; at least one group has two.
        count: how many swaps, one after the other.
        rng: draws them; all pairs, of whatever group, are equally likely.

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
        order: a permutation of 0, 1, ..., n - 1, with n >= 2. It is not changed.

    Returns:
        the share of pairs in the right order minus that of pairs in the wrong one: 1 unchanged, -1 reversed.
    """
    ranks = np.asarray(order)
    above, below = np.triu_indices(len(ranks), 1)
    return float(np.sign(ranks[below] - ranks[above]).mean())
