"""The unravelled view (L2.2.5): a network of n residual blocks is a sum over 2^n paths of lengths 0 to n.

Paper  Veit, Wilber, Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
       arXiv:1605.06431: section 3 (paths), 4.2 (path lengths), 4.3 (gradient by path length).

In each block the signal passes either the residual branch or the shortcut: a path is n such choices, and its length is
the number of branches on it. For gradients this is exact: with the forward pass given, the gradients along all paths
add up to the whole gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from math import comb

import numpy as np

from ... import nn
from ...autograd import grad
from ...models.resnet import residual_add
from ...nn.functional import cross_entropy
from ...tensors import Tensor
from .blocks import ResidualBlock, branch, replaced, residual_blocks, shortcut

Path = tuple[bool, ...]  # for each block from the input on: does the path go through the residual branch?


def path_counts(n: int) -> list[int]:
    """How many of the 2^n paths through n blocks have length 0, 1, ..., n.

    Returns:
        n + 1 exact integers, however large, which add up to 2^n.
    """
    return [comb(n, length) for length in range(n + 1)]


def all_paths(n: int) -> list[Path]:
    """Every path through n blocks, in any order: 2^n tuples of n choices, ``True`` for the residual branch."""
    return list(product((False, True), repeat=n))


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
    counts = path_counts(n)
    for low in range(n // 2, 0, -1):
        if sum(counts[low : n - low + 1]) >= share * 2**n:
            return low, n - low
    return 0, n


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
    residual, identity = branch(block, x), shortcut(block, x)
    if through_branch:
        identity = identity.detach()
    else:
        residual = residual.detach()
    return block.relu(residual_add(residual, identity))


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
    blocks = list(residual_blocks(model).values())
    if len(path) != len(blocks):
        raise ValueError(f"the path has {len(path)} choices, but the network has {len(blocks)} residual blocks")
    x = images.detach().requires_grad_()
    forwards: dict[nn.Module, Callable[..., Tensor]] = {
        block: partial(one_way, block, through_branch=way) for block, way in zip(blocks, path, strict=True)
    }
    with replaced(forwards):
        loss = cross_entropy(model(x), targets)
    (reached,) = grad(loss, [x])
    assert reached is not None
    return reached.cpu().numpy()


def random_path(n: int, length: int, rng: np.random.Generator) -> Path:
    """A random path through n blocks; all paths of this length have the same probability."""
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
        batches: pairs of images (N, C, H, W) and targets (N,); on each, one random path of each length is measured.
        lengths: which to measure, each in 0 ... n.
        rng: draws the paths, for every batch one path per length in the order of ``lengths``.

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
    """The share of the gradient that comes along the paths of each length: their number times the norm of one.

    Args:
        n: number of blocks.
        magnitudes: n + 1 mean gradient norms of single paths, for the lengths 0 ... n.

    Returns:
        (n + 1,) float64, shares that add up to 1.
    """
    total = np.array(path_counts(n), float) * np.asarray(magnitudes, float)
    return total / total.sum()


def effective_lengths(shares: Sequence[float] | np.ndarray, share: float = 0.95) -> tuple[int, int]:
    """The shortest range of path lengths that carries at least ``share`` of the gradient.

    Args:
        shares: for the lengths 0, 1, ..., as ``share_by_length`` gives them.
        share: in (0, 1].

    Returns:
        Its first and last length; of equally short ranges the one with the shorter paths. A sum that is smaller than
        ``share`` by no more than a rounding error (1e-12) is enough.
    """
    count = len(shares)
    for width in range(1, count + 1):
        for first in range(count - width + 1):
            if np.sum(shares[first : first + width]) >= share - 1e-12:
                return first, first + width - 1
    return 0, count - 1
