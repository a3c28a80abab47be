"""Image folders: classes, splits, links, pipes, strange names, and one clear error where they are wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data import CIFAR10, DataError, DataLoader, ImageFolder, load_image, open_data
from tests.library.support import peers
from tests.library.support.image_folders import RGB, make_folder, paint, photos


def names(folder: ImageFolder) -> list[str]:
    return [os.path.relpath(path, folder.root) for path, _ in folder.samples]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    elsewhere = photos(tmp_path / "elsewhere", ("cat",)) / "cat"
    root = photos(tmp_path / "root")
    (root / "bird").symlink_to(elsewhere)
    (root / "dog" / "more").symlink_to(elsewhere)
    (root / "dog" / "again").symlink_to(elsewhere)
    (root / "dog" / "b.PNG").symlink_to(elsewhere / "a.png")
    folder = ImageFolder(root)
    assert names(folder) == ["bird/a.png", "cat/a.png", "dog/a.png", "dog/again/a.png", "dog/b.PNG", "dog/more/a.png"]
    assert all(np.array_equal(folder[i][0], RGB) for i in range(len(folder)))


def test_links_that_lead_round_in_a_circle_are_an_error(tmp_path: Path) -> None:
    root = photos(tmp_path / "root")
    (root / "dog" / "inner").mkdir()
    (root / "dog" / "inner" / "up").symlink_to(root / "dog")
    with pytest.raises(DataError, match=r"inner/up' leads back to a folder around it"):
        ImageFolder(root)


def test_a_link_to_nowhere_is_an_image_that_is_missing(tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    folder = ImageFolder(root)
    assert len(folder) == 3
    with pytest.raises(DataError, match="no image file .*gone.png"):
        folder[1]


def test_pipes_are_no_images_and_do_not_hang(tmp_path: Path) -> None:
    root = photos(tmp_path)
    os.mkfifo(root / "cat" / "pipe.png")
    assert names(ImageFolder(root)) == ["cat/a.png", "dog/a.png"]
    for path in (root / "cat" / "pipe.png", "/dev/zero"):
        with pytest.raises(DataError, match="a pipe or a device"):
            load_image(path)


def test_a_folder_that_cannot_be_read_is_not_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its rights were taken away, which stops nobody who tests as root."""
    root, scandir = photos(tmp_path), os.scandir

    def forbidden(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(DataError, match=r"cannot read the folder '.*dog': Permission denied"):
        ImageFolder(root)


def test_names_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    root = photos(tmp_path / "root")
    (root / "d\x1b[31mg\n").mkdir()
    (root / "cat" / "x\x1b[2J.png").write_text("no image")
    with pytest.raises(DataError, match="no image in the class folder") as caught:
        ImageFolder(root)
    assert str(caught.value).isprintable()
    with pytest.raises(DataError) as caught:
        load_image(root / "cat" / "x\x1b[2J.png")
    assert str(caught.value).isprintable()
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar" / "\x1b[2J").touch()
    with pytest.raises(DataError, match="found") as caught:
        CIFAR10(tmp_path / "cifar")
    assert str(caught.value).isprintable()


def test_classes_are_sorted_and_only_visible_images_count(tmp_path: Path) -> None:
    for name in ("Zebra/1.PNG", "ant/b.jpg", "ant/a.jpg", "ant/deeper/c.bmp", ".git/x.png", "ant/.hidden.png"):
        paint(tmp_path / name)
    paint(tmp_path / "ant" / ".cache" / "y.png")
    paint(tmp_path / "loose.png")
    (tmp_path / "ant" / "notes.txt").write_text("not an image")
    dataset = ImageFolder(tmp_path)
    assert dataset.classes == ("Zebra", "ant") and dataset.class_to_idx == {"Zebra": 0, "ant": 1}
    found = [(path.relative_to(tmp_path).as_posix(), label) for path, label in dataset.samples]
    assert found == [("Zebra/1.PNG", 0), ("ant/a.jpg", 1), ("ant/b.jpg", 1), ("ant/deeper/c.bmp", 1)]
    assert dataset.labels.tolist() == [0, 1, 1, 1] and len(dataset) == 4
    image, label = dataset[0]
    assert (image.mode, image.size, label) == ("RGB", (12, 10), 0)


def test_wrong_folders_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere' does not exist"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no class folders; expected one subfolder"):
        ImageFolder(tmp_path)
    paint(tmp_path / "loose.png")
    with pytest.raises(DataError, match="it contains images directly"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match="is a file, expected a folder"):
        ImageFolder(tmp_path / "loose.png")
    make_folder(tmp_path, count=1)
    (tmp_path / "bird").mkdir()
    with pytest.raises(DataError, match="no image in the class folder bird"):
        ImageFolder(tmp_path)


def test_a_folder_is_split_by_seed_when_it_is_not_split_already(tmp_path: Path) -> None:
    make_folder(tmp_path, ("a", "b", "c"), count=20)
    source = open_data(f"folder:{tmp_path}", seed=3)
    assert source.classes == ("a", "b", "c") and source.image_size == (10, 10)
    parts = [source.train, source.validation, source.test]
    assert [np.bincount(part.labels).tolist() for part in parts] == [[14] * 3, [2] * 3, [4] * 3]  # type: ignore[attr-defined]
    indices = np.concatenate([part.indices for part in parts])  # type: ignore[attr-defined]
    assert sorted(indices.tolist()) == list(range(60))
    again = open_data(f"folder:{tmp_path}", seed=3)
    np.testing.assert_array_equal(source.test.indices, again.test.indices)  # type: ignore[attr-defined]
    for part in parts:
        images, labels = next(iter(DataLoader(part, 5, shuffle=True, seed=0)))
        assert images.shape == (5, 3, 10, 10) and images.dtype == "float32" and labels.dtype == "int64"


@pytest.mark.parametrize("names", [("train", "val", "test"), ("train", "validation"), ("train", "test"), ("train",)])
def test_folders_that_are_split_are_taken_as_they_are(tmp_path: Path, names: tuple[str, ...]) -> None:
    counts = {"train": 20, "val": 5, "validation": 5, "test": 7}
    for name in names:
        make_folder(tmp_path / name, count=counts[name])
    source = open_data(f"folder:{tmp_path}")
    given_validation, given_test = len(names) > 1 and names[1] != "test", "test" in names
    assert len(source.validation) == (10 if given_validation else 4)
    assert len(source.test) == (14 if given_test else 8)
    assert len(source.train) == 40 - (0 if given_validation else 4) - (0 if given_test else 8)
    assert source.classes == ("cat", "dog")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    make_folder(tmp_path / "deep", ("car", "train/steam"))
    make_folder(tmp_path / "flat", ("test", "train"))
    assert open_data(f"folder:{tmp_path}/deep").classes == ("car", "train")
    assert open_data(f"folder:{tmp_path}/flat").classes == ("test", "train")


def test_split_folders_must_agree(tmp_path: Path) -> None:
    make_folder(tmp_path / "train", ("a", "b"))
    make_folder(tmp_path / "val", ("a", "c"))
    with pytest.raises(DataError, match="differ in the classes b, c"):
        open_data(f"folder:{tmp_path}")
    make_folder(tmp_path / "validation", ("a", "b"))
    with pytest.raises(DataError, match="two folders for validation: val and validation"):
        open_data(f"folder:{tmp_path}")


def test_too_few_images_to_split(tmp_path: Path) -> None:
    make_folder(tmp_path, count=2)
    with pytest.raises(DataError, match=r"too few images \(4\).*validation"):
        open_data(f"folder:{tmp_path}")


def test_folder_images_come_in_the_size_and_channels_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path, count=10, size=(40, 30))
    for options, shape in (
        ({}, (3, 30, 30)),
        ({"image_size": 16}, (3, 16, 16)),
        ({"image_size": 16, "in_channels": 1}, (1, 16, 16)),
    ):
        source = open_data(f"folder:{tmp_path}", **options)
        assert source.input_shape == shape
        assert source.train[0][0].shape == source.test[0][0].shape == shape
    make_folder(tmp_path / "large", count=10, size=(300, 400))
    assert open_data(f"folder:{tmp_path / 'large'}").image_size == (224, 224)


def test_evaluation_images_are_torchvisions_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(10):
            pixels = rng.integers(0, 256, (50, 41, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    peers.torchvision()
    from torchvision import datasets
    from torchvision import transforms as V

    steps = [V.Resize(32), V.CenterCrop(28), V.ToTensor(), V.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    theirs = datasets.ImageFolder(str(tmp_path), V.Compose(steps))
    source = open_data(f"folder:{tmp_path}", image_size=28)
    for position, index in enumerate(source.test.indices):  # type: ignore[attr-defined]
        image, label = source.test[position]
        np.testing.assert_array_equal(image.numpy(), theirs[index][0].numpy())
        assert label == theirs[index][1]
