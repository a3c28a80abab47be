"""Image files of every mode and number type, upright, and one clear error for what cannot be read."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from minicnn.data import DataError, ImageFolder, load_image
from tests.library.support.image_folders import COLOUR, GREY, RGB, make_folder, paint

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
        if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:
            pytest.skip("before version 13 Pillow cannot read the TIFF that it writes")
        got = np.asarray(load_image(path, channels), dtype="f8")
    grey = np.asarray(RGB.convert("L"), dtype="f8")
    grey = (grey > 127) * 255.0 if mode == "1" else grey
    expected = grey if channels == 1 else COLOUR * 255 if mode not in ("1", "LA") else grey[:, :, None].repeat(3, 2)
    assert got.shape == expected.shape
    assert abs(got - expected).mean() < 8
