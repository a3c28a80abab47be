"""The names by which the command line knows data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicnn.data import CIFAR10, CIFAR100, DataError, ImageFolder, load_image, open_data, read_labels
from tests.library.support.image_folders import photos


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("cifar-10:somewhere", "did you mean 'cifar10:DIR'"),
        ("Folder:somewhere", "did you mean 'folder:DIR'"),
        (
            "svhn",
            "no data set is called 'svhn': expected digits, cifar10:DIR, cifar100:DIR, mnist:DIR, fashion_mnist:DIR or "
            "folder:DIR$",
        ),
        ("mnist", "expected mnist:DIR, got 'mnist'"),
        ("fashionmnist:there", "did you mean 'fashion_mnist:DIR'"),
        ("digits:somewhere", "take no folder"),
        ("cifar10", "expected cifar10:DIR, got 'cifar10'"),
        ("folder:", "expected folder:DIR, got 'folder:'"),
        ("cifar100:/nowhere/at/all", "'/nowhere/at/all' does not exist"),
        ("folder:/nowhere/at/all", "'/nowhere/at/all' does not exist"),
        ("", "no data set is called ''"),
    ],
)
def test_wrong_names_are_refused_with_a_hint(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(spec)


def test_a_folder_given_without_its_kind_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"did you mean 'folder:{tmp_path}'"):
        open_data(str(tmp_path))


def test_cifar_has_three_channels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in_channels=1"):
        open_data(f"cifar10:{tmp_path}", in_channels=1)


def test_every_data_set_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    photos(tmp_path / "photos")
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(bytes(3073))
    for name, size in (("test_batch", 3073), ("train", 3074), ("test", 3074)):
        (tmp_path / f"{name}.bin").write_bytes(bytes(size))
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    assert len(ImageFolder("~/photos")) == len(ImageFolder(Path("~/photos"))) == 2
    assert len(CIFAR10("~")) == 5 and len(CIFAR100("~", train=False)) == 1
    assert load_image("~/photos/cat/a.png").size == (8, 8)
    assert read_labels("~/labels.txt") == ("cat", "dog")
    with pytest.raises(DataError, match="too few images"):  # which is after they were found
        open_data("folder:~/photos")
