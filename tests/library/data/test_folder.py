"""Image folders and files as people have them: links, pipes, every number type, strange names, `~`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data import CIFAR10, CIFAR100, DataError, ImageFolder, load_image, open_data, read_labels

GREY = np.arange(64, dtype="f8").reshape(8, 8) / 63
COLOUR = np.stack([GREY, GREY.T, 1 - GREY], -1)
RGB = Image.fromarray((COLOUR * 255).astype("u1"))


def photos(root: Path, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for name in classes:
        (root / name).mkdir(parents=True)
        RGB.save(root / name / "a.png")
    return root


def names(folder: ImageFolder) -> list[str]:
    return [os.path.relpath(path, folder.root) for path, _ in folder.samples]


# ---- paths ------------------------------------------------------------------------------------------------------


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


# ---- what lies in a folder --------------------------------------------------------------------------------------


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


# ---- pictures ---------------------------------------------------------------------------------------------------

GREYS = {
    "16 bits": ("png", (GREY * 65535).astype("u2")),
    "16 bits, big-endian": ("tif", (GREY * 65535).astype(">u2")),
    "32 bits": ("tif", (GREY * 65535).astype("i4")),
    "32 bits that would fit into 8": ("tif", (GREY * 255).astype("i4")),
    "floats to 1": ("tif", GREY.astype("f4")),
    "floats to 255": ("tif", (GREY * 255).astype("f4")),
    "8 bits": ("png", (GREY * 255).astype("u1")),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", GREYS)
def test_grey_of_every_number_type_is_the_same_picture(tmp_path: Path, kind: str, channels: int) -> None:
    suffix, pixels = GREYS[kind]
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    got = np.asarray(load_image(tmp_path / f"a.{suffix}", channels), dtype="f8")
    expected = GREY if channels == 1 else GREY[:, :, None].repeat(3, 2)
    np.testing.assert_allclose(got, expected * 255, atol=1)


def test_floats_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, 1.0]], "f4")).save(tmp_path / "a.tif")
    assert np.asarray(load_image(tmp_path / "a.tif", 1)).tolist() == [[0, 255]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "LAB", "YCbCr", "transparent palette", "animated"])
def test_colour_of_every_mode_is_read_without_a_word(tmp_path: Path, mode: str, channels: int) -> None:
    path = tmp_path / ("a.png" if mode in ("1", "P", "LA", "RGBA", "transparent palette") else "a.TIF")
    if mode == "transparent palette":
        RGB.quantize(64).save(path, transparency=bytes([0, 128] * 50))
    elif mode == "animated":
        path = tmp_path / "a.gif"
        RGB.save(path, save_all=True, append_images=[RGB.rotate(90)])
    else:
        (RGB.quantize(64) if mode == "P" else RGB.convert(mode, dither=Image.Dither.NONE)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        got = np.asarray(load_image(path, channels), dtype="f8")
    grey = np.asarray(RGB.convert("L"), dtype="f8")
    grey = (grey > 127) * 255.0 if mode == "1" else grey
    expected = grey if channels == 1 else COLOUR * 255 if mode not in ("1", "LA") else grey[:, :, None].repeat(3, 2)
    assert got.shape == expected.shape
    assert abs(got - expected).mean() < 8
