"""Data sets and their splits: one sample or a batch, subsets, seeded partitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.data import (
    ArrayDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_split,
    transforms,
)
from tests.library.support import peers
from tests.library.support.numbered_images import OneByOne, numbered, seeds


def test_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    dataset = numbered(6, transforms.Normalize([1.0], [2.0]))
    generator = np.random.default_rng(0)
    images, labels = dataset.batch(np.array([4, 1]), generator)
    image, label = dataset[4]
    np.testing.assert_array_equal(images[0].numpy(), image.numpy())
    assert (label, labels.numpy().tolist()) == (1, [1, 1])
    assert isinstance(label, int) and image.shape == (1, 4, 4)
    assert len(list(dataset)) == 6  # iterating stops at the end


def test_tensor_dataset_subset_and_concatenation() -> None:
    x, y = minicnn.arange(10).float(), np.arange(10) * 10
    dataset = TensorDataset(x, y)
    assert [value.item() for value in dataset[3]] == [3.0, 30]
    subset = Subset(dataset, [9, 2, 2])
    assert len(subset) == 3 and subset[1][0].item() == 2
    both = subset + dataset
    assert isinstance(both, ConcatDataset) and len(both) == 13
    assert [both[i][0].item() for i in (0, 2, 3, 12, -1)] == [9, 2, 0, 9, 9]
    batch = next(iter(DataLoader(both, 5)))
    assert batch[1].numpy().tolist() == [90, 20, 20, 0, 10]
    nested = Subset(Subset(dataset, [5, 6, 7]), [2, 0])
    assert nested.batch(np.array([0, 1]), np.random.default_rng(0))[0].numpy().tolist() == [7, 5]
    with pytest.raises(IndexError):
        both[13]
    with pytest.raises(IndexError):
        numbered(3)[3]


def test_augmentation_reaches_the_images_through_subsets_and_concatenations() -> None:
    dataset = OneByOne(6)
    wrapped = ConcatDataset([Subset(dataset, [4, 5]), dataset])
    one = wrapped.sample(1, np.random.default_rng(8))[0]
    np.testing.assert_array_equal(one, dataset.sample(5, np.random.default_rng(8))[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TensorDataset(np.zeros(3), np.zeros(4)), ValueError, r"\[3, 4\]"),
        (lambda: TensorDataset(), ValueError, r"\[\]"),
        (lambda: ConcatDataset([]), ValueError, "at least one"),
        (lambda: ArrayDataset(np.zeros((3, 1, 2, 2)), [0, 1]), ValueError, r"3 images, got \(2,\)"),
        (lambda: ArrayDataset(np.zeros((2, 1, 2, 2)), [0, 5], None, "ab"), ValueError, "0 to 1, got 0 to 5"),
        (lambda: len(Dataset()), NotImplementedError, "__len__"),
        (lambda: Dataset()[0], NotImplementedError, "__getitem__"),
    ],
)
def test_wrong_data_sets_are_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@given(count=st.integers(2, 60), cut=st.floats(0, 1), seed=seeds)
def test_random_splits_are_a_seeded_partition(count: int, cut: float, seed: int) -> None:
    sizes = [int(count * cut), count - int(count * cut)]
    for lengths in (sizes, [0.3, 0.5, 0.2]):
        parts = random_split(range(count), lengths, generator=seed)
        assert sorted(parts[0].indices.tolist() + [i for p in parts[1:] for i in p.indices]) == list(range(count))
        again = random_split(range(count), lengths, generator=minicnn.Generator(seed).numpy)
        assert all(np.array_equal(one.indices, other.indices) for one, other in zip(parts, again, strict=True))
    assert [len(part) for part in random_split(range(count), sizes)] == sizes


@pytest.mark.parametrize("lengths", [[0.1, 0.2, 0.7], [0.5, 0.5], [0.33, 0.33, 0.34]])
def test_split_shares_are_rounded_as_in_pytorch(lengths: list[float]) -> None:
    from_torch = peers.torch().utils.data.random_split
    for count in (7, 10, 11, 101):
        sizes = [len(part) for part in random_split(range(count), lengths, 0)]
        assert sizes == [len(part) for part in from_torch(range(count), lengths)]


@pytest.mark.parametrize("lengths", [[3, 4], [0.5, 0.6], [-1, 11], [2.5, 7.5]])
def test_lengths_that_do_not_add_up_are_refused(lengths: list[float]) -> None:
    with pytest.raises(ValueError, match="lengths must"):
        random_split(range(10), lengths)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    shares=st.sampled_from([[0.7, 0.1, 0.2], [0.9, 0.1], [0.5, 0.0, 0.5], [1.0]]),
    seed=seeds,
)
def test_stratified_parts_are_disjoint_complete_and_balanced(labels: list[int], shares: list[float], seed: int) -> None:
    parts = stratified_split(labels, shares, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, share in zip(parts, shares, strict=True):
        assert part.tolist() == sorted(part) and part.dtype == np.int64
        for label in set(labels):
            found = sum(labels[index] == label for index in part)
            assert abs(found - share * labels.count(label)) < 1
    for one, other in zip(parts, stratified_split(labels, shares, seed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_rounding_leaves_over_goes_to_the_largest_remainder() -> None:
    parts = stratified_split([0] * 3, [0.7, 0.1, 0.2])  # 2.1, 0.3 and 0.6 samples
    assert [len(part) for part in parts] == [2, 0, 1]
    assert [len(part) for part in stratified_split([0], [0.7, 0.1, 0.2])] == [1, 0, 0]


def test_another_seed_is_another_split_and_shares_must_add_up() -> None:
    labels = np.repeat(np.arange(4), 25)
    assert not np.array_equal(stratified_split(labels, [0.5, 0.5], 0)[0], stratified_split(labels, [0.5, 0.5], 1)[0])
    with pytest.raises(ValueError, match="add up to 1"):
        stratified_split(labels, [0.5, 0.6])
