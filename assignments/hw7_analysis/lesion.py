"""Lesions (L2.2.5): what a trained network can still do with some of its blocks removed or reordered.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431, section 4.1: deleting one block, deleting several, shuffling.

In the unravelled view removing one of n blocks leaves 2^(n-1) of the 2^n paths as they were. Removing a layer of a
plain network cuts its only path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.tensors import Tensor
from minicnn.lecture.analyses.blocks import is_residual, replaced, shortcut


def without_branch(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward that replaces a removed module's.

    Returns:
        for a residual block ReLU(shortcut(x)), the block with F(x) = 0, whose branch does not run; for every other
        module x itself, which suits modules that keep their input's shape. The module is not changed.
    """
    raise NotImplementedError("hw7.6 without_branch: not written yet, see assignments/hw7_analysis/README.md")


@contextmanager
def reordered(model: nn.Module, order: Mapping[str, str]) -> Iterator[None]:
    """Inside this block each module named as a key of ``order`` computes what the one named as its value did before.

    Their shapes must be the same, or the network raises a ShapeError when it runs. ``{"a": "b", "b": "a"}`` swaps two
    blocks, ``{}`` changes nothing. *Before* means when this block is entered: inside ``removed`` a removed module
    passes on its input in its new place too. Afterwards, also after an error, each computes again what it did before.

    Raises:
        AttributeError: for a name that is not a module's.
    """
    raise NotImplementedError("hw7.6 reordered: not written yet, see assignments/hw7_analysis/README.md")


def kendall_tau(order: Sequence[int]) -> float:
    """How much of the order is left (Kendall's rank correlation with 0, 1, ..., n - 1).

    Args:
        order: a permutation of 0, 1, ..., n - 1, with n >= 2. It is not changed.

    Returns:
        the share of pairs in the right order minus that of pairs in the wrong one: 1 unchanged, -1 reversed.
    """
    raise NotImplementedError("hw7.6 kendall_tau: not written yet, see assignments/hw7_analysis/README.md")
