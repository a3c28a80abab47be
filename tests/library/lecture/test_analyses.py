"""The figures depth, vanishing, auxiliary, paths and cost: small runs, and what must hold in any run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.lecture.analyses import blocks, receptive_field
from minicnn.lecture.figures import auxiliary, cost, depth, paths, vanishing
from minicnn.models import create_model
from minicnn.models.googlenet import PARAMETERS, TABLE_1
from minicnn.models.registry import model_entry
from minicnn.nn.summary import summary
from tests.library.support.figure_checks import run

# ---- depth -------------------------------------------------------------------------------------------------------


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


# ---- vanishing ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_vanishing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vanishing, "QUICK", vanishing.Size(images=4, depths=(4, 20)))
    data = run(vanishing, tmp_path)
    assert data.norms.shape == (len(vanishing.KINDS), 2, 1, 10)
    assert np.isnan(data.norms[:, 0, :, 2:]).all() and (data.norms[:, 1] > 0).all()
    gains, ratios = data.gains()[:, 1], data.ratios()[:, 1]
    np.testing.assert_allclose(ratios, gains**18)
    for kind, gain in zip(vanishing.KINDS, gains, strict=True):
        expected = vanishing.theory(kind)
        if expected is not None:  # 16 channels are few: the norm scatters by some per cent a layer
            assert gain == pytest.approx(expected, rel=0.1), kind.name
    named = dict(zip((kind.name for kind in vanishing.KINDS), ratios, strict=True))
    assert named["N(0, 0.01²)"] < 1e-15 and named["N(0, 0.2²)"] > 1e3
    assert 0.1 < named["He"] < 10 and 0.1 < named["N(0, 0.01²), shortcuts"] < 10
    assert vanishing.FIGURE.verdict(data).startswith("through 20 layers the gradient vanishes with N(0, 0.01²)")


def test_all_kinds_of_a_seed_see_the_same_digits() -> None:
    stems = []
    for kind in vanishing.KINDS:
        minicnn.manual_seed(3)
        stems.append(vanishing.network(kind, 4)[0].weight.detach().numpy().std())
    np.testing.assert_allclose(stems, stems[0], rtol=0.2)


def test_theory_of_initialisations() -> None:
    edge = (1 + 2 * math.cos(math.pi / 9)) / 3
    he, xavier = (vanishing.theory(vanishing.Kind(init)) for init in ("He", "Xavier"))
    assert he == pytest.approx(edge) and xavier == pytest.approx(edge / math.sqrt(2))
    # The eigenvalue, from the box sum itself: it is a product of one for rows and one for columns.
    box = sum(np.eye(8, k=k) for k in (-1, 0, 1))
    assert edge == pytest.approx(np.linalg.eigvalsh(box).max() / 3)


# ---- auxiliary ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_auxiliary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(auxiliary, "QUICK", auxiliary.Size(images=2))
    monkeypatch.setattr(auxiliary, "IMAGE_SIDE", 32)
    monkeypatch.setattr(auxiliary, "INITS", ("Xavier",))
    data = run(auxiliary, tmp_path)
    above = auxiliary.LAYERS.index("inception4e")
    np.testing.assert_array_equal(data.ratios[:, above:], 1)  # no auxiliary classifier sees what comes later
    assert (data.ratios[:, :above] > 1).all()  # two more losses, in independent directions
    assert (data.ratios[:, auxiliary.BELOW_AUX1] > data.ratios[:, auxiliary.BELOW_AUX2]).all()


def test_reduced_modules_cost_what_table_1_says() -> None:
    operations, parameters, channels = auxiliary.module_costs()
    rows = [row for row in TABLE_1 if row.filters is not None]
    assert operations[1].tolist() == [row.multiply_adds for row in rows]
    own = summary(create_model("googlenet", init=False))
    inside = [sum(row.parameters for row in own.within(name)) for name in auxiliary.MODULES]
    assert parameters[1].tolist() == inside
    assert channels[1].tolist() == [row.output[0] for row in rows]
    assert operations[0, 0] == 303_464_448 and channels[0, 0] == 416  # 3a naive: 28^2 (64 + 9 * 128 + 25 * 32) * 192
    assert (operations[0] > 2 * operations[1]).all()


# ---- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = paths.Lesions(images=24, depths=(14,), samples=2, batch=2, draws=2, removed=(0, 2, 6), swaps=(0, 1))
    monkeypatch.setattr(paths, "QUICK", size)
    data = run(paths, tmp_path)
    assert data.magnitudes.shape == (7, 2) and data.shares.sum() == pytest.approx(1)
    assert data.strided.tolist() == [False, False, True, False, True, False]
    assert (data.without_several[0] == data.resnet_error).all()  # the lesion of zero blocks is the original
    assert (data.shuffled[0] == data.resnet_error).all() and (data.tau[0] == 1).all()
    assert np.ptp(data.without_several[2]) == 0  # all six blocks are the same ones in each draw
    assert (data.tau[1] < 1).all()
    for errors in (data.without_block, data.without_layer, data.without_several, data.shuffled):
        assert ((errors >= 0) & (errors <= 100)).all()
    assert len(data.without_layer) == 9


def test_the_layers_of_the_vgg_that_can_be_removed_keep_the_shape() -> None:
    minicnn.manual_seed(0)
    model = paths.SmallVGG().eval()
    x = minicnn.randn(2, 1, 8, 8)
    assert model(x).shape == (2, 10)
    for name in model.removable:
        with blocks.replaced({model.get_submodule(name): lambda x: x}):
            assert model(x).shape == (2, 10)
    assert len(model.layers) == 12 and model.removable == [f"layers.{i}" for i in (1, 2, 3, 5, 6, 7, 9, 10, 11)]


# ---- cost --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    families = {"GoogLeNet": ("googlenet",), "ResNet": ("resnet18", "resnet34"), "EfficientNet": ("efficientnet_b0",)}
    monkeypatch.setattr(cost, "FAMILIES", families)
    monkeypatch.setattr(cost, "QUICK_MEASURED", ("googlenet", "resnet18"))
    data = run(cost, tmp_path, other_seed=False)  # the time, which is measured, is new in any run
    assert data.names.tolist() == ["googlenet", "resnet18", "resnet34", "efficientnet_b0"]
    assert data.accuracy.tolist() == pytest.approx([68.7, 72.12, 75.48, 77.1])
    assert np.isfinite(data.seconds).tolist() == np.isfinite(data.peak_bytes).tolist() == [True, True, False, False]
    own = summary(create_model("resnet34", init=False))
    assert data.multiply_adds[2] == own.multiply_adds and data.parameters[2] == own.parameters
    assert data.activation_bytes[2] == own.activation_bytes
    assert data.parameters[0] == PARAMETERS["paper"][0]  # without what only trains
    assert data.front(("GoogLeNet", "ResNet")) == [0, 1, 2] and data.front(tuple(families)) == [3]
    # Two maps of 64 channels and 112 x 112 pixels are there at once at least: a convolution's output and its norm's.
    assert data.peak_bytes[1] >= 2 * 4 * 64 * 112**2
    assert data.density[3] == pytest.approx(77.1 / 5.288548)


def test_every_network_has_an_accuracy_and_a_source() -> None:
    names = [name for family in cost.FAMILIES.values() for name in family]
    scores = [cost.REPRODUCED.get(name, model_entry(name).score) for name in names]
    assert all(score[0] is not None and score[2] for score in scores)
    assert set(cost.MEASURED) | set(cost.QUICK_MEASURED) <= set(names) and set(cost.COMPARED) <= set(cost.FAMILIES)
