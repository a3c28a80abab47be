"""Homework 7, unravel.py: the holes, filled in another way."""

import numpy as np

from minicnn.lecture.analyses.blocks import branch, replaced, residual_blocks, shortcut
from minicnn.nn.functional import cross_entropy
from minicnn.ops import residual_add


def path_counts(n):
    row = [1]
    for _ in range(n):  # Pascal's triangle
        row = [left + right for left, right in zip([0, *row], [*row, 0], strict=True)]
    return row


def all_paths(n):
    paths = []
    for number in range(2**n):
        paths.append(tuple(bool(number >> bit & 1) for bit in range(n)))
    return paths


def common_lengths(n, share):
    up_to = [0]  # how many paths are shorter than 0, 1, ...
    for count in path_counts(n):
        up_to.append(up_to[-1] + count)
    longest = (n + 1) // 2
    while up_to[longest + 1] - up_to[n - longest] < share * 2**n:
        longest += 1
    return n - longest, longest


def one_way(block, x, through_branch):
    apart = x.detach()
    through = branch(block, x if through_branch else apart)
    around = shortcut(block, apart if through_branch else x)
    return block.relu(residual_add(through, around))


def path_gradient(model, images, targets, path):
    blocks = list(residual_blocks(model).values())
    if len(blocks) != len(path):
        raise ValueError(f"{len(blocks)} blocks need as many choices, not {len(path)}")
    image = images.detach().clone().requires_grad_()

    def walk(place):
        """The loss with the blocks from this place on replaced, too."""
        if place == len(blocks):
            return cross_entropy(model(image), targets)
        block, way = blocks[place], bool(path[place])
        with replaced({block: lambda x: one_way(block, x, way)}):
            return walk(place + 1)

    walk(0).backward(inputs=[image])
    return image.grad.cpu().numpy()


def share_by_length(n, magnitudes):
    counts = path_counts(n)
    brought = [counts[i] * float(magnitudes[i]) for i in range(n + 1)]
    everything = sum(brought)
    return np.array([one / everything for one in brought])


def effective_lengths(shares, share):
    up_to = np.concatenate([[0.0], np.cumsum(np.asarray(shares, float))])
    ranges = [
        (last - first, first)
        for first in range(len(shares))
        for last in range(first, len(shares))
        if up_to[last + 1] - up_to[first] > share - 1e-9
    ]
    width, first = min(ranges)
    return first, first + width
