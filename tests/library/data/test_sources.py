"""What users have: the bundled digits, CIFAR files, image folders, whole and broken, and the names they go by."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn import data
from minicnn.data import CIFAR10, CIFAR100, DataError, DataLoader, ImageFolder, digits, load_image, open_data
from minicnn.data.cifar import StackedArrays
from tests.library.support import peers

IMAGE = 3 * 32 * 32


# ---- digits --------------------------------------------------------------------------------------------------


def raw_digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


def test_the_digits_are_scikit_learns_split_once() -> None:
    images, labels = raw_digits()
    parts = [digits(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == pytest.approx([0.7 * 1797, 0.1 * 1797, 0.2 * 1797], abs=10)
    mean, std = data.digits_statistics()
    seen = []
    for part in parts:
        batch, targets = next(iter(DataLoader(part, len(part))))
        assert batch.shape == (len(part), 1, 8, 8) and batch.dtype == "float32"
        pixels = np.rint((batch.numpy() * std + mean) * 16).astype(int)
        seen += [
            (*image.ravel().tolist(), label) for image, label in zip(pixels, targets.numpy().tolist(), strict=True)
        ]
        assert set(np.bincount(targets.numpy(), minlength=10) > 0.8 * len(part) / 10) == {True}
    original = [
        (*image.astype(int).ravel().tolist(), label) for image, label in zip(images, labels.tolist(), strict=True)
    ]
    assert sorted(seen) == sorted(original)


def test_the_training_digits_are_normalised() -> None:
    images, _ = next(iter(DataLoader(digits("train"), 2000)))
    assert abs(images.numpy().mean()) < 1e-5 and abs(images.numpy().std() - 1) < 1e-5


def test_the_seed_cuts_the_digits_the_same_way_every_time() -> None:
    first, again, other = digits("test", 3), digits("test", 3), digits("test", 4)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.labels, other.labels)
    with pytest.raises(DataError, match="did you mean 'validation'"):
        digits("validaton")


@given(size=st.sampled_from([8, 16, 32]), channels=st.sampled_from([1, 3]))
def test_digits_come_larger_and_in_colour_for_networks_that_need_it(size: int, channels: int) -> None:
    source = open_data("digits", image_size=size, in_channels=channels)
    image, label = source.train[0]
    assert image.shape == source.input_shape == (channels, size, size)
    assert source.classes[label] == str(label)
    assert len(source.mean) == len(source.std) == channels


def test_augmented_digits_are_shifted_by_up_to_one_pixel() -> None:
    plain, augmented = digits("train"), digits("train", augment=True)
    generator = np.random.default_rng(0)
    one = augmented.batch(np.arange(30), generator)[0].numpy()
    base = plain.batch(np.arange(30), generator)[0].numpy()
    background = float(base.min())
    framed = np.pad(base, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=background)
    shifts = []
    for image, frame in zip(one[:, 0], framed[:, 0], strict=True):
        fits = [
            (i, j) for i in range(3) for j in range(3) if np.allclose(image, frame[i : i + 8, j : j + 8], atol=1e-5)
        ]
        assert fits
        shifts += fits[:1]
    assert len(set(shifts)) > 4


# ---- CIFAR ---------------------------------------------------------------------------------------------------


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
    "one missing": (lambda f: (f / "data_batch_3.bin").unlink(), r"lacks data_batch_3.bin \(found data_batch_1"),
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
    with pytest.raises(DataError, match=r"lacks data_batch_1.bin.*\(found nothing\)"):
        CIFAR10(tmp_path)
    with pytest.raises(DataError, match="nowhere' does not exist"):
        CIFAR10(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        CIFAR10(tmp_path / "file")
    (tmp_path / "cifar-10-python.tar.gz").write_text("")
    with pytest.raises(DataError, match="unpack"):
        CIFAR10(tmp_path)
    (tmp_path / "data_batch_1").write_text("")
    with pytest.raises(DataError, match="Python version"):
        CIFAR10(tmp_path)
    write_cifar10(tmp_path / "ten")
    with pytest.raises(DataError, match="CIFAR-100.*lacks train.bin, test.bin"):
        CIFAR100(tmp_path / "ten")


# ---- image folders -------------------------------------------------------------------------------------------


def paint(
    path: Path, color: Any = (204, 102, 51), size: tuple[int, int] = (12, 10), mode: str = "RGB", **save: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **save)


def make_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 20, size: Any = (12, 10)) -> Path:
    for number, name in enumerate(classes):
        for index in range(count):
            paint(root / name / f"{index:02}.png", (index, 100 * number, 0), size)
    return root


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


MODES = {
    "L": ("png", {}),
    "1": ("png", {}),
    "P": ("png", {}),
    "RGBA": ("png", {}),
    "LA": ("png", {}),
    "RGB": ("jpg", {"quality": 100}),
    "CMYK": ("jpg", {"quality": 100}),
    "YCbCr": ("jpg", {"quality": 100}),
    "I": ("tif", {}),
    "F": ("tif", {}),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_mode_become_rgb_or_grey(tmp_path: Path, mode: str) -> None:
    suffix, options = MODES[mode]
    path = tmp_path / f"image.{suffix}"
    grey = mode in ("L", "1", "LA", "I", "F")
    color = (255, 255, 255) if mode == "1" else (120, 120, 120) if grey else (204, 102, 51)
    paint(path, color, mode=mode, **options)
    if mode == "I":  # 120 of 65535 is black: what counts is the upper byte
        Image.fromarray(np.full((10, 12), 120 * 256 + 7, np.int32)).save(path)
    for channels, expected in ((3, color), (1, (round(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]),))):
        image = load_image(path, channels)
        assert (image.mode, image.size) == ({1: "L", 3: "RGB"}[channels], (12, 10))
        pixels = np.asarray(image).reshape(120, channels)
        assert np.abs(pixels.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("byteorder", ["<u2", ">u2"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_upper_byte(tmp_path: Path, byteorder: str, suffix: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values.astype(byteorder)).save(tmp_path / f"deep.{suffix}")
    image = load_image(tmp_path / f"deep.{suffix}", 1)
    assert np.asarray(image).tolist() == [[0, 0, 1, 128, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (6, 4))
    upright.putpixel((0, 0), (255, 0, 0))
    upright.putpixel((5, 0), (0, 255, 0))
    transpose = Image.Transpose
    # What a camera stores for each value of the EXIF tag, so that showing it by the tag gives the upright image.
    stored = {
        1: None,
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }[orientation]
    image = upright if stored is None else upright.transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "turned.png")), np.asarray(upright))


def claim_size(png: bytes, width: int, height: int) -> bytes:
    """The PNG with another size in its header, checksum included."""
    header = png[12:16] + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_unreadable_images_are_one_error_that_names_the_file(tmp_path: Path) -> None:
    make_folder(tmp_path, count=1)
    whole = (tmp_path / "cat" / "00.png").read_bytes()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(tmp_path / "noise.jpg")
    noise = (tmp_path / "noise.jpg").read_bytes()
    broken = {
        "text.png": b"this is text",
        "empty.jpg": b"",
        "cut.png": whole[: len(whole) // 2],
        "cut.jpg": noise[: len(noise) // 2],
        "swapped.png": whole[:30] + bytes(reversed(whole[30:])),
        "bomb.png": claim_size(whole, 100_000, 100_000),  # ten thousand million pixels, says the header
        "zero.png": claim_size(whole, 0, 0),
    }
    for name, content in broken.items():
        (tmp_path / "cat" / name).write_bytes(content)
    dataset = ImageFolder(tmp_path)
    for index, (path, _) in enumerate(dataset.samples):
        if path.name not in broken:
            dataset[index]
            continue
        with pytest.raises(DataError, match=f"cannot read .*{path.name}.* as an image: .") as caught:
            dataset[index]
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no image file .*nowhere.png"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(ValueError, match=r"`in_channels` \(=4\)"):
        load_image(tmp_path / "noise.jpg", 4)


def test_wrong_folders_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere' does not exist"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no class folders; expected one subfolder"):
        ImageFolder(tmp_path)
    paint(tmp_path / "loose.png")
    with pytest.raises(DataError, match="images lie loose in it"):
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


# ---- what the command line calls them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("cifar-10:somewhere", "did you mean 'cifar10:DIR'"),
        ("Folder:somewhere", "did you mean 'folder:DIR'"),
        ("mnist", "no data set is called 'mnist': expected digits, cifar10:DIR, cifar100:DIR or folder:DIR$"),
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
