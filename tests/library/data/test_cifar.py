"""CIFAR files: read as they were written, and one clear error where they are broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import CIFAR10, CIFAR100, DataError, DataLoader, open_data
from minicnn.data.cifar import StackedArrays
from tests.library.support.published_files import pack, python2_batch, write_cifar10_python

IMAGE = 3 * 32 * 32


def cifar_records(count: int, classes: int, label_bytes: int, seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = rng.permutation(np.arange(count) % classes).astype(np.uint8)
    coarse = np.full((count, label_bytes - 1), 99 // 5, np.uint8)
    return np.concatenate([coarse, labels[:, None], images.reshape(count, -1)], axis=1).tobytes(), images, labels


def write_cifar10(folder: Path, per_file: int = 20) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [], []
    for number in range(1, 7):
        content, some_images, some_labels = cifar_records(per_file + number, 10, 1, number)
        name = f"data_batch_{number}.bin" if number < 6 else "test_batch.bin"
        (folder / name).write_bytes(content)
        if number < 6:
            images.append(some_images)
            labels.append(some_labels)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_is_read_as_it_was_written(tmp_path: Path, inside: str) -> None:
    images, labels = write_cifar10(tmp_path / inside)
    dataset = CIFAR10(tmp_path)
    assert len(dataset) == len(images) == 115 and len(CIFAR10(tmp_path, train=False)) == 26
    np.testing.assert_array_equal(dataset.labels, labels)
    order = np.random.default_rng(0).permutation(115)
    batch, targets = dataset.batch(order, np.random.default_rng(0))
    assert batch.dtype == "uint8"
    np.testing.assert_array_equal(batch.numpy(), images[order])
    np.testing.assert_array_equal(targets.numpy(), labels[order])
    image, label = dataset[50]
    np.testing.assert_array_equal(image.numpy(), images[50])
    assert dataset.classes[label] == dataset.classes[labels[50]] and dataset.classes[3] == "cat"
    assert all(isinstance(part.base, np.memmap) or isinstance(part, np.memmap) for part in dataset.images.parts)


def test_cifar100_has_fine_labels_after_the_coarse_ones(tmp_path: Path) -> None:
    expected = {}
    for seed, name in enumerate(("train", "test")):
        content, images, labels = cifar_records(210, 100, 2, seed)
        (tmp_path / f"{name}.bin").write_bytes(content)
        expected[name] = images, labels
    for name, (images, labels) in expected.items():
        dataset = CIFAR100(tmp_path, train=name == "train")
        np.testing.assert_array_equal(dataset.labels, labels)
        np.testing.assert_array_equal(dataset[7][0].numpy(), images[7])
    assert len(set(dataset.classes)) == 100 and list(dataset.classes) == sorted(dataset.classes)


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_stacked_arrays_are_indexed_like_one(sizes: list[int], data: Any) -> None:
    whole = np.arange(2 * sum(sizes)).reshape(-1, 2)
    stacked = StackedArrays(np.split(whole, np.cumsum(sizes)[:-1]))
    total = len(whole)
    indices = np.array(data.draw(st.lists(st.integers(-total, total - 1), max_size=12)), dtype=np.int64)
    assert len(stacked) == total
    np.testing.assert_array_equal(stacked[indices], whole[indices])
    with pytest.raises(IndexError):
        stacked[np.array([total])]


def test_cifar_for_training(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    source = open_data(f"cifar10:{tmp_path}", seed=1)
    assert len(source.train) + len(source.validation) == 115 and len(source.test) == 26
    assert not set(source.train.indices) & set(source.validation.indices)  # type: ignore[attr-defined]
    shares = np.bincount(source.validation.labels) / np.bincount(CIFAR10(tmp_path).labels)  # type: ignore[attr-defined]
    assert shares.min() > 0.05 and shares.max() < 0.15
    image, label = source.validation[0]
    raw = CIFAR10(tmp_path)[int(source.validation.indices[0])][0].numpy()  # type: ignore[attr-defined]
    mean, std = np.array(source.mean), np.array(source.std)
    np.testing.assert_allclose(
        image.numpy(), (raw / 255 - mean[:, None, None]) / std[:, None, None], rtol=1e-4, atol=1e-5
    )
    assert image.shape == source.input_shape == (3, 32, 32) and source.num_classes == 10
    shown = [next(iter(DataLoader(part, 9, seed=0)))[0].numpy() for part in (source.train, source.test)]
    assert all(batch.dtype == np.float32 for batch in shown)
    assert open_data(f"cifar10:{tmp_path}", augment=False).augmentation is None
    larger = open_data(f"cifar10:{tmp_path}", image_size=40)
    assert larger.train[0][0].shape == larger.test[0][0].shape == (3, 40, 40)


def test_only_training_images_are_augmented(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    source = open_data(f"cifar10:{tmp_path}")
    for part, changes in ((source.train, True), (source.validation, False), (source.test, False)):
        loader = DataLoader(part, 10, seed=0)
        first, second = (next(iter(loader))[0].numpy() for _ in range(2))
        assert np.array_equal(first, second) != changes


def check_python_version(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    dataset = CIFAR10(path)
    assert len(dataset) == 100 and len(CIFAR10(path, train=False)) == 20
    order = np.random.default_rng(0).permutation(100)
    batch, targets = dataset.batch(order, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.numpy(), images[order])
    np.testing.assert_array_equal(targets.numpy(), labels[order])
    assert dataset.classes[3] == "cat"


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_the_python_version_is_read_as_it_was_written(tmp_path: Path, inside: str) -> None:
    check_python_version(tmp_path, *write_cifar10_python(tmp_path / inside))


def test_archives_are_read_as_they_were_downloaded(tmp_path: Path) -> None:
    images, labels = write_cifar10_python(tmp_path / "cifar-10-batches-py")
    archive = pack(tmp_path / "cifar-10-batches-py", tmp_path / "cifar-10-python.tar.gz")
    shutil.rmtree(tmp_path / "cifar-10-batches-py")
    for path in (archive, tmp_path):
        check_python_version(path, images, labels)
    binary, numbers = write_cifar10(tmp_path / "b" / "cifar-10-batches-bin")
    dataset = CIFAR10(pack(tmp_path / "b", tmp_path / "mine.tgz"))
    np.testing.assert_array_equal(dataset.images[np.arange(115)], binary)
    np.testing.assert_array_equal(dataset.labels, numbers)


def test_an_archive_without_the_files_is_named(tmp_path: Path) -> None:
    write_cifar10_python(tmp_path / "ten")
    (tmp_path / "ten" / "data_batch_4").unlink()
    archive = pack(tmp_path / "ten", tmp_path / "some.tar.gz")
    with pytest.raises(DataError, match=r"CIFAR-10: the archive '.*some\.tar\.gz' lacks data_batch_4"):
        CIFAR10(archive)
    with pytest.raises(DataError, match=r"CIFAR-100: there are none of its files in the archive '.*some\.tar\.gz'"):
        CIFAR100(archive)


def test_the_python_version_of_cifar100_has_fine_labels(tmp_path: Path) -> None:
    labels = np.arange(40) + 60
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(python2_batch(images, labels, "fine_labels"))
    dataset = CIFAR100(tmp_path)
    np.testing.assert_array_equal(dataset.labels, labels)
    np.testing.assert_array_equal(dataset.images[np.arange(40)], images)


def test_the_python_version_trains(tmp_path: Path) -> None:
    write_cifar10_python(tmp_path)
    source = open_data(f"cifar10:{tmp_path}")
    assert len(source.train) + len(source.validation) == 100 and source.test[3][1] == 3


def cut(folder: Path, name: str, size: int) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:size])


def relabel(folder: Path, name: str, label: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[2 * (IMAGE + 1)] = label
    (folder / name).write_bytes(bytes(content))


BROKEN_CIFAR: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a byte short": (lambda f: cut(f, "data_batch_2.bin", 3 * 3073 - 1), "data_batch_2.bin.*9218 bytes.*3073"),
    "empty": (lambda f: cut(f, "test_batch.bin", 0), "test_batch.bin.* 0 bytes"),
    "a label of 10": (lambda f: relabel(f, "data_batch_5.bin", 10), "record 2 has label 10, expected 0 to 9"),
    "text": (lambda f: (f / "data_batch_1.bin").write_text("<html>404</html>"), "data_batch_1.bin.*16 bytes"),
    "one missing": (
        lambda f: (f / "data_batch_3.bin").unlink(),
        r"lacks data_batch_3.bin of the binary version \(found data_batch_1",
    ),
    "a folder": (
        lambda f: ((f / "test_batch.bin").unlink(), (f / "test_batch.bin").mkdir()),
        "test_batch.bin",
    ),
}


@pytest.mark.parametrize("case", BROKEN_CIFAR)
def test_broken_cifar_is_one_clear_error(tmp_path: Path, case: str) -> None:
    write_cifar10(tmp_path)
    damage, message = BROKEN_CIFAR[case]
    damage(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"cifar10:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_wrong_cifar_folders_say_what_is_there(tmp_path: Path) -> None:
    expected = r"has none of its files: expected data_batch_1.bin .*data_batch_1 .*cifar-10-python.tar.gz \(found "
    with pytest.raises(DataError, match=expected + "nothing"):
        CIFAR10(tmp_path)
    with pytest.raises(DataError, match="nowhere' does not exist"):
        CIFAR10(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        CIFAR10(tmp_path / "file")
    with pytest.raises(DataError, match=expected + "file"):
        CIFAR10(tmp_path)
    (tmp_path / "data_batch_1").write_text("")
    with pytest.raises(DataError, match=r"lacks data_batch_2, .*test_batch of the Python version \(found data_batch_1"):
        CIFAR10(tmp_path)
    write_cifar10(tmp_path / "ten")
    with pytest.raises(DataError, match="CIFAR-100.*has none of its files: expected train.bin"):
        CIFAR100(tmp_path / "ten")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cifar-10-python.tar.gz").write_text("")
    with pytest.raises(DataError, match=r"cannot read the archive '.*cifar-10-python\.tar\.gz'"):
        CIFAR10(tmp_path / "broken")
