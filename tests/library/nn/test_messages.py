"""A wrong shape anywhere in any architecture is one line: where, what was expected, what came, and from where."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import minicnn
from minicnn import backend, nn
from minicnn.backend.shapes import shape_array
from minicnn.errors import ShapeError
from minicnn.models import create_model, features

# One of each family, and for each the path of the first convolution.
STEMS = {
    "alexnet": "AlexNet.features.0",
    "vgg11": "VGG.features.0",
    "vgg11_bn": "VGG.features.0",
    "googlenet": "GoogLeNet.conv1.conv",
    "resnet18": "ResNet.conv1",
    "resnet50": "ResNet.conv1",
    "plain18": "ResNet.conv1",
    "resnet20": "CifarResNet.conv1",
    "densenet121": "DenseNet.features.conv0",
    "seresnet18": "ResNet.conv1",
    "efficientnet_b0": "EfficientNet.features.0.0",
    "deformable_resnet18": "DeformableResNet.conv1",
}


def build(name: str) -> nn.Module:
    return create_model(name, num_classes=3, init=False).eval()


@cache
def untouched(name: str) -> nn.Module:
    return build(name)


def message(call: Callable[[], Any]) -> str:
    """The one line that the call fails with; shapes are followed and nothing is computed."""
    with backend.use("shapes"), minicnn.no_grad(), pytest.raises(ShapeError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def zeros(*shape: int) -> minicnn.Tensor:
    return minicnn.Tensor.wrap(shape_array(shape))


@pytest.mark.parametrize("name", STEMS)
def test_a_wrong_number_of_channels(name: str) -> None:
    model = untouched(name)
    for channels in (1, 4):
        text = message(lambda channels=channels: model(zeros(2, channels, 72, 80)))
        assert text == f"{STEMS[name]}: expected 3 input channels, got {channels} (shape (2, {channels}, 72, 80))"


SMALLEST = {"alexnet": 67, "vgg11": 32, "vgg11_bn": 32, "googlenet": 31, "densenet121": 29}  # others take any size


@pytest.mark.parametrize("name", SMALLEST)
def test_images_that_are_too_small(name: str) -> None:
    model, least = untouched(name), SMALLEST[name]
    root = STEMS[name].partition(".")[0]
    for shape in ((2, 3, least - 1, 99), (2, 3, 99, least - 1), (1, 3, 1, 1)):
        text = message(lambda shape=shape: model(zeros(*shape)))
        size = f"{shape[2]}x{shape[3]}"
        assert text == f"{root}: expected images of at least {least}x{least} pixels, got {size} (shape {shape})"
    with backend.use("shapes"), minicnn.no_grad():
        assert model(zeros(2, 3, least, least)).shape == (2, 3)


@pytest.mark.parametrize("name", sorted(STEMS.keys() - SMALLEST.keys()))
def test_images_of_one_pixel_are_enough_for_the_others(name: str) -> None:
    with minicnn.no_grad():
        assert untouched(name)(minicnn.zeros(2, 3, 1, 1)).shape == (2, 3)


@pytest.mark.parametrize("blocks", [(2,), (2, 2), (2, 2, 2, 2)])
def test_the_smallest_image_of_any_densenet(blocks: tuple[int, ...]) -> None:
    from minicnn.models.densenet import DenseNet

    model = DenseNet(4, blocks, 3).eval()
    with minicnn.no_grad():
        assert model(minicnn.zeros(1, 3, model.smallest_input, model.smallest_input)).shape == (1, 3)
    model.smallest_input -= 1
    if model.smallest_input:
        assert "expected an input of at least" in message(lambda: model(zeros(1, 3, *[model.smallest_input] * 2)))


@pytest.mark.parametrize("name", STEMS)
def test_what_is_no_batch_of_images(name: str) -> None:
    model, root = untouched(name), STEMS[name].partition(".")[0]
    for shape in ((72, 80), (3, 72, 80), (2, 2, 3, 72, 80)):
        text = message(lambda shape=shape: model(zeros(*shape)))
        assert text.startswith(root)
        assert re.search(r"expected .*\(N, C, H, W\).*, got shape \(", text), text


@pytest.mark.parametrize("name", STEMS)
def test_pixels_of_another_type(name: str) -> None:
    image = minicnn.Tensor.wrap(shape_array((2, 3, 72, 80), minicnn.float64))
    text = message(lambda: untouched(name)(image))
    assert text.startswith(f"{STEMS[name]}: expected input and weight of one dtype, got float64 and float32")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0", "googlenet"])
def test_a_single_small_image_in_training(name: str) -> None:
    """Its batch norm has one value a channel, and a variance of one value says nothing."""
    model = create_model(name, num_classes=3, variant="torchvision" if name == "googlenet" else None, init=False)
    size = {"densenet121": 29, "googlenet": 15}.get(name, 1)
    with pytest.raises(ShapeError) as caught:
        model.train()(minicnn.zeros(1, 3, size, size))
    assert re.match(
        r"\w+\.[\w.]+: expected more than one value a channel to normalise in training, got shape \(1, \d+, 1, 1\)"
        r"( \(from [\w.]+\))?$",
        str(caught.value),
    )


# ------------------------------------------------------------ a layer that does not fit


def swap(model: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    model.get_submodule(parent).add_module(name, layer)


def widened(conv: nn.Conv2d, in_factor: int, out_factor: int) -> nn.Conv2d:
    sizes = conv.kernel_size, conv.stride, conv.padding
    return nn.Conv2d(conv.in_channels * in_factor, conv.out_channels * out_factor, *sizes)


# The convolution that is swapped, where its input comes from, and the first module that its output does not fit.
BROKEN = {
    "alexnet": ("features.8", "features.7", "features.10", "features.9"),
    "vgg11": ("features.11", "features.10", "features.13", "features.12"),
    "vgg11_bn": ("features.15", "features.14", "features.16", "features.15"),
    "googlenet": ("inception4c.branch2.1.conv", "inception4c.branch2.0", "inception4d.branch1.conv", "inception4c"),
    "resnet18": ("layer3.0.conv1", "layer2.1", "layer3.0.bn1", "layer3.0.conv1"),
    "resnet50": ("layer3.0.conv3", "layer3.0.relu", "layer3.0.bn3", "layer3.0.conv3"),
    "plain18": ("layer2.1.conv2", "layer2.1.relu", "layer2.1.bn2", "layer2.1.conv2"),
    "resnet20": ("layer2.1.conv1", "layer2.0", "layer2.1.bn1", "layer2.1.conv1"),
    "densenet121": (
        "features.transition2.conv",
        "features.transition2.relu",
        "features.denseblock3.denselayer1.norm1",
        "",
    ),
    "seresnet18": ("layer4.0.downsample.0", "layer3.1", "layer4.0.downsample.1", "layer4.0.downsample.0"),
    "efficientnet_b0": ("features.8.0", "features.7.0", "features.8.1", "features.8.0"),
    "deformable_resnet18": ("layer4.1.conv1", "layer4.0", "layer4.1.bn1", "layer4.1.conv1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_layer_that_expects_other_channels(name: str) -> None:
    path, source, _, _ = BROKEN[name]
    model = build(name)
    conv = model.get_submodule(path)
    given = conv.in_channels
    swap(model, path, widened(conv, 2, 1))
    text = message(lambda: model(zeros(2, 3, 72, 72)))
    assert text.partition(".")[2].startswith(
        f"{path}: expected {2 * given} input channels, got {given} (from {source}, shape (2, {given}, "
    ), text


@pytest.mark.parametrize("name", BROKEN)
def test_a_layer_that_gives_other_channels(name: str) -> None:
    path, _, victim, source = BROKEN[name]
    model = build(name)
    swap(model, path, widened(model.get_submodule(path), 1, 2))
    text = message(lambda: model(zeros(2, 3, 72, 72)))
    there = model.get_submodule(victim)
    channels = there.in_channels if isinstance(there, nn.Conv2d) else there.num_features
    came_from = rf"\(from {re.escape(source)}, shape" if source else r"\((from [\w.]+, )?shape"
    assert re.match(rf"\w+\.{re.escape(victim)}: expected {channels} .*channels.*, got \d+ {came_from} \(2, ", text), (
        text
    )


def test_the_examples_of_the_plan() -> None:
    model = build("resnet34")
    swap(model, "layer3.0.conv1", nn.Conv2d(256, 256, 3, 2, 1, bias=False))
    assert message(lambda: model(zeros(2, 3, 224, 224))) == (
        "ResNet.layer3.0.conv1: expected 256 input channels, got 128 (from layer2.3, shape (2, 128, 28, 28))"
    )
    model = build("resnet34")
    swap(model, "fc", nn.Linear(100, 3))
    assert message(lambda: model(zeros(2, 3, 224, 224))) == (
        "ResNet.fc: expected 100 input features, got 512 (input shape (2, 512))"
    )


def narrower(path: str) -> Callable[[nn.Module], None]:
    """Takes the padding away from a convolution, so that its output is smaller than its neighbours'."""

    def change(model: nn.Module) -> None:
        model.get_submodule(path).padding = (0, 0)

    return change


def without(path: str) -> Callable[[nn.Module], None]:
    return lambda model: swap(model, path, nn.Identity())


# Where branches meet: the module in which they do, and what must be in the message.
MEETINGS = {
    "shortcut of other channels": (
        "resnet18",
        lambda model: setattr(model.layer2[0], "downsample", None),
        r"^ResNet\.layer2\.0: .*\(2, 128, 9, 9\).*\(2, 64, 18, 18\).*\(from layer1\.1\)$",
    ),
    "shortcut of another size": (
        "resnet50",
        narrower("layer2.1.conv2"),
        r"^ResNet\.layer2\.1: .*\(2, 512, 7, 7\).*\(2, 512, 9, 9\).*\(from layer2\.0\)$",
    ),
    "inception": (
        "googlenet",
        narrower("inception3a.branch3.1.conv"),
        r"^GoogLeNet\.inception3a: cat: .* \(2, 64, 9, 9\) .* \(2, 32, 5, 5\) for tensor 2 \(from maxpool2, shape",
    ),
    "dense": (
        "densenet121",
        narrower("features.denseblock2.denselayer3.conv2"),
        r"^DenseNet\.features\.denseblock2\.denselayer4: cat: .* \(2, 128, 9, 9\) .* \(2, 32, 7, 7\) for tensor 3",
    ),
    "inverted bottleneck": (
        "efficientnet_b0",
        narrower("features.2.1.block.1.0"),
        r"^EfficientNet\.features\.2\.1: .*\(2, 24, 16, 16\).*\(2, 24, 18, 18\).*\(from features\.2\.0\)$",
    ),
    "attention": (
        "seresnet18",
        lambda model: swap(model, "layer2.0.se.fc2", nn.Conv2d(8, 64, 1)),
        r"^ResNet\.layer2\.0\.se: .*\(2, 128, 9, 9\).*\(2, 64, 1, 1\).*\(from layer2\.0\.bn2\)$",
    ),
    "no pooling": ("vgg11", without("avgpool"), r"^VGG\.classifier\.0: expected 25088 input features, got 2048"),
    "a pooling larger than its input": (
        "resnet18",
        lambda model: swap(model, "maxpool", nn.MaxPool2d(99)),
        r"^ResNet\.maxpool: expected an input of at least .*99.*, got 36x36 pixels \(from relu, shape",
    ),
}


@pytest.mark.parametrize(("name", "change", "expected"), MEETINGS.values(), ids=MEETINGS)
def test_branches_that_do_not_meet(name: str, change: Callable[[nn.Module], None], expected: str) -> None:
    model = build(name)
    change(model)
    text = message(lambda: model(zeros(2, 3, 72, 72)))
    assert re.search(expected, text), text


def test_numbers_that_are_computed_fail_in_the_same_words() -> None:
    """What the tests above see on shapes is what a real pass says."""
    model = build("resnet20")
    swap(model, "layer3.1.conv2", nn.Conv2d(32, 64, 3, padding=1))
    with pytest.raises(ShapeError) as caught:
        model(minicnn.zeros(2, 3, 16, 16))
    assert str(caught.value) == (
        "CifarResNet.layer3.1.conv2: expected 32 input channels, got 64 (from layer3.1.relu, shape (2, 64, 4, 4))"
    )
    assert str(caught.value) == message(lambda: model(zeros(2, 3, 16, 16)))


def test_a_backbone_says_where_too() -> None:
    body = features(untouched("resnet18"), ["layer1"])
    assert message(lambda: body(zeros(2, 1, 32, 32))).startswith(
        "FeatureExtractor.model.conv1: expected 3 input channels"
    )


def test_a_summary_says_where_too() -> None:
    with pytest.raises(ShapeError, match=r"^AlexNet: expected images of at least 67x67 pixels, got 64x64"):
        minicnn.summary(untouched("alexnet"), (3, 64, 64))
