"""``minicnn predict``: text for people, pictures, folders, and one clear line for all that can be asked wrongly."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import minicnn
from minicnn import cli
from minicnn.data import load_image, sample_photographs
from minicnn.data.bundled import bundled_digits
from minicnn.data.drawings import negative
from minicnn.models import Card, create_model, load_classifier
from tests.library.support import peers
from tests.library.support.blots import picture, save_tinynet
from tests.library.support.drawn_digits import drawn_digit
from tests.library.support.tiny_training import register_smallnet, register_tinynet

register_tinynet()

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(minicnn_command: Command) -> Command:
    """``minicnn predict`` in an empty directory: exit status, standard output, standard error."""
    return partial(minicnn_command, "predict")


def test_text_for_people(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    picture().save(tmp_path / "a.png")
    status, out, error = command("a.png", "--weights", "w.npz", "--top", "2")
    (found,) = load_classifier(tmp_path / "w.npz").predict(["a.png"], 2)
    assert (status, error) == (0, "")
    assert out.splitlines() == [
        "a.png",
        *(f"{100 * guess.probability:7.2f} %  {guess.label}" for guess in found.guesses),
    ]


def digit_files(folder: Path, count: int) -> np.ndarray:
    """Digits as 8-bit PNG files of 8 x 8; returns their labels."""
    images, targets = bundled_digits()
    folder.mkdir()
    for number in range(count):
        image = (images[number] * 255.0 / 16).round().astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return targets[:count]


def test_a_training_names_digits(command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """From ``minicnn train`` to ``minicnn predict`` with nothing but the run folder."""
    assert cli.main(["train", "tinynet", "--epochs", "4", "--quiet", "--out", "run"]) == 0
    capfd.readouterr()
    labels = digit_files(tmp_path / "pictures", 60)
    outputs = [command("pictures", "--weights", weights, "--json") for weights in ("run", "run/model.safetensors")]
    assert outputs[0] == outputs[1] and outputs[0][0] == 0 and outputs[0][2] == ""
    lines = [json.loads(line) for line in outputs[0][1].splitlines()]
    assert [line["image"] for line in lines] == [f"pictures/{number:03d}.png" for number in range(60)]
    found = [line["guesses"][0]["label"] for line in lines]
    assert np.mean([label == str(digit) for label, digit in zip(found, labels, strict=True)]) > 0.8

    model = create_model("tinynet", in_channels=1, weights="run/model.safetensors").eval()
    mean, std = minicnn.data.digits_statistics()
    with minicnn.no_grad():
        pixels = (bundled_digits()[0][:60, None] / 16 - mean) / std
        logits = model(minicnn.tensor(pixels.astype(np.float32))).numpy()
    assert (
        np.mean(logits.argmax(1) == [line["guesses"][0]["index"] for line in lines]) > 0.95
    )  # 17 grey levels in 8 bits


ROOT = Path(__file__).resolve().parents[3]
README_LINE = "minicnn predict docs/images/digit.png --weights runs/resnet20-digits-1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's folder, with a run under the README's name, of a smaller network."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "docs/images").mkdir(parents=True)
    shutil.copy(ROOT / "docs/images/digit.png", folder / "docs/images")
    run = folder / "runs/resnet20-digits-1"
    register_smallnet()
    assert cli.main(["train", "smallnet", "--epochs", "8", "--quiet", "--out", str(run)]) == 0
    return folder


def test_the_readmes_digit_is_recognised(command: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert README_LINE in (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(trained)
    status, out, error = command(*README_LINE.split()[2:])
    assert status == 0
    assert error == "minicnn: inverted docs/images/digit.png: the network has learned light on dark\n"
    assert re.fullmatch(r" +\d+\.\d\d %  7", out.splitlines()[1])
    assert max(map(len, (out + error).splitlines())) <= 80


def test_the_readmes_digit_is_drawn_as_people_draw() -> None:
    shipped = Image.open(ROOT / "docs/images/digit.png")
    assert (shipped.mode, shipped.size) == ("L", (280, 280)) and np.median(np.asarray(shipped)) == 255
    np.testing.assert_array_equal(np.asarray(shipped), np.asarray(drawn_digit(7)))


def test_drawings_are_recognised_in_either_polarity_and_not_without_help(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    """The folders are called like the classes, so the command counts."""
    for kind in ("dark", "light"):
        for digit in range(10):
            (tmp_path / kind / str(digit)).mkdir(parents=True)
            image = drawn_digit(digit)
            (image if kind == "dark" else negative(image)).save(tmp_path / kind / str(digit) / "a.png")
    right = {}
    for kind in ("dark", "light"):
        for choice in ("auto", "no", "yes"):
            arguments = (kind, "--weights", trained / "runs/resnet20-digits-1", "--invert", choice, "--top", "1")
            status, out, error = command(*arguments)
            found = re.fullmatch(r"(\d+) of 10 right \((\d+\.\d\d) %\)", out.splitlines()[-1])
            assert status == 0 and found and int(found[1]) * 10 == float(found[2])
            right[kind, choice] = int(found[1])
            told = "minicnn: inverted 10 of 10 images: the network has learned light on dark\n"
            assert error == (told if (kind, choice) == ("dark", "auto") else "")
    assert right["dark", "auto"] == right["dark", "yes"] == right["light", "auto"] == right["light", "no"] >= 8
    assert right["dark", "no"] == right["light", "yes"] <= 4


def test_what_is_right_is_counted_only_where_every_folder_is_a_class(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    for name in ("test/cat/a.png", "test/dog/deeper/b.png", "test/dog/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name)
    (guess,) = load_classifier(tmp_path / "w.npz").predict(["test/cat/a.png"], 1)
    right = {"cat": 1, "dog": 2, "fox": 0}[guess.guesses[0].label]
    line = f"{right} of 3 right ({100 * right / 3:.2f} %), 3 among the first 5"
    for folder in ("test", "."):
        assert command(folder, "--weights", "w.npz")[1].splitlines()[-1] == line
    assert "right" not in command("test/cat", "--weights", "w.npz")[1]
    assert "right" not in command("test", "--weights", "w.npz", "--json")[1]
    (tmp_path / "test/wolf").mkdir()
    picture().save(tmp_path / "test/wolf/d.png")
    assert "right" not in command("test", "--weights", "w.npz")[1]


def test_inverting_works_for_any_network(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    picture().save(tmp_path / "a.png")
    negative(picture()).save(tmp_path / "b.png")
    plain, other = (command(name, "--weights", "w.npz")[1].splitlines()[1:] for name in ("a.png", "b.png"))
    status, out, error = command("b.png", "--weights", "w.npz", "--invert", "yes")
    assert (status, out.splitlines()[1:], error) == (0, plain, "") and plain != other


def test_a_training_on_folders_keeps_its_transform_and_classes(command: Command, tmp_path: Path) -> None:
    for kind, colour in (("dark", 40), ("light", 210)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(20):
            noise = np.random.default_rng(number).integers(-30, 30, (12, 15, 3))
            Image.fromarray((colour + noise).astype(np.uint8)).save(tmp_path / f"photos/{kind}/{number}.png")
    spec = ["--data", "folder:photos", "--image-size", "8", "--batch-size", "8", "--quiet", "--out", "run"]
    assert cli.main(["train", "tinynet", "--epochs", "8", *spec]) == 0
    card = Card.read("run/model.safetensors")
    assert (card.classes, card.input_shape, card.resize) == (("dark", "light"), (3, 8, 8), 9)
    evaluation = minicnn.data.open_data("folder:photos", image_size=8).test.dataset.transform
    assert vars(load_classifier("run/model.safetensors").transform) == vars(evaluation)


def test_folders_go_on_where_a_file_is_broken(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    (tmp_path / "photos/deeper/.hidden").mkdir(parents=True)
    for name in ("b.PNG", "a.jpg", "deeper/c.gif", "deeper/.hidden/x.png", ".y.png"):
        picture().save(tmp_path / "photos" / name)
    whole = (tmp_path / "photos/a.jpg").read_bytes()
    (tmp_path / "photos/aa.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "photos/notes.txt").write_text("no picture, and not called one")
    picture().save(tmp_path / "odd.name", format="png")
    status, out, error = command("odd.name", "photos", "--weights", "w.npz", "--json", "--batch-size", "2")
    assert status == 1
    named = [json.loads(line)["image"] for line in out.splitlines()]
    assert named == ["odd.name", "photos/a.jpg", "photos/b.PNG", "photos/deeper/c.gif"]
    first, last = error.splitlines()
    assert first.startswith("minicnn: cannot read 'photos/aa.jpg' as an image: ")
    assert last == "minicnn: 1 of 5 images could not be read"


def test_one_broken_file_is_one_line(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    (tmp_path / "a.png").write_bytes(b"GIF89a, or so it says")
    status, out, error = command("a.png", "--weights", "w.npz")
    assert (status, out) == (1, "")
    assert error.startswith("minicnn: cannot read 'a.png' as an image: ") and error.count("\n") == 1


def test_names_of_files_and_classes_do_not_command_the_terminal(command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz", classes=("\x1b[31mred\x1b[0m", "two\nlines"))
    name = os.fsdecode(b"odd\xff\n.png")
    picture().save(tmp_path / name)
    status, out, error = command(name, "--weights", "w.npz")
    assert (status, error) == (0, "")
    assert out.splitlines()[0] == r"odd\udcff\n.png" and len(out.splitlines()) == 3
    assert "\x1b" not in out and r"\x1b[31mred\x1b[0m" in out and r"two\nlines" in out


def test_pillows_warnings_stay_away(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tinynet(tmp_path / "w.npz")
    picture().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 61 * 47 - 1)  # Pillow warns of larger pictures
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_image("a.png")
        assert len(caught) == 1
        status, _, error = command("a.png", "--weights", "w.npz")
    assert (status, error, len(caught)) == (0, "", 1)


def test_weights_of_another_variant_are_warned_of_in_one_line(command: Command, tmp_path: Path) -> None:
    minicnn.save(create_model("resnet18", 3).state_dict(), tmp_path / "w.npz")
    picture().save(tmp_path / "a.png")
    known = ("a.png", "--weights", "w.npz", "--model", "resnet18", "--classes", "3", "--size", "32")
    assert command(*known)[::2] == (0, "")
    status, _, error = command(*known, "--variant", "paper")
    assert status == 0
    assert error.startswith("minicnn: warning: 'w.npz' goes into the 'paper' variant") and error.count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_terminals_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tinynet(tmp_path / "w.npz")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture().save(tmp_path / f"photos/{number}.png")
    (tmp_path / "photos/1.png").write_bytes(b"broken")
    shown = {}
    for kind in (Terminal, io.StringIO):
        out, error = io.StringIO(), kind()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", error)
        assert cli.main(["predict", "photos", "--weights", "w.npz", "--top", "1"]) == 1
        shown[kind] = (out.getvalue(), error.getvalue())
    monkeypatch.undo()
    assert shown[Terminal][0] == shown[io.StringIO][0]
    assert "| 3/3 [" in shown[Terminal][1] or "| 2/3 [" in shown[Terminal][1]
    assert "cannot read 'photos/1.png'" in shown[Terminal][1]
    assert len(shown[io.StringIO][1].splitlines()) == 2 and "\r" not in shown[io.StringIO][1]


def empty_folder(tmp_path: Path) -> str:
    (tmp_path / "empty").mkdir()
    return "empty"


def unfinished_run(tmp_path: Path) -> str:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    return "run"


def truncated(tmp_path: Path) -> str:
    save_tinynet(tmp_path / "short.safetensors")
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "short.safetensors").read_bytes()[:-40])
    return "short.safetensors"


def two_labels(tmp_path: Path) -> str:
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    return "two.txt"


def bare(tmp_path: Path) -> str:
    minicnn.save(create_model("alexnet", 3, "torchvision", init=False).state_dict(), tmp_path / "bare.npz")
    return "bare.npz"


MISUSES: dict[str, tuple[list[Any], str]] = {
    "no image": (["--weights", "w.npz"], "the following arguments are required: IMAGE"),
    "no weights": (["a.png"], "the following arguments are required: --weights"),
    "missing image": (["a.png", "b.png", "--weights", "w.npz"], "no such file or folder: b.png"),
    "no images in it": (
        [empty_folder, "--weights", "w.npz"],
        r"no image in the folder empty \(their names end in .jpg",
    ),
    "missing weights": (["a.png", "--weights", "x.pth"], "No such file or directory: x.pth"),
    "no run": (["a.png", "--weights", empty_folder], "the folder empty holds no model.safetensors$"),
    "a run that goes on": (
        ["a.png", "--weights", unfinished_run],
        "run holds no model.safetensors: finish .*--resume run",
    ),
    "truncated": (["a.png", "--weights", truncated], "short.safetensors: truncated or damaged"),
    "a picture as weights": (["a.png", "--weights", "a.png"], "a.png: expected weights as .pth, .safetensors or .npz"),
    "which model": (["a.png", "--weights", bare], "'bare.npz' does not say which model it is for"),
    "unknown model": (["a.png", "--weights", bare, "--model", "alexnett"], "did you mean 'alexnet'"),
    "another model": (
        ["a.png", "--weights", "w.npz", "--model", "resnet20"],
        "model resnet20 contradicts .*for tinynet",
    ),
    "other classes": (["a.png", "--weights", "w.npz", "--classes", "4"], "num_classes 4 contradicts 'w.npz'.* 3"),
    "wrong network": (
        ["a.png", "--weights", bare, "--model", "vgg11"],
        "'bare.npz' do not fit vgg11: .*more differences",
    ),
    "wrong number": (["a.png", "--weights", bare, "--model", "alexnet"], "they are for 3 classes, not 1000"),
    "unknown variant": (["a.png", "--weights", "w.npz", "--variant", "v2"], "tinynet has no variant 'v2'"),
    "labels": (
        ["a.png", "--weights", "w.npz", "--labels", two_labels],
        "2 labels cannot name the 3 classes of 'w.npz'",
    ),
    "no labels": (["a.png", "--weights", "w.npz", "--labels", "x.txt"], "label file 'x.txt': No such file"),
    "top": (["a.png", "--weights", "w.npz", "--top", "0"], "--top: expected a whole number from 1 .*, got '0'"),
    "batch": (
        ["a.png", "--weights", "w.npz", "--batch-size", "-3"],
        "--batch-size: expected a whole number from 1 .*, got '-3'",
    ),
    "size": (["a.png", "--weights", "w.npz", "--size", "0"], "--size: expected a whole number from 1 .*, got '0'"),
    "too small": (
        ["a.png", "--weights", bare, "--model", "alexnet", "--classes", "3", "--size", "40"],
        r"alexnet does not fit images of 40x40 \(see --size\): AlexNet: expected images of at least 63x63 pixels",
    ),
    "device": (["a.png", "--weights", "w.npz", "--device", "gpu"], "expected a device like 'cpu'"),
}


@pytest.mark.parametrize(("arguments", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_one_clear_line(arguments: list[Any], message: str, command: Command, tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    picture().save(tmp_path / "a.png")
    prepared = [argument if isinstance(argument, str) else argument(tmp_path) for argument in arguments]
    status, out, error = command(*prepared)
    assert (status, out) == (2, "")
    assert error.startswith("minicnn: error: ") and error.count("\n") == 1
    assert re.search(message, error.strip()), error


def test_untrained_weights_are_a_failure_and_not_an_answer(command: Command, tmp_path: Path) -> None:
    model = save_tinynet(tmp_path / "w.npz")
    state = {key: np.full(value.shape, np.nan, np.float32) for key, value in model.state_dict().items()}
    minicnn.save(state, tmp_path / "w.npz", metadata=Card(model="tinynet").metadata())
    picture().save(tmp_path / "a.png")
    with np.errstate(all="ignore"):
        status, out, error = command("a.png", "--weights", "w.npz", "--model", "tinynet", "--classes", "3")
    assert (status, out) == (1, "")
    assert "the network's logits for 'a.png' are not finite" in error and error.count("\n") == 1


PROBABILITY_TOLERANCE = 1e-4  # of the softmax; logits agree to 2e-4


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """The two bundled photographs, 427 x 640, as JPEG files."""
    paths = [tmp_path / "china.jpg", tmp_path / "flower.jpg"]
    for path, image in zip(paths, sample_photographs(), strict=True):
        Image.fromarray(image).save(path, quality=90)
    return paths


def torchvision_inputs(name: str, paths: list[Path]) -> Any:
    """The batch that torchvision's own transform for its published weights makes of the files."""
    torch, torchvision = peers.torch(), peers.torchvision()
    transform = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    return torch.stack([transform(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for path in paths])


def opinionated(peer: Any, inputs: Any) -> tuple[Any, Any]:
    """Make a random network's statistics fit the inputs, and its logits spread so far that rounding exchanges none.

    Returns the network and its logits.
    """
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for module in peer.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.momentum = None  # the plain mean over batches: one batch sets the statistics
        peer.train()(inputs)
        last = [module for module in peer.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.bias.zero_()
        last.weight.mul_(4 / peer.eval()(inputs).std())
        return peer, peer(inputs)


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {}), ("efficientnet_b0", {}), ("googlenet", {"transform_input": True, "init_weights": False})],
)
def test_the_command_gives_torchvisions_answers(
    name: str, options: dict[str, Any], command: Command, photographs: list[Path], tmp_path: Path
) -> None:
    """From the picture's file and the weights' file to the words; GoogLeNet's weights want other colours."""
    torch, torchvision = peers.torch(), peers.torchvision()
    torch.manual_seed(0)
    peer = getattr(torchvision.models, name)(**options)
    peer, logits = opinionated(peer, torchvision_inputs(name, photographs))
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    status, out, error = command(*photographs, "--model", name, "--weights", "weights.pth", "--json")
    assert (status, error) == (0, "")
    categories = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["categories"]
    top = logits.double().softmax(1).topk(5)
    assert top.indices[0].tolist() != top.indices[1].tolist()
    for line, path, classes, values in zip(
        out.splitlines(), photographs, top.indices.tolist(), top.values.tolist(), strict=True
    ):
        found = json.loads(line)
        assert found["image"] == str(path)
        assert [guess["index"] for guess in found["guesses"]] == classes
        assert [guess["label"] for guess in found["guesses"]] == [categories[index] for index in classes]
        probabilities = [guess["probability"] for guess in found["guesses"]]
        assert probabilities == pytest.approx(values, rel=0, abs=PROBABILITY_TOLERANCE)
