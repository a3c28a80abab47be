"""MNIST's files: read as they were written, from every place and under every name, and one error if they are broken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import MNIST, DataError, FashionMNIST, open_data
from minicnn.data.mnist import read_idx
from tests.library.support.published_files import idx, mnist_files, write_files

PLACES = {"": MNIST, "raw": MNIST, "MNIST": MNIST, "MNIST/raw": MNIST, "FashionMNIST/raw": FashionMNIST}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dots", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_are_read_where_people_have_them(tmp_path: Path, place: str, dots: bool, compressed: bool) -> None:
    write_files(tmp_path / place, mnist_files(60, dots, compressed))
    for train, count in ((True, 60), (False, 30)):
        dataset = PLACES[place](tmp_path, train=train)
        expected = np.random.default_rng(0 if train else 1).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images, labels = dataset.batch(np.arange(count), np.random.default_rng(0))
        np.testing.assert_array_equal(images.numpy()[:, 0], expected)
        assert labels.numpy().tolist() == [number % 10 for number in range(count)]
        assert len(dataset.classes) == 10


def test_the_places_of_two_data_sets_are_not_confused(tmp_path: Path) -> None:
    write_files(tmp_path / "FashionMNIST/raw", mnist_files())
    assert FashionMNIST(tmp_path).classes[9] == "Ankle boot"
    with pytest.raises(DataError, match="MNIST: .* lacks train-images-idx3-ubyte.*found FashionMNIST"):
        MNIST(tmp_path)


def test_mnist_for_training(tmp_path: Path) -> None:
    write_files(tmp_path, mnist_files())
    for kind in ("mnist", "fashion_mnist"):
        source = open_data(f"{kind}:{tmp_path}")
        assert source.name == kind and source.input_shape == (1, 28, 28) and source.num_classes == 10
        assert len(source.train) + len(source.validation) == 60 and len(source.test) == 30
        image, label = source.test[7]
        raw = MNIST(tmp_path, train=False)[7][0].numpy() / 255
        assert label == 7
        np.testing.assert_allclose(image.numpy(), (raw - source.mean[0]) / source.std[0], rtol=1e-4, atol=1e-5)
        assert open_data(f"{kind}:{tmp_path}", image_size=32).test[0][0].shape == (1, 32, 32)
        with pytest.raises(DataError, match="images of 1 channel, got in_channels=3"):
            open_data(f"{kind}:{tmp_path}", in_channels=3)


def test_clothes_are_mirrored_and_digits_are_not(tmp_path: Path) -> None:
    write_files(tmp_path, mnist_files())
    flips = {
        kind: [type(step).__name__ for step in open_data(f"{kind}:{tmp_path}").augmentation.transforms]  # type: ignore
        for kind in ("mnist", "fashion_mnist")
    }
    assert flips == {"mnist": ["RandomCrop"], "fashion_mnist": ["RandomCrop", "RandomHorizontalFlip"]}


@given(
    shape=st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 99),
    packed=st.booleans(),
)
def test_an_idx_file_comes_back(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple, seed: int, packed: bool
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    folder = tmp_path_factory.mktemp("idx")
    for kind, each in {"images": array, "labels": array[:, :1, :1].reshape(-1)}.items():
        content = idx(each)
        path = folder / f"{kind}{'.gz' * packed}"
        path.write_bytes(gzip.compress(content) if packed else content)
        np.testing.assert_array_equal(read_idx(path, kind), each)


@given(data=st.data(), packed=st.booleans())
def test_damaged_files_are_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, packed: bool
) -> None:
    content = bytearray(idx(np.zeros((2, 28, 28), np.uint8)))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        where = data.draw(st.integers(0, 15))
        content[where] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("idx") / f"images{'.gz' * packed}"
    path.write_bytes(gzip.compress(bytes(content)) if packed else content)
    with pytest.raises(DataError, match="images") as error:
        read_idx(path, "images")
    assert "\n" not in str(error.value)


@given(cut=st.integers(0, 60))
def test_a_damaged_gzip_file_is_one_error(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("idx") / "images.gz"
    whole = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)))
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"images\.gz"):
        read_idx(path, "images")


def test_a_compressed_file_that_claims_too_much_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(100)))
    with pytest.raises(DataError, match="too many"):
        read_idx(path, "images")


BROKEN = {
    "one missing": ("t10k-labels-idx1-ubyte", None, "lacks t10k-labels-idx1-ubyte"),
    "labels for images": ("train-images-idx3-ubyte", idx(np.zeros(3)), "is not an idx file of images"),
    "other sizes": ("train-images-idx3-ubyte", idx(np.zeros((60, 8, 8))), "images of 8x8, expected 28x28"),
    "a label too few": ("train-labels-idx1-ubyte", idx(np.zeros(59)), "59 labels for 60 images"),
    "a label of 10": ("train-labels-idx1-ubyte", idx(np.full(60, 10)), "label 0 is 10, expected 0 to 9"),
    "a page": ("train-images-idx3-ubyte", b"<html>404</html>", "is not an idx file of images: it begins with 3c 68"),
    "empty": ("train-images-idx3-ubyte", b"", "begins with nothing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path: Path, case: str) -> None:
    name, content, message = BROKEN[case]
    write_files(tmp_path, mnist_files())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        open_data(f"mnist:{tmp_path}")
    assert "\n" not in str(error.value)


def test_wrong_folders_say_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere' does not exist"):
        MNIST(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a folder"):
        MNIST(tmp_path / "file")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    for name in list(mnist_files())[1:]:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="not a regular file"):
        MNIST(tmp_path)
