"""Homework 7, unravel.py: the holes, filled in another way."""

from fractions import Fraction

import numpy as np

from minicnn.autograd import grad
from minicnn.lecture.analyses.blocks import branch, replaced, residual_blocks, shortcut
from minicnn.nn.functional import cross_entropy
from minicnn.ops import residual_add


def path_counts(n):
    # The digits of (base + 1)^n are the binomial coefficients, if the base is large enough that nothing is carried.
    base = 2 ** (n + 1)
    power, counts = (base + 1) ** n, []
    for _ in range(n + 1):
        power, digit = divmod(power, base)
        counts.append(digit)
    return counts


def all_paths(n):
    if n == 0:
        return [()]
    return [way + path for path in all_paths(n - 1) for way in ((True,), (False,))]  # one more block doubles them


def common_lengths(n, share):
    counts = path_counts(n)
    first, last, inside = 0, n, sum(counts)
    while last - first >= 2 and inside - counts[first] - counts[last] >= share * sum(counts):
        inside -= counts[first] + counts[last]
        first, last = first + 1, last - 1
    return first, last


def one_way(block, x, through_branch):
    ways = {True: branch(block, x), False: shortcut(block, x)}
    taken = ways[bool(through_branch)]
    values = residual_add(ways[True], ways[False]).detach()
    return block.relu(values + (taken - taken.detach()))  # adds zero, and has the gradient of the way that is taken


def path_gradient(model, images, targets, path):
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


def share_by_length(n, magnitudes):
    exact = [count * Fraction(float(norm)) for count, norm in zip(path_counts(n), magnitudes, strict=True)]
    return np.array([float(part / sum(exact)) for part in exact])


def effective_lengths(shares, share):
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
