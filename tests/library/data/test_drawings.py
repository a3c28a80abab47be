"""Drawings: the style of a data set is found, and pictures of people are brought into it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import load_image, open_data
from minicnn.data.bundled import bundled_digits
from minicnn.data.drawings import Style, in_style, learned_style, negative, source_style
from tests.library.support.published_files import mnist_files, write_files

DIGITS = Style(ground=0.0, extent=1.0, ink=0.3053)


def test_digits_are_light_on_black_and_fill_their_image() -> None:
    images = bundled_digits()[0] / 16
    assert learned_style(images) == DIGITS
    assert learned_style(1 - images) == Style(1.0, 1.0, 0.3053)
    assert source_style(open_data("digits")) == Style(0.0, 1.0, 0.3052)
    assert source_style(open_data("digits", image_size=24)).ground == 0.0  # type: ignore[union-attr]


def test_margins_are_learned() -> None:
    framed = np.pad(bundled_digits()[0] / 16, ((0, 0), (4, 4), (4, 4)))
    assert learned_style(framed) == Style(0.0, 0.5, 0.0763)


def test_what_has_no_ground_has_no_style(tmp_path) -> None:
    rng = np.random.default_rng(0)
    assert learned_style(rng.random((50, 8, 8))) is None
    assert learned_style(np.full((50, 8, 8), 0.5)) is None
    assert learned_style(rng.random((50, 1, 1)).repeat(8, 1).repeat(8, 2)) is None
    assert learned_style(np.zeros((50, 8, 8))) is None  # nothing is drawn
    assert source_style(open_data("digits", in_channels=3)) is None
    write_files(tmp_path, mnist_files())
    assert source_style(open_data(f"mnist:{tmp_path}")) is None  # of random pixels


def sheet(dark_on_light: bool, box: tuple[int, int, int, int], size: tuple[int, int] = (90, 120)) -> Image.Image:
    """A filled rectangle (top, left, bottom, right) on a sheet (height, width)."""
    pixels = np.full(size, 250 if dark_on_light else 5, np.uint8)
    pixels[box[0] : box[2], box[1] : box[3]] = 20 if dark_on_light else 235
    return Image.fromarray(pixels)


@given(
    top=st.integers(2, 40), left=st.integers(2, 60), side=st.sampled_from([20, 40]), dark=st.booleans(),
    extent=st.sampled_from([0.25, 0.5, 1.0]),
)  # fmt: skip
def test_a_drawing_is_moved_to_the_middle_and_scaled(top: int, left: int, side: int, dark: bool, extent: float) -> None:
    drawing = sheet(dark, (top, left, top + side, left + side))
    got, inverted = in_style(drawing, Style(0.0, extent, 0.0), (8, 8))
    drawn = np.zeros((8, 8), bool)
    margin = round(4 - 4 * extent)
    drawn[margin : 8 - margin, margin : 8 - margin] = True
    assert inverted == dark
    assert (np.asarray(got) > 100).tolist() == drawn.tolist()


@given(width=st.integers(1, 12), ink=st.sampled_from([0.1, 0.2, 0.3]))
def test_thin_strokes_are_strengthened_until_there_is_enough_ink(width: int, ink: float) -> None:
    pixels = np.zeros((90, 120), np.uint8)
    pixels[20:84, 50 : 50 + width] = 235
    pictures = (in_style(Image.fromarray(pixels), Style(0.0, 1.0, each), (8, 8))[0] for each in (0.0, ink))
    before, after = (np.asarray(image) / 255 for image in pictures)
    assert (after >= before - 1 / 255).all()
    if before.mean() >= ink:
        np.testing.assert_allclose(after, before, atol=1 / 255)
    elif np.minimum(before * 8, 1).mean() > ink:
        assert abs(after.mean() - ink) < 0.01
    else:  # there is an end to what can be made of a hair
        np.testing.assert_allclose(after, np.minimum(before * 8, 1), atol=8 / 255)


def test_a_picture_of_the_networks_size_keeps_its_margins() -> None:
    small = sheet(False, (2, 3, 5, 6), (8, 8))
    assert in_style(small, DIGITS, (8, 8)) == (small, False)
    got, inverted = in_style(negative(small), DIGITS, (8, 8))
    assert inverted and got == small
    assert in_style(small, DIGITS, (28, 28))[0].size == (28, 28)


def test_the_user_decides() -> None:
    dark = sheet(True, (20, 20, 60, 40))
    assert in_style(dark, DIGITS, (8, 8), invert=False)[1] is False
    assert in_style(negative(dark), DIGITS, (8, 8), invert=True)[1] is True
    assert in_style(dark, Style(1.0, 1.0, 0.3), (8, 8))[1] is False


def test_an_empty_sheet_stays_empty() -> None:
    empty = Image.fromarray(np.full((30, 40), 255, np.uint8))
    got, inverted = in_style(empty, DIGITS, (8, 8))
    assert inverted and got.size == (40, 30) and not np.asarray(got).any()


STROKE = np.zeros((64, 96), np.float32)
STROKE[10:50, 30:40] = 1  # 40 x 10 pixels of ink


@pytest.mark.parametrize(
    ("ground", "ink", "inverted"),
    [(1.0, 0.0, True), (0.8, 0.1, True), (0.4, 0.0, True), (1.0, 0.87, True), (0.0, 1.0, False), (0.6, 1.0, False)],
)
@pytest.mark.parametrize("flaw", ["none", "noise", "dust"])
def test_ink_and_ground_of_any_brightness_become_the_learned_ones(
    ground: float, ink: float, inverted: bool, flaw: str
) -> None:
    rng = np.random.default_rng(0)
    pixels = ground + (ink - ground) * STROKE
    if flaw == "noise":
        pixels = pixels + rng.normal(0, 0.08 * abs(ink - ground), pixels.shape)
    elif flaw == "dust":
        pixels[2, 3] = pixels[60, 80] = ink
    drawing = Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
    for style in (Style(0.0, 1.0, 0.0), Style(1.0, 1.0, 0.0)):
        got, was_inverted = in_style(drawing, style, (8, 8))
        shares = abs(np.asarray(got) / 255 - style.ground)
        assert was_inverted == (inverted if style.ground == 0 else not inverted)
        assert shares[:, 3:5].min() > 0.7 and shares[:, [0, 1, 6, 7]].max() < 0.1


def test_colours_and_transparent_paper_are_drawings_too(tmp_path) -> None:
    expected = np.asarray(in_style(Image.fromarray((255 - 255 * STROKE).astype(np.uint8)), DIGITS, (8, 8))[0])
    for number, colour in enumerate([(0, 0, 0), (200, 0, 0), (255, 255, 255)]):
        drawing = np.zeros((*STROKE.shape, 4), np.uint8)
        drawing[...] = (*colour, 0)
        drawing[..., 3] = 255 * STROKE
        for mode in ("RGBA", "LA", "P"):
            if mode == "LA" and colour == (200, 0, 0):
                continue
            path = tmp_path / f"{number}-{mode}.png"
            image = Image.fromarray(drawing)
            (image.quantize(4) if mode == "P" else image.convert(mode)).save(path)
            got, inverted = in_style(load_image(path, 1, on_paper=True), DIGITS, (8, 8))
            assert inverted == (colour != (255, 255, 255))
            assert abs(np.asarray(got).astype(int) - expected).max() <= 3
    on_white = Image.fromarray(np.dstack([255 - 255 * STROKE[..., None].repeat(3, 2)]).astype(np.uint8))
    assert np.asarray(in_style(on_white, DIGITS, (8, 8))[0]).tolist() == expected.tolist()  # not in mode L


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_negative_exchanges_light_and_dark(mode: str) -> None:
    image = Image.new(mode, (2, 2), 30 if mode == "L" else (10, 20, 30))
    assert np.asarray(negative(image)).tolist() == (255 - np.asarray(image)).tolist()
