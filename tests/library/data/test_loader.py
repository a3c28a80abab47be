"""Data sets, splits, and the loader: every sample once, in an order that a resumed run repeats."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.data import (
    ArrayDataset,
    ConcatDataset,
    DataError,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    collate,
    random_split,
    stratified_split,
    transforms,
)
from tests.library.support import peers

seeds = st.integers(0, 2**31)


def numbered(count: int, transform: Any = None) -> ArrayDataset:
    """Images whose pixels all have the image's number, labelled by the number modulo 3."""
    numbers = np.arange(count, dtype=np.float32)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 1, 4, 4))
    return ArrayDataset(images, np.arange(count) % 3, transform)


def numbers_in(batches: Any) -> list[list[int]]:
    return [images.numpy()[:, 0, 0, 0].astype(int).tolist() for images, _ in batches]


# ---- the loader ----------------------------------------------------------------------------------------------


@given(
    count=st.integers(0, 40),
    batch_size=st.integers(1, 12),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
    workers=st.integers(0, 2),
    seed=seeds,
)
def test_an_epoch_shows_every_sample_once(
    count: int, batch_size: int, drop_last: bool, shuffle: bool, workers: int, seed: int
) -> None:
    loader = DataLoader(numbered(count), batch_size, shuffle, drop_last=drop_last, num_workers=workers, seed=seed)
    batches = list(loader)
    sizes = [len(labels) for _, labels in batches]
    shown = sum(numbers_in(batches), [])
    assert len(loader) == len(batches)
    assert all(size == batch_size for size in sizes[:-1]) and all(0 < size <= batch_size for size in sizes)
    left = count % batch_size
    if drop_last:
        assert len(shown) == count - left == len(set(shown)) and set(sizes) <= {batch_size}
    else:
        assert sorted(shown) == list(range(count))
        assert not left or sizes[-1] == left
    if not shuffle:
        assert shown == list(range(len(shown)))
    for images, labels in batches:
        assert images.dtype == "float32" and images.shape[1:] == (1, 4, 4) and labels.dtype == "int64"
        np.testing.assert_array_equal(labels.numpy(), images.numpy()[:, 0, 0, 0] % 3)


@given(seed=seeds, epoch=st.integers(0, 1000))
def test_the_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = DataLoader(numbered(30), 7, shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        return sum(numbers_in(loader), [])

    here = order(seed, epoch)
    minicnn.manual_seed(seed)
    assert here == order(seed, epoch)
    assert here != order(seed, epoch + 1)
    assert here != order(seed + 1, epoch)


AUGMENTED = transforms.Compose([transforms.RandomCrop(4, padding=2), transforms.RandomHorizontalFlip()])


class OneByOne(Dataset):
    """The same images without a fast path, each augmented for itself."""

    def __init__(self, count: int) -> None:
        self.images = np.random.default_rng(0).standard_normal((count, 1, 4, 4)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        return AUGMENTED(self.images[index], generator), index


def fast(count: int) -> ArrayDataset:
    return ArrayDataset(OneByOne(count).images, np.arange(count), AUGMENTED)


@pytest.mark.parametrize("make", [fast, OneByOne], ids=["arrays", "one by one"])
@given(seed=seeds, start=st.integers(0, 3), first_batch=st.integers(0, 5), workers=st.integers(0, 3))
def test_a_resumed_loader_goes_on_bit_identically(
    make: Callable[[int], Any], seed: int, start: int, first_batch: int, workers: int
) -> None:
    def batches(loader: DataLoader, epochs: int) -> list[np.ndarray]:
        return [images.numpy() for _ in range(epochs) for images, _ in loader]

    through = batches(DataLoader(make(23), 5, shuffle=True, seed=seed), 4)
    resumed = DataLoader(make(23), 5, shuffle=True, seed=seed, num_workers=workers)
    resumed.set_epoch(start, first_batch)
    rest = batches(resumed, 4 - start)
    expected = through[5 * start + first_batch :]
    assert len(rest) == len(expected)
    for one, other in zip(rest, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_augmentation_changes_from_batch_to_batch_and_epoch_to_epoch() -> None:
    same = ArrayDataset(np.repeat(OneByOne(1).images, 16, axis=0), np.zeros(16), AUGMENTED)
    loader = DataLoader(same, 8, seed=0)
    shown = [images.numpy() for _ in range(2) for images, _ in loader]
    for index, one in enumerate(shown):
        assert all(not np.array_equal(one, other) for other in shown[index + 1 :])


def test_augmentation_depends_on_the_seed() -> None:
    one, other = (next(iter(DataLoader(fast(16), 16, seed=seed)))[0].numpy() for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_each_iteration_is_the_next_epoch_also_after_a_break() -> None:
    def fresh() -> DataLoader:
        return DataLoader(numbered(20), 4, shuffle=True, seed=1)

    loader, reference = fresh(), fresh()
    next(iter(loader))
    reference.set_epoch(1)
    assert numbers_in(loader) == numbers_in(reference)
    assert loader.epoch == 2


def test_the_seed_comes_from_the_generator_or_the_default_stream() -> None:
    def order(**options: Any) -> list[list[int]]:
        return numbers_in(DataLoader(numbered(20), 20, shuffle=True, **options))

    minicnn.manual_seed(3)
    first = order()
    assert order() != first
    minicnn.manual_seed(3)
    assert order() == first
    assert order(generator=minicnn.Generator(4)) == order(generator=minicnn.Generator(4)) != first
    assert order(generator=np.random.default_rng(5)) == order(generator=5)


def test_a_sampler_gives_the_order() -> None:
    loader = DataLoader(numbered(10), 2, sampler=[7, 7, 0], seed=0)
    assert numbers_in(loader) == [[7, 7], [0]] and len(loader) == 2


def test_collate_fn_gets_the_samples() -> None:
    loader = DataLoader(numbered(5), 2, collate_fn=lambda samples: [int(image[0, 0, 0]) for image, _ in samples])
    assert list(loader) == [[0, 1], [2, 3], [4]]


def test_any_sequence_is_a_data_set() -> None:
    batches = list(DataLoader([(np.float32([i]), i) for i in range(3)], 2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(batches[0][0].numpy(), [[0], [1]])
    assert batches[1][1].numpy().tolist() == [2]


def test_threads_end_with_the_iteration_and_pass_errors_on() -> None:
    class Failing(Dataset):
        def __len__(self) -> int:
            return 50

        def __getitem__(self, index: int) -> int:
            if index == 7:
                raise DataError("image 7 is damaged")
            return index

    loader = DataLoader(Failing(), 2, num_workers=2, seed=0)
    shown = []
    with pytest.raises(DataError, match="image 7"):
        for batch in loader:
            shown += batch.numpy().tolist()
    assert shown == [0, 1, 2, 3, 4, 5]
    stopped = iter(DataLoader(numbered(50), 2, num_workers=2, seed=0))
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"`batch_size` \(=0\)"),
        ({"num_workers": -1}, r"`num_workers` \(=-1\)"),
        ({"seed": -1}, r"`seed` \(=-1\)"),
        ({"sampler": [0], "shuffle": True}, "`sampler`"),
    ],
)
def test_wrong_loaders_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(numbered(3), **options)
    with pytest.raises(ValueError, match=">= 0"):
        DataLoader(numbered(3)).set_epoch(-1)
    with pytest.raises(TypeError, match="str"):
        DataLoader(numbered(3), generator="random")  # type: ignore[arg-type]


# ---- batches of samples --------------------------------------------------------------------------------------


def test_collate_stacks_and_keeps_the_structure() -> None:
    sample = {"image": minicnn.ones(2, 3), "label": 4, "weight": 0.5, "known": True, "name": "a", "pair": (1, [2.0])}
    batch = collate([sample, sample, sample])
    assert batch["image"].shape == (3, 2, 3) and batch["image"].dtype == "float32"
    assert batch["label"].dtype == "int64" and batch["known"].dtype == "bool"
    assert batch["weight"].dtype == "float32"
    assert batch["name"] == ["a", "a", "a"]
    assert batch["pair"][0].shape == (3,) and batch["pair"][1][0].shape == (3,)
    assert collate([np.float64(1.0), 2.0]).dtype == minicnn.get_default_dtype()
    assert collate([np.zeros(2), np.ones(2)]).dtype == "float64"


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ValueError, "no samples"),
        ([np.zeros((3, 2, 2)), np.zeros((3, 4, 2))], ValueError, r"\(3, 2, 2\), \(3, 4, 2\)"),
        ([(1, 2), (1,)], ValueError, r"\[1, 2\]"),
        ([object()], TypeError, "object"),
    ],
)
def test_samples_that_make_no_batch_are_refused(samples: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        collate(samples)


# ---- data sets -----------------------------------------------------------------------------------------------


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


# ---- splits --------------------------------------------------------------------------------------------------


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
