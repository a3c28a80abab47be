"""The unravelled view (L2.2.5): a network of n residual blocks is a sum over 2^n paths of lengths 0 to n.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431: section 3 (paths), 4.2 (path lengths), 4.3 (gradient by path length).

In each block the signal passes either the residual branch or the shortcut: a path is n such choices, and its length is
the number of branches on it. For gradients this is exact: with the forward pass given, the gradients along all paths
add up to the whole gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from minicnn import nn
from minicnn.autograd import grad
from minicnn.models.resnet import residual_add
from minicnn.nn.functional import cross_entropy
from minicnn.tensors import Tensor
from minicnn.lecture.analyses.blocks import ResidualBlock, branch, replaced, residual_blocks, shortcut

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.lecture.analyses.unravel import Path


def path_counts(n: int) -> list[int]:
    """How many of the 2^n paths through n blocks have length 0, 1, ..., n.

    Returns:
        n + 1 exact integers, however large, which add up to 2^n.
    """
    raise NotImplementedError("hw7.3 path_counts: not written yet, see assignments/hw7_analysis/README.md")


def all_paths(n: int) -> list[Path]:
    """Every path through n blocks, in any order: 2^n tuples of n choices, ``True`` for the residual branch."""
    raise NotImplementedError("hw7.3 all_paths: not written yet, see assignments/hw7_analysis/README.md")


def common_lengths(n: int, share: float = 0.95) -> tuple[int, int]:
    """The range of lengths that most of the paths have.

    Args:
        n: number of blocks.
        share: of the paths, in (0, 1].

    Returns:
        The shortest and the longest length of the narrowest range n/2 - d ... n/2 + d (d from 0, or 1/2 for odd n, in
        steps of 1) that holds at least ``share`` of all paths. For 54 blocks and 95 % that is (20, 34) (Veit et al.
        read 19 to 35 off their figure).
    """
    raise NotImplementedError("hw7.3 common_lengths: not written yet, see assignments/hw7_analysis/README.md")


def one_way(block: ResidualBlock, x: Tensor, through_branch: bool) -> Tensor:
    """The output of the block for x, whose gradient goes back on only one of the two ways.

    Args:
        block: H(x) = ReLU(F(x) + shortcut(x)), with ``branch(block, x)`` for F(x) and ``shortcut(block, x)``.
        x: (N, C, H, W).
        through_branch: whether the gradient goes through the branch, or through the shortcut.

    Returns:
        (N, K, H/s, W/s), the same numbers as ``block(x)``. The last ReLU is on both ways. Branch and shortcut run
        once each, as in the block: in training mode its running statistics are updated as there.
    """
    # The forward pass is the block's own. What does .detach() do to a sum?
    raise NotImplementedError("hw7.4 one_way: not written yet, see assignments/hw7_analysis/README.md")


def path_gradient(model: nn.Module, images: Tensor, targets: Tensor, path: Sequence[bool]) -> np.ndarray:
    """The gradient of the cross-entropy that reaches the images along one path.

    Args:
        model: a network with residual blocks, used in its present mode. Its parameters' ``grad`` is not changed, and
            afterwards its blocks compute what they did before, also after an error.
        images: (N, C, H, W); they are not changed, and need not require a gradient.
        targets: (N,) class indices.
        path: for each of ``residual_blocks(model)``, whether the gradient goes through its branch.

    Returns:
        (N, C, H, W), an array in the dtype of the images. Summed over ``all_paths(n)`` it is the gradient of the whole
        network.

    Raises:
        ValueError: if the path does not have one choice per residual block of the network.
    """
    # replaced({block: forward, ...}) runs the network with other forwards for its blocks.
    raise NotImplementedError("hw7.4 path_gradient: not written yet, see assignments/hw7_analysis/README.md")


def share_by_length(n: int, magnitudes: Sequence[float] | np.ndarray) -> np.ndarray:
    """The share of the gradient that comes along the paths of each length: their number times the norm of one.

    Args:
        n: number of blocks.
        magnitudes: n + 1 mean gradient norms of single paths, for the lengths 0 ... n.

    Returns:
        (n + 1,) float64, shares that add up to 1.
    """
    raise NotImplementedError("hw7.5 share_by_length: not written yet, see assignments/hw7_analysis/README.md")


def effective_lengths(shares: Sequence[float] | np.ndarray, share: float = 0.95) -> tuple[int, int]:
    """The shortest range of path lengths that carries at least ``share`` of the gradient.

    Args:
        shares: for the lengths 0, 1, ..., as ``share_by_length`` gives them.
        share: in (0, 1].

    Returns:
        Its first and last length; of equally short ranges the one with the shorter paths. A sum that is smaller than
        ``share`` by no more than a rounding error (1e-12) is enough.
    """
    raise NotImplementedError("hw7.5 effective_lengths: not written yet, see assignments/hw7_analysis/README.md")
