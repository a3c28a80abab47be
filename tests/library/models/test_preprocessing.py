"""The transform that goes with a model: torchvision's, timm's, the papers'."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from minicnn import nn
from minicnn.models import create_model, list_models, model_entry, preprocessing
from tests.library.support import peers


@cache
def model_of(name: str, variant: str | None = None) -> nn.Module:
    return create_model(name, variant=variant, init=False)


def test_preprocessing_is_torchvisions_for_its_weights() -> None:
    torchvision = peers.torchvision()
    for name in torchvision.models.list_models(torchvision.models):
        if name not in list_models() or name == "googlenet":  # that one's network transforms its input once more
            continue
        theirs = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
        ours = preprocessing(name, model_entry(name).public_variant)
        assert ours.crop_size == tuple(theirs.crop_size) * 2, name
        assert ours.resize_size == tuple(theirs.resize_size), name
        assert ours.interpolation.value == theirs.interpolation.value, name
        assert (ours.mean, ours.std) == (tuple(theirs.mean), tuple(theirs.std)), name


def test_preprocessing_of_se_resnet_is_timms() -> None:
    published = peers.timm().get_pretrained_cfg("seresnet50.ra2_in1k")
    ours = preprocessing("seresnet50", "torchvision")
    assert ours.crop_size == published.input_size[1:]
    assert ours.resize_size == (int(ours.crop_size[0] / published.crop_pct),)
    assert ours.interpolation.value == published.interpolation
    assert (ours.mean, ours.std) == (published.mean, published.std)


def test_preprocessing_of_the_papers() -> None:
    assert preprocessing("resnet50").resize_size == (256,)
    assert (preprocessing("alexnet").crop_size, preprocessing("alexnet").resize_size) == ((227, 227), (259,))
    assert preprocessing("efficientnet_b2").crop_size == (260, 260)
    small = preprocessing("resnet20")
    assert (small.crop_size, small.resize_size) == ((32, 32), (32, 32))
    assert small.mean == (0.4914, 0.4822, 0.4465)
    assert preprocessing("resnet50", in_channels=1).mean == pytest.approx((0.449,))
    with pytest.raises(ValueError, match="resnet20 has no variant 'v2'"):
        preprocessing("resnet20", "v2")
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        preprocessing("resnet_50")


@pytest.mark.parametrize(("size", "resize"), [(112, 128), (448, 512), (225, 257)])
def test_another_size_keeps_the_proportion(size: int, resize: int) -> None:
    transform = preprocessing("resnet50").at(size)
    assert (transform.crop_size, transform.resize_size) == ((size, size), (resize,))
    assert preprocessing("resnet20").at(size).resize_size == (size, size)


def test_variants_are_noted_on_the_model() -> None:
    """``minicnn train`` writes it into the weights' card; without it they would be taken for published ones."""
    for name in list_models():
        variants: tuple[Any, ...] = model_entry(name).variants
        if len(variants) > 1 and not name.endswith(("101", "152", "_b5", "_b6", "_b7")):
            assert [model_of(name, variant).variant for variant in variants] == list(variants), name
