"""The unravelled view: paths are counted, drawn, and add up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import blocks, unravel
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.resnet import Bottleneck, ResNet
from minicnn.nn.functional import cross_entropy
from tests.library.support.residual_networks import batch, few, small_resnet


def input_gradient(model: nn.Module, images: minicnn.Tensor, targets: minicnn.Tensor) -> np.ndarray:
    x = images.detach().requires_grad_()
    cross_entropy(model(x), targets).backward()
    return x.grad.numpy()


@few
@given(st.integers(0, 60))
def test_path_counts_sum_to_two_to_the_n(n: int) -> None:
    counts = unravel.path_counts(n)
    assert len(counts) == n + 1 and sum(counts) == 2**n and counts == counts[::-1]


@pytest.mark.parametrize("n", range(6))
def test_path_counts_count_the_paths(n: int) -> None:
    paths = unravel.all_paths(n)
    assert sorted(paths) == sorted(set(paths)) and len(paths) == 2**n
    assert [sum(sum(path) == length for path in paths) for length in range(n + 1)] == unravel.path_counts(n)


@few
@given(st.integers(0, 60), st.floats(0.01, 1))
def test_common_lengths_hold_the_share_and_no_narrower_range_does(n: int, share: float) -> None:
    low, high = unravel.common_lengths(n, share)
    counts = unravel.path_counts(n)
    assert low + high == n and 0 <= low <= high
    assert sum(counts[low : high + 1]) >= share * 2**n
    assert low + 1 > high - 1 or sum(counts[low + 1 : high]) < share * 2**n


def test_common_lengths_of_54_blocks() -> None:
    assert unravel.common_lengths(54) == (20, 34)


@pytest.mark.parametrize(
    "model", [small_resnet(14), small_resnet(14).train(), ResNet(Bottleneck, (1, 1, 1, 1), 10).double()]
)
def test_the_gradients_of_all_paths_add_up_to_the_gradient(model: nn.Module) -> None:
    if isinstance(model, CifarResNet):
        images, targets = batch()
    else:
        images, targets = batch(2, 33, 3)
    total = sum(
        unravel.path_gradient(model, images, targets, p) for p in unravel.all_paths(len(blocks.residual_blocks(model)))
    )
    whole = input_gradient(model, images, targets)
    np.testing.assert_allclose(total, whole, rtol=1e-8, atol=1e-12 * np.abs(whole).max())


def test_the_path_of_length_zero_sees_the_shortcuts_only() -> None:
    model, (images, targets) = small_resnet(14), batch()
    short = unravel.path_gradient(model, images, targets, [False] * 6)
    long = unravel.path_gradient(model, images, targets, [True] * 6)
    for block in blocks.residual_blocks(model).values():
        block.conv1.weight.data = block.conv1.weight.data * 2  # batch norm in evaluation scales along
        block.bn1.running_mean.data = block.bn1.running_mean.data * 2
        block.bn1.running_var.data = block.bn1.running_var.data * 4
    again = unravel.path_gradient(model, images, targets, [False] * 6)
    np.testing.assert_allclose(again, short, rtol=1e-3)  # eps of the norms is not scaled
    assert np.linalg.norm(long - short) > 1e-3 * np.linalg.norm(long)


@pytest.mark.parametrize("through_branch", [False, True])
def test_one_way_gives_the_blocks_own_numbers(through_branch: bool) -> None:
    block = small_resnet(8).layer2[0]
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 16, 8, 8)))
    before = x.numpy().copy()
    np.testing.assert_array_equal(unravel.one_way(block, x, through_branch).detach().numpy(), block(x).detach().numpy())
    np.testing.assert_array_equal(x.numpy(), before)


def test_a_path_must_have_a_choice_for_every_block() -> None:
    with pytest.raises(ValueError, match="5 choices, but the network has 6 residual blocks"):
        unravel.path_gradient(small_resnet(14), *batch(), [True] * 5)


@few
@given(st.integers(1, 20), st.integers(0, 2**16))
def test_random_paths_have_their_length(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(n + 1))
    path = unravel.random_path(n, length, rng)
    assert len(path) == n and sum(path) == length


def test_random_paths_of_a_length_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = [unravel.random_path(4, 2, rng) for _ in range(1200)]
    counts = [drawn.count(path) for path in unravel.all_paths(4) if sum(path) == 2]
    assert sum(counts) == 1200 and min(counts) > 140  # expected: 200, with a deviation of 13


def test_gradient_by_length_is_the_norm_along_the_drawn_paths() -> None:
    model, batches, lengths = small_resnet(14), [batch(2), batch(3)], [0, 6, 3]
    norms = unravel.gradient_by_length(model, batches, lengths, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for column, (images, targets) in enumerate(batches):
        for row, length in enumerate(lengths):
            path = unravel.random_path(6, length, rng)
            wanted = np.linalg.norm(unravel.path_gradient(model, images, targets, path))
            assert norms[row, column] == pytest.approx(wanted)


def test_shares_weigh_a_path_by_how_many_there_are() -> None:
    np.testing.assert_allclose(unravel.share_by_length(3, [1, 1, 1, 1]), np.array([1, 3, 3, 1]) / 8)
    np.testing.assert_allclose(unravel.share_by_length(2, [4, 1, 0]), [4 / 6, 2 / 6, 0])


@few
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=12), st.floats(0.1, 1))
def test_effective_lengths_are_the_shortest_range(weights: list[float], share: float) -> None:
    shares = np.array(weights) / sum(weights)
    first, last = unravel.effective_lengths(shares, share)
    ranges = [
        (i, j) for i, j in product(range(len(shares)), repeat=2) if i <= j and shares[i : j + 1].sum() >= share - 1e-12
    ]
    assert (first, last) == min(ranges, key=lambda r: (r[1] - r[0], r[0]))
