"""The card in a weights file: what it says comes back, what is damaged or does not fit is one error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.data import imagenet_labels
from minicnn.errors import FileFormatError
from minicnn.models import Card, create_model, load_classifier
from minicnn.models.densenet import DenseNet
from tests.library.support import peers
from tests.library.support.blots import picture, save_tinynet
from tests.library.support.tiny_training import register_tinynet

register_tinynet()


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
    with pytest.raises(ValueError, match="they are for 3 classes, not 1000"):
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
    "classes": ({"num_classes": 7}, r"do not fit tinynet: they are for 10 classes, not 7\n"),
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
        ("log.pth", "expected tensors by name, but the file holds a dictionary of 2 entries"),
        ("list.pth", "expected tensors by name, but the file holds a list"),
        ("nothing.npz", "expected tensors by name"),
    ):
        with pytest.raises(FileFormatError, match=f"{name}: {message}"):
            create_model("tinynet", weights=tmp_path / name)


def test_a_file_for_a_model_of_another_version(tmp_path: Path) -> None:
    save_tinynet(tmp_path / "new.npz", model="tinynet2")
    with pytest.raises(ValueError, match="is for a model 'tinynet2', which is not known here; did you mean 'tinynet'"):
        load_classifier(tmp_path / "new.npz")
