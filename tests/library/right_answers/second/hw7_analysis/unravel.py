"""The unravelled view (L2.2.5): a network of n residual blocks is a sum over 2^n paths of lengths 0 to n.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431: section 3 (paths), 4.2 (path lengths), 4.3 (gradient by path length).

In each block the signal either passes the residual branch or the shortcut: a path is n such choices, and its length is
how often it chose the branch. Backwards that is exact: with the forward pass given, the gradients along all paths add
up to the whole gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from math import comb

import numpy as np

from minicnn import nn
from minicnn.autograd import grad
from minicnn.lecture.analyses.blocks import ResidualBlock, branch, replaced, residual_blocks, shortcut
from minicnn.nn.functional import cross_entropy
from minicnn.ops import residual_add
from minicnn.tensor import Tensor

Path = tuple[bool, ...]  # for each block from the input on: does the path go through the residual branch?


def path_counts(n: int) -> list[int]:
    """How many of the 2^n paths through n blocks have length 0, 1, ..., n.

    Returns:
        n + 1 exact integers, which add up to 2^n.
    """
    # The digits of (base + 1)^n are the binomial coefficients, if the base is large enough that nothing is carried.
    base = 2 ** (n + 1)
    power, counts = (base + 1) ** n, []
    for _ in range(n + 1):
        power, digit = divmod(power, base)
        counts.append(digit)
    return counts


def all_paths(n: int) -> list[Path]:
    """Every path through n blocks, in any order: 2^n tuples of n choices, ``True`` for the residual branch."""
    if n == 0:
        return [()]
    return [way + path for path in all_paths(n - 1) for way in ((True,), (False,))]  # one more block doubles them


def common_lengths(n: int, share: float = 0.95) -> tuple[int, int]:
    """Between which lengths the bulk of the paths lies.

    Args:
        n: number of blocks.
        share: of the paths, in (0, 1].

    Returns:
        The shortest and the longest length of the narrowest range n/2 - d ... n/2 + d (d from 0, or 1/2 for odd n, in
        steps of 1) that holds at least ``share`` of all paths. For 54 blocks and 95 % that is (20, 34) (Veit et al.
        read 19 to 35 off their figure).
    """
    counts = path_counts(n)
    first, last, inside = 0, n, sum(counts)
    while last - first >= 2 and inside - counts[first] - counts[last] >= share * sum(counts):
        inside -= counts[first] + counts[last]
        first, last = first + 1, last - 1
    return first, last


def one_way(block: ResidualBlock, x: Tensor, through_branch: bool) -> Tensor:
    """What the block gives for x, with a gradient that takes one of its two ways back.

    Args:
        block: H(x) = ReLU(F(x) + shortcut(x)), with ``branch(block, x)`` for F(x) and ``shortcut(block, x)``.
        x: (N, C, H, W).
        through_branch: whether the gradient goes through the branch, or through the shortcut.

    Returns:
        (N, K, H/s, W/s), the very numbers of ``block(x)``. The last ReLU lies on both ways.
    """
    ways = {True: branch(block, x), False: shortcut(block, x)}
    taken = ways[bool(through_branch)]
    values = residual_add(ways[True], ways[False]).detach()
    return block.relu(values + (taken - taken.detach()))  # adds zero, and has the gradient of the way that is taken


def path_gradient(model: nn.Module, images: Tensor, targets: Tensor, path: Sequence[bool]) -> np.ndarray:
    """The gradient of the cross-entropy that reaches the images along one path.

    Args:
        model: a network with residual blocks, used in the mode it is in.
        images: (N, C, H, W).
        targets: (N,) class indices.
        path: for each of ``residual_blocks(model)``, whether the gradient goes through its branch.

    Returns:
        (N, C, H, W). Summed over ``all_paths(n)`` it is the gradient of the whole network.

    Raises:
        ValueError: when the path has not as many choices as the network has blocks.
    """
    # The chain rule by hand: the tape is cut before and behind each block, and the pieces are gone through backwards.
    blocks = residual_blocks(model)
    if len(path) != len(blocks):
        raise ValueError("the path needs one choice for each block")
    start = images.detach().requires_grad_()
    pieces = [start]  # where a piece of the tape begins, and where it ends, in turns

    def cut(block, way):
        def forward(x):
            before = x.detach().requires_grad_()
            after = one_way(block, before, way)
            pieces.extend([x, before, after, after.detach().requires_grad_()])
            return pieces[-1]

        return forward

    with replaced({block: cut(block, way) for block, way in zip(blocks.values(), path, strict=True)}):
        pieces.append(cross_entropy(model(start), targets))
    cotangent = None
    while pieces:
        end, begin = pieces.pop(), pieces.pop()
        if end is not begin:
            (cotangent,) = grad(end, begin, cotangent)
    return cotangent.cpu().numpy()


def random_path(n: int, length: int, rng: np.random.Generator) -> Path:
    """A path through n blocks, each one of that length with the same probability."""
    chosen = set(rng.choice(n, length, replace=False).tolist())
    return tuple(block in chosen for block in range(n))


def gradient_by_length(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    lengths: Iterable[int],
    rng: np.random.Generator,
) -> np.ndarray:
    """How much gradient reaches the images along single paths of each length, sampled as the paper does.

    Args:
        model: a network with n residual blocks.
        batches: images (N, C, H, W) and targets (N,); on each a random path of each length is measured.
        lengths: which to measure, each in 0 ... n.
        rng: draws the paths, for every batch one path a length in the order of ``lengths``.

    Returns:
        (lengths, batches): the Euclidean norm of ``path_gradient``.
    """
    n, wanted = len(residual_blocks(model)), list(lengths)
    norms = []
    for batch in batches:
        gradients = (path_gradient(model, *batch, random_path(n, length, rng)) for length in wanted)
        norms.append([np.linalg.norm(gradient.astype(np.float64)) for gradient in gradients])  # squares below 1e-38
    return np.array(norms, float).reshape(-1, len(wanted)).T


def share_by_length(n: int, magnitudes: Sequence[float] | np.ndarray) -> np.ndarray:
    """Which share of the gradient comes along the paths of each length: their number times what one of them brings.

    Args:
        n: number of blocks.
        magnitudes: n + 1 mean gradient norms of single paths, for the lengths 0 ... n.

    Returns:
        (n + 1,) shares that add up to 1.
    """
    exact = [count * Fraction(float(norm)) for count, norm in zip(path_counts(n), magnitudes, strict=True)]
    return np.array([float(part / sum(exact)) for part in exact])


def effective_lengths(shares: Sequence[float] | np.ndarray, share: float = 0.95) -> tuple[int, int]:
    """The shortest range of path lengths that brings at least ``share`` of the gradient.

    Args:
        shares: for the lengths 0, 1, ..., as ``share_by_length`` gives them.
        share: in (0, 1].

    Returns:
        Its first and last length; of several ranges equally short the one of the shorter paths.
    """
    best = (0, len(shares) - 1)
    last, inside = -1, 0.0
    for first in range(len(shares)):  # a window that slides: its end never goes back
        while inside < share - 1e-9 and last + 1 < len(shares):
            last += 1
            inside += shares[last]
        if inside >= share - 1e-9 and last - first < best[1] - best[0]:
            best = (first, last)
        inside -= shares[first]
    return best
