"""Models by name: what is listed, how a name becomes a network, and what a wrong argument says."""

from __future__ import annotations

import re

import grimp
import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.models import registry


def test_every_listed_model_is_an_attribute_with_its_facts() -> None:
    names = [name for name in models.list_models() if models.model_entry(name).builder.__module__.startswith("minicnn")]
    assert {"resnet18", "resnet152", "plain34", "resnet20", "plain110"} <= set(names)
    assert names.index("resnet20") < names.index("resnet101")
    for name in names:
        entry = models.model_entry(name)
        assert entry.name == name
        assert getattr(models, name) is entry.builder
        assert entry.description
        assert entry.paper.title and entry.paper.authors and entry.paper.url.startswith("https://")
        assert entry.paper.lecture.startswith("L")
        assert 2010 < entry.paper.year < 2030
        assert entry.variants[0] == "paper" or len(entry.variants) == 1
        *errors, source = entry.score
        assert bool(source) == any(error is not None for error in errors)
        assert all(error is None or 0 < error < 50 for error in errors)


def test_facts_of_the_residual_networks() -> None:
    entry = models.model_entry("resnet50")
    assert entry.score[:2] == (22.85, 6.71)
    assert entry.public_variant == "torchvision"
    assert (entry.num_classes, entry.input_size) == (1000, 224)
    assert models.model_entry("resnet56").score[0] == 6.97
    assert (models.model_entry("plain20").num_classes, models.model_entry("plain20").input_size) == (10, 32)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet19", "resnet18"), ("ResNet-18", "resnet18"), ("resnet_50", "resnet50"), ("plian34", "plain34")],
)
def test_a_wrong_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"no model is called '{name}'; did you mean '{nearest}'"):
        models.create_model(name)


@pytest.mark.parametrize("name", ["transformer", "", None, 18, ["resnet18"]])
def test_a_name_like_no_other_says_where_the_names_are(name: object) -> None:
    with pytest.raises(ValueError, match="list_models"):
        models.create_model(name)


def test_a_wrong_attribute_suggests_the_nearest() -> None:
    with pytest.raises(AttributeError, match="no attribute 'resnet_18'; did you mean 'resnet18'"):
        models.resnet_18  # noqa: B018


@pytest.mark.parametrize("value", [0, -3, 2.5, "10", True, np.float32(4)])
@pytest.mark.parametrize("argument", ["num_classes", "in_channels"])
def test_sizes_must_be_positive_integers(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{argument} (={value!r}) must be a positive integer")):
        models.create_model("resnet20", **{argument: value})


def test_sizes_reach_the_network() -> None:
    model = models.create_model("resnet20", num_classes=np.int64(7), in_channels=1)
    assert model.fc.out_features == 7 and model.conv1.in_channels == 1
    assert models.create_model("resnet20").fc.out_features == 10
    assert models.create_model("resnet18", init=False).fc.out_features == 1000
    assert models.create_model("resnet18", 5, "torchvision", 2, init=False).conv1.in_channels == 2


def test_variants() -> None:
    assert models.create_model("resnet50", init=False).variant == "paper"
    assert models.create_model("resnet50", init=False, variant="torchvision").variant == "torchvision"
    with pytest.raises(ValueError, match="resnet20 has no variant 'v2'; it has 'paper'"):
        models.create_model("resnet20", variant="v2")
    one_network = models.create_model("vgg11", init=False, variant="torchvision")  # answers to both names
    assert [*one_network.state_dict()] == [*models.create_model("vgg11", init=False).state_dict()]
    with pytest.raises(ValueError, match="'paper', 'torchvision'"):
        models.create_model("resnet50", variant="v1.5")


def test_options_reach_the_architecture_and_unknown_ones_do_not_pass() -> None:
    model = models.create_model("resnet18", num_classes=3, zero_init_residual=True)
    assert not model.layer1[0].bn2.weight.detach().numpy().any()
    with pytest.raises(TypeError, match="dropuot"):
        models.create_model("resnet18", dropuot=0.5)


def test_init_false_draws_nothing() -> None:
    minicnn.manual_seed(3)
    before = minicnn.random.default_generator.get_state()
    model = models.create_model("resnet20", init=False)
    assert minicnn.random.default_generator.get_state() == before
    model.load_state_dict(models.create_model("resnet20").state_dict())
    assert model.conv1.weight.detach().numpy().any()


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> np.ndarray:
        minicnn.manual_seed(seed)
        return models.create_model("resnet20").layer3[0].conv1.weight.detach().numpy()

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_to_read_a_model_takes_no_weights_cards_or_pictures() -> None:
    """A model file imports what builds networks; only the hub imports what reads files."""
    imports = grimp.build_graph("minicnn", cache_dir=None)
    hub = ("minicnn.models.hub", "minicnn.models.card", "minicnn.serialization", "minicnn.data")
    builders = {models.model_entry(name).builder.__module__ for name in models.list_models()}
    files = {name for name in builders if name.startswith("minicnn.models.")}
    assert {"minicnn.models.resnet", "minicnn.models.vgg"} <= files
    for file in files:
        assert not [above for above in hub if imports.find_shortest_chain(file, above, as_packages=True)], file


def test_a_name_can_be_registered_once() -> None:
    paper = models.model_entry("resnet18").paper

    def resnet18(num_classes: int = 4, in_channels: int = 3) -> nn.Module:
        return nn.Linear(in_channels, num_classes)

    with pytest.raises(ValueError, match="two models are called 'resnet18'"):
        models.register(paper)(resnet18)


def test_a_registered_model_can_be_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    paper = models.model_entry("resnet18").paper

    @models.register(paper, {"tiny": (1.0, None, "Table 0")})
    def tiny(num_classes: int = 4, in_channels: int = 3) -> nn.Module:
        """A single layer."""
        return nn.Linear(in_channels, num_classes)

    entry = models.model_entry("tiny")
    assert (entry.description, entry.num_classes, entry.score[0]) == ("A single layer.", 4, 1.0)
    assert models.create_model("tiny", in_channels=2).weight.shape == (4, 2)
    assert models.tiny is tiny
    assert "tiny" in models.list_models()
