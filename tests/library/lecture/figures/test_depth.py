"""The figure ``depth``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.lecture.analyses import receptive_field
from minicnn.lecture.figures import depth
from minicnn.models import create_model
from minicnn.nn.summary import summary
from tests.library.support.figure_checks import run


@pytest.mark.parametrize(
    ("name", "layers"),
    [("alexnet", 8), ("vgg19", 19), ("googlenet", 22), ("resnet152", 152), ("plain34", 34), ("densenet121", 121)],
)
def test_networks_have_the_layers_of_their_names(name: str, layers: int) -> None:
    assert depth.weighted_layers(create_model(name, init=False), (3, 227, 227)) == layers


@pytest.mark.slow
def test_depth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(depth, "NETWORKS", ("googlenet", "resnet18"))
    monkeypatch.setattr(depth, "QUICK", depth.Size(images=1, side=48))
    data = run(depth, tmp_path)
    assert data.layers.tolist() == [0, 0, 8, 8, 19, 22, 152]
    assert (data.effective <= data.theoretical).all() and (data.effective <= 48).all()
    assert (np.diff(data.theoretical) > 0).all() and (np.diff(data.effective) > -3).all()
    assert data.convolutions[1].tolist() == [5, 9, 13, 17]  # of ResNet-18, without those in shortcuts
    assert data.maps.max(axis=(1, 2)).tolist() == [1, 1]


def test_fields_are_those_of_the_recursion() -> None:
    rows = depth._convolutions(summary(create_model("vgg11", init=False)).rows)
    conv, pool = (3, 1, 1), (2, 2, 1)
    layers = [conv, pool] * 2 + [conv, conv, pool] * 3
    seen = receptive_field.receptive_field(layers)
    assert [row.receptive_field[0] for row in rows] == [
        size for (size, _), layer in zip(seen, layers, strict=True) if layer is conv
    ]


def test_photographs_are_normalised_middles() -> None:
    images = depth.photographs(depth.FULL)
    assert images.shape == (2, 3, 224, 224) and 0.3 < float(images.numpy().std()) < 3


def test_settled_norms_have_the_images_statistics() -> None:
    minicnn.manual_seed(0)
    model = create_model("resnet18", num_classes=2)
    images = depth.photographs(depth.Size(images=2, side=32))
    depth.update_statistics(model, images)
    out = model.bn1(model.conv1(images)).detach().numpy()
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(out.var(axis=(0, 2, 3)), 1, atol=1e-2)
    assert not model.training
