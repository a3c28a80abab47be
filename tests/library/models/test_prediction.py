"""Prediction: pictures of every kind to the classes that torchvision finds in them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import minicnn
from minicnn import nn
from minicnn.data import DataError, load_image
from minicnn.data.transforms import ImageClassification
from minicnn.errors import ShapeError
from minicnn.models import create_model, predict
from minicnn.models.prediction import NotFinite
from tests.library.support import peers
from tests.library.support.blots import TRANSFORM_TOLERANCE, picture, pixels


class Means(nn.Module):
    """A network of one parameter whose logits are the image's mean colours, times ``sharpness``."""

    def __init__(self, sharpness: float = 4.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(minicnn.tensor(sharpness))
        self.sizes: list[tuple[int, ...]] = []
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x: Any) -> Any:
        self.sizes.append(x.shape)
        self.modes.append((self.training, minicnn.is_grad_enabled()))
        return x.mean((2, 3)) * self.sharpness


COLOURS = ("red", "green", "blue")
SMALL = ImageClassification(6, 7, (0.5,) * 3, (0.5,) * 3)


def plain(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (9, 8), colour)


# ------------------------------------------------------------ like torchvision


MODES: dict[str, Callable[[], Image.Image]] = {
    "RGB": picture,
    "L": lambda: picture().convert("L"),
    "1": lambda: picture().convert("1"),
    "LA": lambda: Image.fromarray(pixels(61, 47, 2), "LA"),
    "RGBA": lambda: Image.fromarray(pixels(61, 47, 4), "RGBA"),
    "P": lambda: picture().convert("P", palette=Image.Palette.ADAPTIVE),
    "CMYK": lambda: Image.fromarray(pixels(61, 47, 4), "CMYK"),
    "YCbCr": lambda: picture().convert("YCbCr"),
}
SUFFIX = {"CMYK": ".jpg", "YCbCr": ".tif"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("orientation", [1, 6])
def test_pictures_of_every_mode_become_torchvisions_input(mode: str, orientation: int, tmp_path: Path) -> None:
    peers.torchvision()
    from torchvision.transforms._presets import ImageClassification as Theirs

    path = tmp_path / f"picture{SUFFIX.get(mode, '.png')}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    MODES[mode]().save(path, exif=exif)
    assert Image.open(path).mode == mode
    upright = ImageOps.exif_transpose(Image.open(path))
    assert upright.size == ((61, 47) if orientation == 1 else (47, 61))
    for crop, resize in ((32, 36), (64, 40), (16, 100)):
        ours = ImageClassification(crop, resize)(load_image(path)).numpy()
        theirs = Theirs(crop_size=crop, resize_size=resize)(upright.convert("RGB")).numpy()
        assert ours.dtype == np.float32 and ours.shape == (3, crop, crop)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TRANSFORM_TOLERANCE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_however_the_camera_was_held_the_answer_is_the_same(orientation: int, tmp_path: Path) -> None:
    """The picture stored turned, with a note how to turn it back."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's transpositions
    stored = picture() if undo is None else picture().transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "turned.png")), np.asarray(picture()))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    grey = pixels(61, 47, 1)[:, :, 0]
    Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(tmp_path / "deep.png")
    assert Image.open(tmp_path / "deep.png").mode.startswith("I")
    Image.fromarray(grey).save(tmp_path / "shallow.png")
    transform = ImageClassification(32, 36)
    deep, shallow = (transform(load_image(tmp_path / name)).numpy() for name in ("deep.png", "shallow.png"))
    np.testing.assert_array_equal(deep, shallow)


# ------------------------------------------------------------ the function


def test_predict_says_what_it_sees() -> None:
    colours = [plain((255, 0, 0)), plain((0, 255, 80)), plain((0, 10, 255))]
    found = list(predict(Means(), colours, SMALL, top=2, labels=COLOURS))
    assert [prediction.guesses[0].label for prediction in found] == ["red", "green", "blue"]
    assert [prediction.image for prediction in found] == colours
    assert [guess.index for guess in found[1].guesses] == [1, 2]
    logits = 4 * np.array([-1, 1, 80 / 127.5 - 1])  # by hand: 4 (2 pixel - 1)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [guess.probability for guess in found[1].guesses] == pytest.approx(expected[[1, 2]].tolist(), rel=1e-5)


def test_probabilities_add_up_and_never_overflow() -> None:
    (found,) = predict(Means(1e6), [plain((255, 254, 0))], SMALL, top=9)
    assert [guess.label for guess in found.guesses] == ["class 0", "class 1", "class 2"]
    assert sum(guess.probability for guess in found.guesses) == pytest.approx(1)


def test_equal_classes_come_in_their_order() -> None:
    (found,) = predict(Means(), [plain((90, 90, 90))], SMALL)
    assert [guess.index for guess in found.guesses] == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_batches_change_nothing(batch_size: int, tmp_path: Path) -> None:
    paths = []
    for number in range(7):
        paths.append(tmp_path / f"{number}.png")
        picture(40 + number, 30, seed=number).save(paths[-1])
    paths[2].write_bytes(b"no picture")
    model = Means()
    found = list(predict(model, paths, SMALL, batch_size=batch_size))
    alone = [next(predict(model, [path], SMALL)) for path in paths]
    assert [prediction.image for prediction in found] == paths
    assert max(shape[0] for shape in model.sizes) <= batch_size
    for prediction, expected in zip(found, alone, strict=True):
        assert [guess.index for guess in prediction.guesses] == [guess.index for guess in expected.guesses]
        for guess, other in zip(prediction.guesses, expected.guesses, strict=True):
            assert guess.probability == pytest.approx(other.probability, rel=1e-6)
    assert isinstance(found[2].error, DataError) and "2.png" in str(found[2].error) and found[2].guesses == ()
    assert [prediction.error for prediction in found if prediction is not found[2]] == [None] * 6


def test_the_network_is_left_as_it_was() -> None:
    model = Means().train()
    before = minicnn.random.default_generator.get_state()
    list(predict(model, [plain((1, 2, 3))] * 3, SMALL, batch_size=2))
    assert model.training and minicnn.is_grad_enabled()
    assert model.modes == [(False, False)] * 2
    assert minicnn.random.default_generator.get_state() == before


def test_a_double_network_gets_double_images() -> None:
    (found,) = predict(Means().double(), [plain((255, 0, 0))], SMALL, labels=COLOURS)
    assert found.guesses[0].label == "red"


def test_stopping_in_the_middle_leaves_no_thread() -> None:
    before = threading.active_count()
    predictions = predict(Means(), [plain((1, 2, 3))] * 50, SMALL, batch_size=2)
    next(predictions)
    predictions.close()
    assert threading.active_count() == before


def test_grey_networks_see_grey(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    model = Means()
    list(predict(model, [tmp_path / "a.png"], ImageClassification(6, 7, (0.5,), (0.5,)), in_channels=1))
    assert model.sizes == [(1, 1, 6, 6)]


def test_what_predict_does_not_take() -> None:
    with pytest.raises(ValueError, match=r"`top` \(=0\) must be at least 1"):
        predict(Means(), [], SMALL, top=0)
    with pytest.raises(ValueError, match="batch_size"):
        predict(Means(), [], SMALL, batch_size=0)
    with pytest.raises(ValueError, match="2 labels cannot name the 3 classes"):
        list(predict(Means(), [plain((1, 2, 3))], SMALL, labels=("a", "b")))
    for bad in (float("nan"), float("inf")):
        with (
            np.errstate(all="ignore"),
            pytest.raises(NotFinite, match="not finite: are these the weights of a trained"),
        ):
            list(predict(Means(bad), [plain((1, 2, 3))], SMALL))
    with pytest.raises(ShapeError, match="at least 67x67 pixels, got 6x6"):
        list(predict(create_model("alexnet", 3, init=False), [plain((1, 2, 3))], SMALL))
    assert list(predict(Means(), [], SMALL)) == []
