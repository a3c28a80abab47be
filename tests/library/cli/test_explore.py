"""``minicnn explore``: the page of a model, of weights, of a run; one line for what is asked wrongly."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.data import digits
from tests.library.support.blots import picture, save_tinynet
from tests.library.support.tiny_training import register_tinynet

register_tinynet()

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(minicnn_command: Command) -> Command:
    """``minicnn`` in an empty directory: exit status, standard output, standard error."""
    return minicnn_command


def data_of(path: str | Path) -> dict[str, Any]:
    """What the page shows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', Path(path).read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_a_model_with_random_weights(command: Command) -> None:
    status, out, error = command("explore", "tinynet")
    assert (status, error) == (0, "")
    assert re.fullmatch(r"explore-tinynet\.html: 0\.\d MB, random weights, seed 0\n", out)
    data = data_of("explore-tinynet.html")
    assert (data["title"], data["origin"]) == ("tinynet", "random weights, seed 0")
    assert (data["command"], data["input"]["name"]) == ("minicnn explore tinynet", "flower.jpg")
    assert data["input"]["shape"] == [3, 8, 8]
    command("explore", "tinynet", "--out", "again.html")
    assert data_of("again.html") == data


def test_weights_of_a_file_and_a_class_by_name(command: Command) -> None:
    save_tinynet(Path("w.npz"))
    picture().save("a photo.png")
    arguments = ["explore", "tinynet", "--weights", "w.npz", "--image", "a photo.png", "--class", "fox"]
    assert command(*arguments, "--out", "folder/page.html")[0] == 0
    data = data_of("folder/page.html")
    assert (data["origin"], data["input"]["name"]) == ("weights of w.npz", "a photo.png")
    assert data["command"] == "minicnn explore tinynet --image 'a photo.png' --weights w.npz --class fox"
    assert {guess["label"] for guess in data["prediction"]} == {"cat", "dog", "fox"}


@pytest.mark.parametrize("turned", ["upright", "rotated", "with alpha"])
def test_photographs_as_the_network_sees_them(command: Command, turned: str) -> None:
    """Upright by their EXIF data, and without their alpha channel."""
    photo = picture(48, 48)
    exif = Image.Exif()
    if turned == "rotated":
        exif[0x0112] = 6  # the camera was turned: to be shown a quarter to the right
        photo = photo.rotate(90)
    if turned == "with alpha":
        photo.putalpha(200)
    photo.save("p.png", exif=exif)
    command("explore", "tinynet", "--image", "p.png")
    picture(48, 48).save("q.png")
    command("explore", "tinynet", "--image", "q.png", "--out", "q.html")
    shown, expected = data_of("explore-tinynet.html"), data_of("q.html")
    assert shown["input"]["src"] == expected["input"]["src"] and shown["nodes"] == expected["nodes"]


def test_a_run_and_its_first_test_image(command: Command) -> None:
    assert command("train", "tinynet", "--epochs", "1", "--batch-size", "256", "--quiet", "--out", "run")[0] == 0
    status, out, error = command("explore", "run")
    assert (status, error) == (0, "")
    assert out.endswith("weights of run, epoch 1\n")
    data = data_of("explore-run.html")
    image, label = digits("test")[0]
    assert data["input"]["shape"] == [1, 8, 8]
    assert data["input"]["name"] == f"the first test image of digits: {label}"
    np.testing.assert_allclose(data["input"]["pixels"], image.numpy(), atol=5e-4)

    odd = Path("run").rename(os.fsdecode(b"odd\xff"))
    status, out, error = command("explore", odd)
    assert (status, error) == (0, "") and out.endswith("weights of odd\\udcff, epoch 1\n")
    assert data_of(f"explore-{odd}.html")["nodes"] == data["nodes"]
    odd.rename("run")

    assert command("explore", "tinynet", "--weights", "run", "--out", "same.html")[0] == 0
    assert data_of("same.html")["nodes"] == data["nodes"]

    Image.fromarray(np.uint8([[255, 255, 255], [255, 0, 255], [255, 255, 255]]).repeat(20, 0).repeat(20, 1)).save(
        "ink.png"
    )
    assert command("explore", "run", "--image", "ink.png", "--out", "ink.html")[0] == 0
    assert data_of("ink.html")["input"]["name"] == "ink.png, light and dark exchanged"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet21"], "no model is called 'resnet21'; did you mean 'resnet20'?"),
        (["tinynet", "--image", "no.png"], "no image file 'no.png'"),
        (["tinynet", "--weights", "no.npz"], "No such file or directory: no.npz"),
        (["tinynet", "--class", "cta"], "no class is called 'cta'; did you mean 'cat'?"),
        (["tinynet", "--class", "10"], "expected a class from 0 to 9, got 10"),
        (["tinynet", "--variant", "other"], "tinynet has no variant 'other'"),
        (["tinynet", "--size", "9"], "tinynet does not fit images of 9x9 (see --size)"),
        (["tinynet", "--out", "."], ". is a folder, expected the name of a file (see --out)"),
        (["."], "the folder . holds no model.safetensors"),
        (["empty"], "the folder empty holds no model.safetensors"),
        (["tinynet", "--size", "0"], "expected a whole number from 1"),
        (["tinynet", "--device", "gpu"], "--device"),
        (["resnet20", "--size", "16000"], "resnet20 does not fit images of 16000x16000 (see --size)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_is_one_line(command: Command, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    status, out, error = command("explore", *arguments)
    assert (status, out) == (2, "")
    assert len(error.splitlines()) == 1 and message in error
    assert not list(Path().glob("*.html"))


def test_what_is_not_finite_is_told(command: Command) -> None:
    save_tinynet(Path("w.npz"))
    state = minicnn.load("w.npz")
    state["0.weight"][0] = float("nan")
    picture().save("w.png")
    minicnn.save(state, "bad.npz", metadata=minicnn.serialization.load_metadata("w.npz"))
    status, out, error = command("explore", "tinynet", "--weights", "bad.npz", "--image", "w.png")
    assert status == 0 and out
    assert all(line.startswith("minicnn: warning: ") for line in error.splitlines())
    assert "activations are not finite" in error
    assert data_of("explore-tinynet.html")["notes"]
