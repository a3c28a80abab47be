"""Weights from files: their variant is recognised, and what does not fit is one error."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from tests.library.support import peers
from tests.library.support.model_checks import LOGITS_FLOAT32, calibrated, evaluation_error


@pytest.fixture
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def small(**options: Any) -> nn.Module:
    return models.create_model("resnet50", num_classes=3, **options)


def same_state(model: nn.Module, other: nn.Module) -> bool:
    pairs = zip(model.state_dict().items(), other.state_dict().items(), strict=True)
    return all(key == known and np.array_equal(a.numpy(), b.numpy()) for (key, a), (known, b) in pairs)


@pytest.mark.usefixtures("no_warnings")
def test_published_weights_pick_their_own_variant(tmp_path: Path) -> None:
    """A real ``.pth``: the same logits as the network that PyTorch saved."""
    torch, torchvision = peers.torch(), peers.torchvision()
    peer = calibrated(torchvision.models.resnet50(num_classes=3), (2, 3, 64, 64))
    torch.save(peer.state_dict(), tmp_path / "resnet50.pth")
    model = small(weights=tmp_path / "resnet50.pth")
    assert model.variant == "torchvision"
    assert evaluation_error(model, peer, (2, 3, 64, 64)) <= LOGITS_FLOAT32


def test_published_weights_in_the_papers_variant_warn(tmp_path: Path) -> None:
    file = tmp_path / "resnet50.safetensors"
    saved = small(variant="torchvision")
    minicnn.save(saved.state_dict(), file)
    with pytest.warns(UserWarning, match="goes into the 'paper' variant .* of the 'torchvision' variant") as caught:
        model = small(weights=file, variant="paper")
    assert caught[0].filename == __file__
    assert model.variant == "paper" and same_state(model, saved)


@pytest.mark.usefixtures("no_warnings")
def test_a_file_can_say_which_variant_it_holds(tmp_path: Path) -> None:
    """So that one's own training in the paper's variant comes back as that, without a word."""
    file = tmp_path / "mine.npz"
    saved = small()
    minicnn.save(saved.state_dict(), file, metadata={"minicnn": json.dumps({"variant": saved.variant})})
    for options in ({}, {"variant": "paper"}):
        model = small(weights=str(file), **options)
        assert model.variant == "paper" and same_state(model, saved)
    with pytest.warns(UserWarning, match="of the 'paper' variant"), warnings.catch_warnings():
        warnings.simplefilter("always")
        small(weights=file, variant="torchvision")


@pytest.mark.usefixtures("no_warnings")
def test_a_model_with_one_variant_loads_without_a_word(tmp_path: Path) -> None:
    saved = models.create_model("resnet20", in_channels=1)
    minicnn.save(saved.state_dict(), tmp_path / "digits.safetensors")
    before = minicnn.random.default_generator.get_state()
    model = models.create_model("resnet20", in_channels=1, weights=tmp_path / "digits.safetensors")
    assert same_state(model, saved)
    assert minicnn.random.default_generator.get_state() == before


def test_weights_that_do_not_fit_are_one_error(tmp_path: Path) -> None:
    file = tmp_path / "resnet20.safetensors"
    minicnn.save(models.create_model("resnet20").state_dict(), file)
    with pytest.raises(ValueError, match=r"resnet20.safetensors' do not fit resnet20: (?s:.*)fc\.weight"):
        models.create_model("resnet20", num_classes=7, weights=file)
    with pytest.raises(ValueError, match=r"do not fit resnet32: (?s:.*)missing key"):
        models.create_model("resnet32", weights=file)
    with pytest.raises(FileNotFoundError):
        models.create_model("resnet20", weights=tmp_path / "nowhere.pth")
    (tmp_path / "broken.pth").write_bytes(file.read_bytes()[:100])
    with pytest.raises(minicnn.errors.FileFormatError, match="broken.pth"):
        models.create_model("resnet20", weights=tmp_path / "broken.pth")
