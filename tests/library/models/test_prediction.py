"""Prediction: pictures of every kind to the classes that torchvision finds in them; weights' files; the command."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import minicnn
from minicnn import cli, nn
from minicnn.data import DataError, imagenet_labels, load_image, read_labels
from minicnn.data.transforms import ImageClassification
from minicnn.errors import FileFormatError, ShapeError
from minicnn.models import Card, create_model, load_classifier, predict
from minicnn.models.densenet import DenseNet
from minicnn.models.prediction import NotFinite
from tests.library.support import peers
from tests.library.support.tiny_training import register_tinynet

register_tinynet()

TRANSFORM_TOLERANCE = 1e-6  # of the transformed pixels, which lie within -3 .. 3; against torchvision
PROBABILITY_TOLERANCE = 1e-4  # of the softmax; logits agree to 2e-4

Command = Callable[..., tuple[int, str, str]]


def pixels(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random blots of 8 x 8 pixels, so that resizing has something to keep."""
    blots = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), channels), dtype=np.uint8)
    return blots.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def picture(width: int = 61, height: int = 47, seed: int = 0) -> Image.Image:
    return Image.fromarray(pixels(width, height, seed=seed))


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """scikit-learn's two photographs, 427 x 640, as JPEG files."""
    from sklearn.datasets import load_sample_images

    paths = [tmp_path / "china.jpg", tmp_path / "flower.jpg"]
    for path, image in zip(paths, load_sample_images().images, strict=True):
        Image.fromarray(image).save(path, quality=90)
    return paths


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``minicnn predict`` in an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: Any) -> tuple[int, str, str]:
        status = cli.main(["predict", *map(str, arguments)])
        out, error = capfd.readouterr()
        return status, out, error

    return run


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


def test_the_transform_takes_arrays_and_batches_too() -> None:
    batch = np.stack([pixels(61, 47, seed=seed).transpose(2, 0, 1) for seed in range(2)])
    transform = ImageClassification(20, 24, interpolation="bicubic")
    from_batch = transform(batch)
    assert from_batch.shape == (2, 3, 20, 20)
    for image, result in zip(batch, from_batch, strict=True):
        alone = transform(Image.fromarray(image.transpose(1, 2, 0))).numpy()
        np.testing.assert_allclose(result, alone, rtol=0, atol=TRANSFORM_TOLERANCE)


def test_a_pair_squeezes_the_whole_picture() -> None:
    image = Image.new("RGB", (30, 10), "white")
    image.paste("red", (0, 0, 15, 10))
    squeezed = ImageClassification(10, (10, 10), (0,) * 3, (1,) * 3)(image).numpy()
    assert squeezed[1, 5].tolist()[:4] == [0, 0, 0, 0] and squeezed[1, 5].tolist()[-4:] == [1, 1, 1, 1]


@pytest.mark.parametrize("arguments", [(0,), (8, 0), (8, 9, (0.5,), (0.5, 0.5)), (8, 9, (0.5,) * 3, (0.0,) * 3)])
def test_a_transform_that_cannot_be(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"size|means|std"):
        ImageClassification(*arguments)


# ------------------------------------------------------------ the names


def test_the_labels_are_imagenets() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000 == len(set(labels))
    assert (labels[0], labels[281], labels[999]) == ("tench", "tabby", "toilet tissue")
    torchvision = peers.torchvision()
    assert list(labels) == torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


def test_labels_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffBär\r\n\r\n Katze \nHund", encoding="utf-8")
    assert read_labels(path) == ("Bär", "Katze", "Hund")
    for content, message in ((b"\xff\xfe\x00", "expected text"), (b" \n\n", "no class name")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_labels(path)
    with pytest.raises(DataError, match=r"nowhere.txt': No such file"):
        read_labels(tmp_path / "nowhere.txt")


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


# ------------------------------------------------------------ weights and what belongs to them


def save_tinynet(path: Path, **changes: Any) -> nn.Module:
    """Weights with the card of a training on three classes of 8 x 8 RGB pictures."""
    classes = changes.get("classes") or ("cat", "dog", "fox")
    model = create_model("tinynet", num_classes=len(classes))
    card = Card(
        model="tinynet", classes=classes, input_shape=(3, 8, 8), resize=9, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)
    )
    minicnn.save(model.state_dict(), path, metadata=replace(card, **changes).metadata())
    return model


def test_a_card_comes_back_as_it_went(tmp_path: Path) -> None:
    for file in (tmp_path / "a.safetensors", tmp_path / "a.npz"):
        save_tinynet(file, variant="paper", resize=(8, 8))
        card = Card.read(file)
        assert card == Card(
            model="tinynet",
            variant="paper",
            classes=("cat", "dog", "fox"),
            input_shape=(3, 8, 8),
            resize=(8, 8),
            mean=(0.4, 0.5, 0.6),
            std=(0.2, 0.3, 0.4),
        )
        assert card.transform().resize_size == (8, 8)
    minicnn.save({"a": np.zeros(1)}, tmp_path / "bare.npz")
    assert Card.read(tmp_path / "bare.npz") == Card() and Card().transform() is None


def test_the_file_says_what_it_is_for(tmp_path: Path) -> None:
    model = save_tinynet(tmp_path / "mine.safetensors")
    classifier = load_classifier(tmp_path / "mine.safetensors")
    assert (classifier.name, classifier.labels, classifier.in_channels) == ("tinynet", ("cat", "dog", "fox"), 3)
    transform = classifier.transform
    assert (transform.crop_size, transform.resize_size) == ((8, 8), (9,))
    assert (transform.mean, transform.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    (found,) = classifier.predict([picture()], top=3)
    with minicnn.no_grad():
        logits = model.eval()(transform(picture()).unsqueeze(0)).numpy()[0]
    assert [guess.index for guess in found.guesses] == np.argsort(-logits).tolist()
    assert load_classifier(tmp_path / "mine.safetensors", labels=("x", "y", "z")).labels == ("x", "y", "z")


def test_names_for_files_that_say_nothing(tmp_path: Path) -> None:
    def labels(name: str, num_classes: int) -> tuple[str, ...]:
        minicnn.save(create_model(name, num_classes, init=False).state_dict(), tmp_path / "bare.safetensors")
        return load_classifier(tmp_path / "bare.safetensors", name, num_classes=num_classes).labels

    assert labels("resnet20", 10)[:2] == ("airplane", "automobile")
    assert labels("resnet20", 4) == ("class 0", "class 1", "class 2", "class 3")
    assert labels("resnet18", 10)[0] == "class 0"  # not CIFAR's: ResNet-18 was not made for that
    assert labels("resnet18", 1000) == imagenet_labels()


def test_published_weights_are_met_with_the_published_transform(tmp_path: Path) -> None:
    minicnn.save(create_model("alexnet", 3, "torchvision", init=False).state_dict(), tmp_path / "alexnet.safetensors")
    classifier = load_classifier(tmp_path / "alexnet.safetensors", "alexnet", num_classes=3)
    assert (classifier.model.variant, classifier.transform.crop_size) == ("torchvision", (224, 224))
    smaller = load_classifier(tmp_path / "alexnet.safetensors", "alexnet", num_classes=3, size=112)
    assert smaller.transform.resize_size == (128,)


def with_dots(key: str) -> str:
    """A dense layer's key as PyTorch wrote it before it forbade dots in the names of modules: norm.1 for norm1."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key)


def test_densenets_published_files_have_older_keys(tmp_path: Path) -> None:
    saved, loaded = DenseNet(4, (2, 3), 3), DenseNet(4, (2, 3), 3)
    old = {
        with_dots(key): value for key, value in saved.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    assert {"features.denseblock2.denselayer3.norm.2.running_mean", "features.norm0.weight"} <= old.keys()
    loaded.load_state_dict(old)
    for key, value in saved.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[key].numpy(), value.numpy(), err_msg=key)
    with pytest.raises(TypeError, match="expected a dictionary"):
        loaded.load_state_dict(None)

    state = create_model("densenet121", 3, init=False).state_dict()
    minicnn.save({with_dots(key): value for key, value in state.items()}, tmp_path / "densenet121.npz")
    with pytest.raises(ValueError, match="they tell 3 classes apart, not 1000"):
        create_model("densenet121", weights=tmp_path / "densenet121.npz")


CARDS = {
    "no JSON": ("{'model':", "expected a JSON object as its card"),
    "a list": ("[1, 2]", "expected a JSON object"),
    "deep": ("[" * 100_000, "expected a JSON object"),
    "model": ('{"model": 3}', "its card has 3 as model"),
    "variant": ('{"variant": ["paper"]}', r"its card has \['paper'\] as variant"),
    "classes": ('{"classes": "abc"}', "its card has 'abc' as classes"),
    "no classes": ('{"classes": []}', r"its card has \[\] as classes"),
    "mean": ('{"mean": [NaN]}', r"its card has \[nan\] as mean"),
    "std": ('{"std": [0.1, 0, 0.1]}', r"as std"),
    "true": ('{"std": [true]}', r"as std"),
    "flat": ('{"input_shape": [8, 8]}', "as input_shape"),
    "huge": ('{"input_shape": [3, 1000000000, 8]}', "as input_shape"),
    "resize": ('{"resize": [1, 2, 3]}', "as resize"),
    "resize true": ('{"resize": true}', "its card has True as resize"),
    "channels": ('{"input_shape": [3, 8, 8], "mean": [0.5], "std": [0.5]}', "of different channels"),
}


@pytest.mark.parametrize(("text", "message"), CARDS.values(), ids=CARDS)
def test_damaged_cards_are_one_error(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    minicnn.save(create_model("tinynet").state_dict(), file, metadata={"minicnn": text})
    for load in (Card.read, lambda path: create_model("tinynet", weights=path), load_classifier):
        with pytest.raises(FileFormatError, match=rf"odd\.safetensors: .*{message}"):
            load(file)


WRONG_WEIGHTS = {
    "classes": ({"num_classes": 7}, r"do not fit tinynet: they tell 10 classes apart, not 7\n"),
    "channels": ({"in_channels": 1}, r"they are for images of 3 channels, not 1\n"),
    "both": (
        {"in_channels": 1, "num_classes": 7},
        r"0\.weight is \(4, 3, 3, 3\) in the file .* and 2 more differences\n",
    ),
    "another": ({"name": "resnet20"}, r"do not fit resnet20: conv1.weight is missing, and \d+ more differences\n"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_wrong_weights_say_why_in_their_first_line(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    minicnn.save(create_model("tinynet").state_dict(), tmp_path / "tiny.npz")
    with pytest.raises(ValueError, match=rf"^the weights in '.*tiny.npz' .*{message}"):
        create_model(**{"name": "tinynet", "weights": tmp_path / "tiny.npz", **options})


def test_a_grey_file_in_a_colour_network(tmp_path: Path) -> None:
    minicnn.save(create_model("tinynet", in_channels=1).state_dict(), tmp_path / "grey.npz")
    with pytest.raises(ValueError, match="they are for images of 1 channel, not 3"):
        create_model("tinynet", weights=tmp_path / "grey.npz")


def test_a_first_layer_of_another_kernel_is_not_called_a_matter_of_channels(tmp_path: Path) -> None:
    state = dict(create_model("tinynet").state_dict())
    state["0.weight"] = minicnn.zeros(4, 3, 5, 5)
    minicnn.save(state, tmp_path / "wide.npz")
    with pytest.raises(ValueError, match=r"0\.weight is \(4, 3, 5, 5\) in the file and \(4, 3, 3, 3\) in the model\n"):
        create_model("tinynet", weights=tmp_path / "wide.npz")


def test_a_file_of_other_things(tmp_path: Path) -> None:
    torch = peers.torch()
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "log.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    minicnn.save({}, tmp_path / "nothing.npz")
    for name, message in (
        ("log.pth", "expected tensors by name, and the file holds a dictionary of 2 entries"),
        ("list.pth", "expected tensors by name, and the file holds a list"),
        ("nothing.npz", "expected tensors by name"),
    ):
        with pytest.raises(FileFormatError, match=f"{name}: {message}"):
            create_model("tinynet", weights=tmp_path / name)


def test_a_file_for_a_model_of_another_version(tmp_path: Path) -> None:
    save_tinynet(tmp_path / "new.npz", model="tinynet2")
    with pytest.raises(ValueError, match="is for a model 'tinynet2', which is not known here; did you mean 'tinynet'"):
        load_classifier(tmp_path / "new.npz")


# ------------------------------------------------------------ the command


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
    from sklearn.datasets import load_digits

    digits = load_digits()
    folder.mkdir()
    for number in range(count):
        image = (digits.images[number] * 255 / 16).round().astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return digits.target[:count]


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
    from sklearn.datasets import load_digits

    with minicnn.no_grad():
        pixels = (load_digits().images[:60, None] / 16 - mean) / std
        logits = model(minicnn.tensor(pixels.astype(np.float32))).numpy()
    assert (
        np.mean(logits.argmax(1) == [line["guesses"][0]["index"] for line in lines]) > 0.95
    )  # 17 grey levels in 8 bits


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
    "wrong number": (["a.png", "--weights", bare, "--model", "alexnet"], "they tell 3 classes apart, not 1000"),
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
    assert "the network's answer to 'a.png' is not finite" in error and error.count("\n") == 1
