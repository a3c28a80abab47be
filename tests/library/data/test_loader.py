"""The loader: every sample once, in an order that a resumed run repeats."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.data import ArrayDataset, DataError, DataLoader, Dataset
from tests.library.support.numbered_images import AUGMENTED, OneByOne, numbered, seeds


def numbers_in(batches: Any) -> list[list[int]]:
    return [images.numpy()[:, 0, 0, 0].astype(int).tolist() for images, _ in batches]


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
