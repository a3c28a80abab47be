"""The figures degradation, add-or-concat, attention, scaling and backbones: small runs, and their arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import lecture, nn
from minicnn.data import digits, open_data
from minicnn.lecture import Settings
from minicnn.lecture.analyses.lesion import error_rate
from minicnn.lecture.figures import add_or_concat, attention, backbones, degradation, scaling
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.efficientnet import SCALING
from minicnn.models.resnet import BasicBlock, PlainBlock
from minicnn.models.senet import SEBasicBlock
from minicnn.nn.summary import multiply_adds
from minicnn.tensor import Tensor
from tests.library.support.figure_checks import run

# ---- degradation -------------------------------------------------------------------------------------------------


def shallow_model(name: str, num_classes: int, in_channels: int) -> CifarResNet:
    """A network of the kind of ``name``, with 8 layers for 20 and 14 for 56."""
    block = PlainBlock if name.startswith("plain") else BasicBlock
    return CifarResNet(block, 8 if name.endswith("20") else 14, num_classes, in_channels)


@pytest.mark.slow
def test_degradation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(degradation, "create_model", shallow_model)
    monkeypatch.setattr(degradation, "QUICK", degradation.Size(seeds=2, epochs=1, images=10))
    data = run(degradation, tmp_path, other_seed=False)
    assert data.train_loss.shape == data.train_error.shape == data.test_error.shape == (4, 2, 1)
    for errors in (data.train_error, data.test_error):
        np.testing.assert_allclose(errors / 10, np.round(errors / 10))  # of ten images
    assert data.data == "digits" and (data.train_loss > 0).all()
    monkeypatch.setattr(degradation, "QUICK", degradation.Size(seeds=1, epochs=1, images=10))
    other, cached = lecture.run(replace(degradation.FIGURE, name="other"), tmp_path, Settings(quick=True, seed=1))
    assert not cached and not np.array_equal(other.train_loss[:, 0], data.train_loss[:, 0])
    np.testing.assert_array_equal(other.train_loss[:, 0], data.train_loss[:, 1])  # the second seed of 0 is 1


def test_the_images_of_degradation_are_the_first_ones_of_their_split() -> None:
    images, labels = degradation.load(open_data("digits", augment=False), "test", 5)
    expected = digits("test")
    np.testing.assert_array_equal(images, [expected[i][0] for i in range(5)])
    np.testing.assert_array_equal(labels, expected.labels[:5])
    assert len(degradation.load(open_data("digits", augment=False), "test", None)[0]) == len(expected)


def test_curves_end_with_the_errors_of_the_trained_network() -> None:
    minicnn.manual_seed(0)
    train, test = (degradation.load(open_data("digits", augment=False), split, 64) for split in ("train", "test"))
    model = CifarResNet(SEBasicBlock, 8, in_channels=1)
    size = degradation.Size(seeds=1, epochs=3, images=64)
    loss, train_error, test_error = degradation.curves(model, train, test, size, seed=0, tell=lambda line: None)
    assert loss.shape == (3,) and loss[2] < loss[0] and train_error[2] < train_error[0]
    assert test_error[2] == error_rate(model, *map(Tensor, test))


def degraded(*training: tuple[float, ...]) -> degradation.Degradation:
    """Curves of one epoch with these training errors, a tuple of seeds for each network."""
    errors = np.array(training, float)[:, :, None]
    return degradation.Degradation(errors / 100, errors, errors + 1, "digits")


def test_degradation_says_with_how_many_seeds_the_deeper_trained_worse() -> None:
    data = degraded((1, 2, 3), (2, 1, 4), (5, 5, 5), (5, 4, 3))
    assert degradation.verdict(data) == (
        "of the plain networks the deeper ended with 2.3 % training error, the other with 2.0 %: "
        "the deeper trained worse with 2 of 3 seeds; "
        "of the residual networks the deeper ended with 4.0 % training error, the other with 5.0 %: "
        "the deeper trained worse with 0 of 3 seeds"
    )
    header, rows = degradation.table(data)
    assert dict(zip(header, rows[0], strict=False)) | {"spread": None} == {
        "network": "plain20", "training error %": 2.0, "training loss": 0.02, "test error %": 3.0, "spread": None
    }  # fmt: skip
    assert rows[0][2] == rows[0][6] == pytest.approx(np.sqrt(2 / 3), abs=1e-3)


# ---- add-or-concat -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_add_or_concat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(add_or_concat, "QUICK", add_or_concat.Size(epochs=1, images=10, depths=(1, 2)))
    data = run(add_or_concat, tmp_path)
    assert data.reuse.shape == (3, 7, 7)
    below = np.tril(np.ones((7, 7), bool), -1)  # a layer reads no source from behind it
    assert (np.isnan(data.reuse) == below).all() and (data.reuse[:, ~below] > 0).all()
    assert data.depths.tolist() == [1, 2] and (np.diff(data.memory, axis=1) > 0).all()
    minicnn.manual_seed(0)
    dense = add_or_concat.SmallDenseNet()
    assert data.parameters[1] == sum(parameter.numel() for parameter in dense.parameters()) == 175_690


def test_reuse_is_the_mean_absolute_weight_by_reader_and_source() -> None:
    net = add_or_concat.SmallDenseNet()
    after = [net.transitions[0].conv, net.transitions[1].conv, net.fc]
    for number, (block, last) in enumerate(zip(net.blocks, after, strict=True)):
        first = (24, 48, 60)[number]  # channels of the block's input, then twelve from each layer
        for reader, module in enumerate([*(layer.conv1 for layer in block.values()), last]):
            values = [100 * number + 10 * reader] * first
            for source in range(1, reader + 1):
                values += [100 * number + 10 * reader + source] * 12
            weight = np.broadcast_to(np.reshape(values, (1, -1) + (1,) * (module.weight.ndim - 2)), module.weight.shape)
            signs = np.where(np.arange(len(weight)) % 2, -1, 1).reshape(-1, *(1,) * (weight.ndim - 1))
            module.weight.data = minicnn.tensor((weight * signs).astype(np.float32))
    reuse = add_or_concat.feature_reuse(net)
    block, source, reader = np.indices(reuse.shape)
    expected = np.where(source <= reader, 100 * block + 10 * reader + source, np.nan)
    np.testing.assert_allclose(reuse, expected, rtol=1e-6)


def test_the_lesion_leaves_each_layer_its_newest_source_and_restores_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    net = add_or_concat.SmallDenseNet()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    read = []

    def look(net: nn.Module, images: Tensor, labels: Tensor) -> float:
        read.extend(int((np.abs(layer.conv1.weight.detach().numpy()).sum(axis=(0, 2, 3)) > 0).sum())
                    for block in net.blocks for layer in block.values())  # fmt: skip
        return 12.5

    monkeypatch.setattr(add_or_concat, "error_rate", look)
    assert add_or_concat.error_without_reuse(net, minicnn.zeros(1), minicnn.zeros(1)) == 12.5
    assert read == [24, *[12] * 5, 48, *[12] * 5, 60, *[12] * 5]
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_concatenations_are_kept_unless_they_are_made_again() -> None:
    shallow, deep = (
        [add_or_concat.training_memory(kind, depth, 2) for kind in add_or_concat.STAGES] for depth in (2, 8)
    )
    # What one image's concatenations take in a dense block of 8 layers, in KiB: 24, 36, ... 120 channels of 8 x 8.
    kept = sum(range(24, 121, 12)) * 64 * 4 / 1024
    assert deep[1] > kept and deep[1] > deep[2] + kept / 2
    assert deep[1] / shallow[1] > deep[2] / shallow[2]


def test_growth_is_the_power_of_depth() -> None:
    depths = np.array([4, 8, 32])
    memory = np.stack([5.0 * depths, 3.0 * depths**2, 7.0 * depths**0])
    data = add_or_concat.AddOrConcat(np.ones((3, 7, 7)), np.ones(2), np.array([1.0, 2.0]), 50.0, depths, memory)
    np.testing.assert_allclose(add_or_concat.growth(data), [2, 4, 1])
    assert add_or_concat.verdict(data) == (
        "trained dense layers give older sources 1.00 times the weight of the newest (1 before training); without the "
        "older ones the test error went from 2.0 to 50.0 %; twice as deep a stage takes 2.0 times the memory when it "
        "adds, 4.0 when it concatenates, 1.0 when it concatenates again in backward"
    )


# ---- attention ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_attention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(attention, "QUICK", attention.Size(seeds=1, epochs=1, images=48))
    data = run(attention, tmp_path)
    assert data.blocks.tolist() == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert (data.early.shape, data.middle.shape, data.late.shape) == ((10, 16), (10, 32), (10, 64))
    for values in (data.early, data.middle, data.late):
        assert ((values > 0) & (values < 1)).all()  # of a sigmoid
    assert data.spread.shape == data.explained.shape == (9, 1)
    assert data.spread[8, 0] == pytest.approx(data.late.std(axis=0).mean(), rel=1e-5)
    assert ((data.explained >= 0) & (data.explained <= 1)).all()


def test_gates_are_those_with_which_the_network_ran() -> None:
    minicnn.manual_seed(0)
    model = CifarResNet(SEBasicBlock, 8, in_channels=1).eval()
    x = minicnn.randn(3, 1, 8, 8)
    found = attention.gates(model, x)
    assert [values.shape for values in found.values()] == [(3, 16), (3, 32), (3, 64)]
    assert list(found) == ["layer1.0.se", "layer2.0.se", "layer3.0.se"]
    seen = []
    handle = model.layer1[0].se.register_forward_hook(lambda se, args, output: seen.append((args[0], output)))
    with minicnn.no_grad():
        model(x)
    handle.remove()
    ((given, scaled),) = seen
    np.testing.assert_allclose(scaled.numpy(), given.numpy() * found["layer1.0.se"][:, :, None, None], rtol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_networks_own_gates_held_change_nothing_and_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "error_rate", lambda model, images, labels: model(images).detach().numpy())
    minicnn.manual_seed(0)
    model = CifarResNet(SEBasicBlock, 8, in_channels=1).eval()
    x = minicnn.randn(1, 1, 8, 8)
    own = {name: values.mean(axis=0) for name, values in attention.gates(model, x).items()}
    logits = model(x).detach().numpy()
    np.testing.assert_allclose(attention.error_with_constant_gates(model, own, x, x), logits, rtol=1e-4, atol=1e-5)
    halved = {name: values / 2 for name, values in own.items()}
    assert np.abs(attention.error_with_constant_gates(model, halved, x, x) - logits).max() > 1e-2
    np.testing.assert_array_equal(model(x).detach().numpy(), logits)  # the network is as it was


def test_the_variance_that_a_class_explains_is_that_between_classes() -> None:
    labels = np.repeat(np.arange(10), 6)
    rng = np.random.default_rng(0)
    centres, noise = rng.standard_normal((10, 4)), rng.standard_normal((60, 4))
    noise -= attention.by_class(noise, labels)[labels]
    assert attention.explained_by_class(centres[labels], labels) == pytest.approx(1)
    assert attention.explained_by_class(noise, labels) == pytest.approx(0)
    between, within = 6 * ((centres - centres.mean(axis=0)) ** 2).sum(), (noise**2).sum()
    share = attention.explained_by_class(centres[labels] + noise, labels)
    assert share == pytest.approx(between / (between + within))
    np.testing.assert_allclose(attention.by_class(centres[labels] + noise, labels), centres)
    assert attention.explained_by_class(np.full((60, 4), 0.3, np.float32), labels) == 0  # nothing varies
    nearly_constant = (0.5 + 1e-6 * (centres[labels] + noise)).astype(np.float32)  # as the gates are before training
    assert attention.explained_by_class(nearly_constant, labels) == pytest.approx(share, abs=0.01)


# ---- scaling -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_scaling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scaling, "QUICK", scaling.Steps(images=16, networks=("efficientnet_b0",), phis=(1,)))
    data = run(scaling, tmp_path)
    assert data.way.tolist() == ["base", *scaling.WAYS] and data.phi.tolist() == [0, 1, 1, 1, 1]
    assert data.sizes.tolist() == [[8, 2, 4], [11, 2, 4], [8, 4, 4], [8, 2, 6], [9, 2, 5]]
    assert (data.losses > 0).all() and ((data.errors >= 0) & (data.errors <= 100)).all()
    assert data.efficientnets.tolist() == ["efficientnet_b0"]
    assert (data.parameters[0], round(data.efficientnet_macs[0] / 1e9, 2)) == (5_288_548, 0.39)


def test_multiply_adds_of_the_base_are_those_counted_by_hand() -> None:
    stem, stage1 = 16 * 9 * 1 * 8, 4 * (16 * 9 * 8 * 8)
    stage2 = 4 * 9 * 8 * 16 + 3 * (4 * 9 * 16 * 16) + 4 * 8 * 16  # and the 1x1 convolution of the shortcut
    assert multiply_adds(scaling.SmallNet(), (1, 4, 4)) == stem + stage1 + stage2 + 16 * 10


@pytest.mark.parametrize("way", scaling.WAYS)
def test_each_way_spends_about_what_it_may(way: str) -> None:
    base = multiply_adds(scaling.SmallNet(), (1, scaling.SIDE, scaling.SIDE))
    changed = set()
    for phi in scaling.FULL.phis:
        channels, blocks, side = scaling.scaled(way, phi)
        spent = multiply_adds(scaling.SmallNet(channels, blocks), (1, side, side)) / base
        assert 0.8 < spent / 2**phi < 1.2  # sizes are whole numbers
        now = {
            "width": channels > scaling.CHANNELS,
            "depth": blocks > scaling.BLOCKS,
            "resolution": side > scaling.SIDE,
        }
        changed |= {name for name, grew in now.items() if grew}
    assert changed == ({"width", "depth", "resolution"} if way == "compound" else {way})


def test_resized_pixels_are_means_of_what_lies_under_them() -> None:
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)
    labels = np.arange(2)

    def at(side: int) -> np.ndarray:
        return scaling.resized((images, labels), side)[0]

    np.testing.assert_allclose(at(8), images, rtol=1e-6)
    np.testing.assert_allclose(at(4), images.reshape(2, 1, 4, 2, 4, 2).mean(axis=(3, 5)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(at(16), images.repeat(2, axis=2).repeat(2, axis=3), rtol=1e-5)
    for side in (5, 6, 11):
        assert at(side).shape == (2, 1, side, side)
        np.testing.assert_allclose(at(side).mean(axis=(2, 3)), images.mean(axis=(2, 3)), atol=1e-6)


def test_loss_and_error_of_a_network_that_always_says_the_same() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(minicnn.tensor(np.log([0.5, 0.25, 0.25]).astype(np.float32)))

        def forward(self, x: Tensor) -> Tensor:
            return self.logits.unsqueeze(0) + minicnn.zeros(len(x), 1)

    loss, error = scaling.loss_and_error(Stubborn(), (np.zeros((4, 1, 1, 1), np.float32), np.array([0, 0, 1, 0])))
    assert loss == pytest.approx((3 * np.log(2) + np.log(4)) / 4) and error == 25


def test_losses_are_compared_at_equal_multiply_adds() -> None:
    way = np.array(["base", *(name for name in scaling.WAYS for _ in range(2))])
    macs = np.array([100, *[200, 400] * 3, 200, 300])
    losses = np.array([1.0, 0.8, 0.6, 0.7, 0.7, 0.9, 0.3, 0.5, 0.4])
    table_rows = np.zeros((9, 3), int)
    data = scaling.Scaling(way, np.array([0, *[1, 2] * 4]), table_rows, macs, np.stack([losses - 0.1, losses + 0.1], 1),
                           np.zeros((9, 2)), np.array([]), np.zeros((0, 3)), np.zeros(0), np.zeros(0))  # fmt: skip
    assert scaling.loss_at(data, "width", 100) == pytest.approx(1)
    assert scaling.loss_at(data, "width", 400) == pytest.approx(0.6)
    assert scaling.loss_at(data, "width", 200 * np.sqrt(2)) == pytest.approx(0.7)  # half way by logarithms
    assert scaling.verdict(data) == (  # resolution's 0.3 is beyond what the compound networks may spend
        "test loss 1.000 at the start, and with 3.0 times the multiply-adds width 0.683, depth 0.700, "
        "resolution 0.549, compound 0.400: compound did best here"
    )


def test_the_full_figure_counts_every_efficientnet() -> None:
    assert scaling.FULL.networks == tuple(SCALING) and len(SCALING) == 8


# ---- backbones ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_backbones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backbones, "QUICK", backbones.Size(networks=("resnet18", "plain18"), side=128))
    data = run(backbones, tmp_path)
    assert data.networks.tolist() == ["resnet18", "plain18"]
    assert data.modules.tolist() == [["layer1", "layer2", "layer3", "layer4"]] * 2
    assert data.channels.tolist() == [[64, 128, 256, 512]] * 2
    assert data.strides.tolist() == [[4, 8, 16, 32]] * 2
    np.testing.assert_array_equal(data.sides * data.strides, 128)
    assert [getattr(data, f"c{level}").shape for level in (2, 3, 4, 5)] == [(2, side, side) for side in (32, 16, 8, 4)]
    assert data.picture.shape == (128, 128, 3)
    assert (data.agreement <= 1).all() and (data.agreement[:, 0] > 0.95).all()
    assert (data.agreement[:, :2] > data.unmoved[:, :2] + 0.1).all()  # C4 and C5 are all border here


@pytest.mark.parametrize("step", [0, 1, 3])
def test_agreement_finds_by_how_much_a_map_moved(step: int) -> None:
    whole = np.random.default_rng(0).standard_normal((2, 24, 24))
    still, moved = whole[:, :20, :20], whole[:, step : step + 20, step : step + 20]
    assert backbones.agreement(still, moved, step) == pytest.approx(1)
    assert backbones.agreement(still, 3 * moved + 5, step) == pytest.approx(1)  # a correlation
    assert abs(backbones.agreement(still, moved, step + 1)) < 0.2


def test_the_photograph_has_room_to_be_moved_and_is_a_photograph() -> None:
    picture = backbones.photograph(320)
    assert picture.shape == (352, 352, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1 and picture.std() > 0.1
