"""Maps from inside a network: C2 to C5 as the papers have them, equal to what the whole network computes, trainable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.data.bundled import bundled_digits
from minicnn.models import create_model, features
from minicnn.models.densenet import DenseNet
from minicnn.nn import functional as F
from tests.library.support.model_checks import images

# fmt: off
# The papers' tables at 224 x 224: the channels of the last map with stride 4, 8, 16 and 32, and who puts it out.
PYRAMIDS: dict[str, dict[str, int]] = {
    "resnet18":        {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "resnet50":        {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048},
    "plain34":         {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "seresnet18":      {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "seresnet50":      {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048},
    "deformable_resnet18": {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "vgg11":           {"features.9": 256, "features.14": 512, "features.19": 512, "features": 512},
    "vgg16":           {"features.15": 256, "features.22": 512, "features.29": 512, "features": 512},
    "vgg16_bn":        {"features.22": 256, "features.32": 512, "features.42": 512, "features": 512},
    "alexnet":         {"features.2": 96, "features.6": 256, "features.13": 256, "features": 256},
    "googlenet":       {"norm2": 192, "inception3b": 480, "inception4e": 832, "inception5b": 1024},
    "densenet121":     {"features.denseblock1": 256, "features.denseblock2": 512, "features.denseblock3": 1024,
                        "features": 1024},
    "densenet161":     {"features.denseblock1": 384, "features.denseblock2": 768, "features.denseblock3": 2112,
                        "features": 2208},
    "efficientnet_b0": {"features.2": 24, "features.3": 40, "features.5": 112, "features": 1280},
    "efficientnet_b4": {"features.2": 32, "features.3": 56, "features.5": 160, "features": 1792},
}
# fmt: on
STRIDES = (4, 8, 16, 32)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_the_pyramid_is_the_papers(name: str) -> None:
    body = features(create_model(name, init=False))
    assert body.channels == PYRAMIDS[name]
    assert tuple(body.strides.values()) == STRIDES


@pytest.mark.parametrize("size", [240, 250, 600])
def test_strides_do_not_depend_on_the_image(size: int) -> None:
    """240 / 32 pixels are not a whole number; the stride is 32 all the same."""
    for name in ("efficientnet_b1", "resnet18", "densenet121"):
        assert tuple(features(create_model(name, init=False), input_shape=(3, size, size)).strides.values()) == STRIDES


def test_a_map_of_one_pixel_stands_for_the_whole_image() -> None:
    body = features(create_model("resnet18", init=False), input_shape=(3, 32, 32))
    assert tuple(body.strides.values()) == STRIDES


# Networks of every family, small enough to run; the images are just large enough for four strides.
SMALL = ("resnet18", "vgg11", "googlenet", "densenet121", "seresnet18", "efficientnet_b0")


def small(name: str) -> nn.Module:
    """Only the convolutions are drawn: VGG's classifier is large, and its maps do not need it."""
    minicnn.manual_seed(0)
    model = create_model(name, num_classes=3, init=False)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return model


@pytest.mark.parametrize("name", SMALL)
def test_maps_are_those_of_the_whole_network(name: str) -> None:
    model = small(name).eval()
    body = features(model)
    x = minicnn.tensor(images((2, 3, 64, 64)))
    whole: dict[str, np.ndarray] = {}
    handles = [
        model.get_submodule(key).register_forward_hook(
            lambda module, _, out, key=key: whole.update({key: out.numpy().copy()})
        )
        for key in body.channels
    ]
    with minicnn.no_grad():
        logits = model(x)
        for handle in handles:
            handle.remove()
        ran: list[nn.Module] = []
        heads = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.AdaptiveAvgPool2d))]
        spies = [head.register_forward_hook(lambda module, *_: ran.append(module)) for head in heads]
        maps = body(x)
        assert not ran, "the classifier ran"
        for spy in spies:
            spy.remove()
        for count, found in enumerate(maps.values(), 1):  # asked for alone, a map is the same
            assert found.shape == (2, list(body.channels.values())[count - 1], *[64 // STRIDES[count - 1]] * 2)
        assert list(maps) == list(body.channels)
        for key, expected in whole.items():
            np.testing.assert_array_equal(maps[key].numpy(), expected, err_msg=key)
            alone = features(model, [key], (3, 64, 64))(x)[key]
            np.testing.assert_array_equal(alone.numpy(), expected, err_msg=key)
        np.testing.assert_array_equal(model(x).numpy(), logits.numpy())  # nothing stayed behind in the network


def test_a_module_that_runs_twice_gives_its_last_map() -> None:
    """ReLU stands twice in a residual block; the block's output is the second."""
    model = small("resnet18").eval()
    body = features(model, ["layer1.0.relu", "layer1.0", "relu"], (3, 32, 32))
    x = minicnn.tensor(images((1, 3, 32, 32)))
    with minicnn.no_grad():
        maps = body(x)
        alone = features(model, ["layer1.0.relu"], (3, 32, 32))(x)["layer1.0.relu"]
    assert list(maps) == ["layer1.0.relu", "layer1.0", "relu"]
    for found in (maps["layer1.0.relu"], alone):
        np.testing.assert_array_equal(found.numpy(), maps["layer1.0"].numpy())


def test_what_follows_a_map_does_not_change_it() -> None:
    """The addition and ReLU behind a block's last norm work in place in PyTorch."""
    model = small("resnet18").eval()
    x = minicnn.tensor(images((1, 3, 32, 32)))
    for names in (["layer1.0.bn2", "layer1.0"], ["conv1", "bn1", "relu"]):
        with minicnn.no_grad():
            together = features(model, names, (3, 32, 32))(x)
            for name in names:
                alone = features(model, [name], (3, 32, 32))(x)[name]
                np.testing.assert_array_equal(together[name].numpy(), alone.numpy(), err_msg=name)


def test_looking_changes_nothing() -> None:
    model = small("googlenet").train()
    model.inception3a.eval()
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    features(model)
    assert model.training and not model.inception3a.training
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert isinstance(model(minicnn.zeros(2, 3, 64, 64)), tuple)  # training, with auxiliary classifiers
    maps = features(model)(minicnn.tensor(images((2, 3, 64, 64))))
    assert [value.shape[1] for value in maps.values()] == [192, 480, 832, 1024]


def test_any_network_of_ones_own() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 4, stride=4), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2, padding=1))
    body = features(net, input_shape=(1, 32, 32))
    assert (body.channels, body.strides) == ({"1": 4, "2": 8}, {"1": 4, "2": 8})
    odd = nn.Sequential(nn.Conv2d(1, 4, 3, stride=3))
    assert features(odd, ["0"], (1, 30, 30)).strides == {"0": 3}
    with pytest.raises(ValueError, match=r"no map of Sequential has a stride of \(4, 8, 16, 32\) .*: name some"):
        features(odd, input_shape=(1, 30, 30))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layer5"], r"ResNet has no module 'layer5'; did you mean 'layer1'|'layer4'"),
        (["layer1", "layr2"], "no module 'layr2'; did you mean 'layer2'"),
        (["neck_of_a_detector"], "ResNet has no module 'neck_of_a_detector'$"),
        (["fc"], "the output of 'fc' is no map"),
        (["avgpool"], "the output of 'avgpool' is no map"),
    ],
)
def test_wrong_names(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features(create_model("resnet18", init=False), names)


def test_what_does_not_run_in_evaluation_has_no_map() -> None:
    with pytest.raises(ValueError, match="'aux1.conv' is no map .*, or it does not run in evaluation"):
        features(create_model("googlenet", init=False), ["aux1.conv"])


def test_a_module_that_stops_running_is_named() -> None:
    class Switch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.use_b = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), True

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x)) if self.use_b else self.a(x)

    net = Switch()
    body = features(net, ["a", "b"], (1, 4, 4))
    net.use_b = False
    with pytest.raises(RuntimeError, match="these modules did not run: b$"):
        body(minicnn.zeros(1, 1, 4, 4))
    net.use_b = True
    assert list(body(minicnn.zeros(1, 1, 4, 4))) == ["a", "b"]


def test_the_gradient_flows_through_to_the_first_layer() -> None:
    model = small("resnet18")
    body = features(model, ["layer1", "layer3"], (3, 32, 32))
    x = minicnn.tensor(images((2, 3, 32, 32)), requires_grad=True)
    maps = body(x)
    (maps["layer1"].sum() + (maps["layer3"] ** 2).sum()).backward()
    assert np.abs(x.grad.numpy()).max() > 0
    assert np.abs(model.conv1.weight.grad.numpy()).max() > 0
    assert np.abs(model.layer3[1].conv2.weight.grad.numpy()).max() > 0
    assert model.layer4[0].conv1.weight.grad is None and model.fc.weight.grad is None


# ------------------------------------------------------------ a new head (L3.2)


class Head(nn.Module):
    """What detection and segmentation do: maps of several depths, brought to one width and size, and added."""

    def __init__(self, channels: list[int], num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(found, width, 1) for found in channels])
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, maps: list[Any]) -> Any:
        small = [F.adaptive_avg_pool2d(conv(found), 2) for conv, found in zip(self.lateral, maps, strict=True)]
        return self.fc(F.relu(sum(small[1:], small[0]).flatten(1)))


@pytest.mark.parametrize(("name", "names"), [("resnet18", ["layer2", "layer3"]), ("densenet", None)])
def test_a_new_head_on_a_frozen_body_learns_digits(name: str, names: list[str] | None) -> None:
    digits, targets = bundled_digits()
    x = minicnn.tensor(digits[:64, None].repeat(4, 2).repeat(4, 3).astype(np.float32) / 8 - 1)
    y = minicnn.tensor(targets[:64].astype(np.int64))
    minicnn.manual_seed(0)
    model = DenseNet(8, (2, 2, 2, 2), in_channels=1) if name == "densenet" else create_model(name, in_channels=1)
    body = features(model, names, (1, 32, 32)).requires_grad_(False)
    for norm in (module for module in body.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
    body.train()(x)  # stands in for the training that a real body has behind it: its statistics fit its inputs
    body.eval()
    head = Head(list(body.channels.values()), 10)
    frozen = {key: value.numpy().copy() for key, value in body.state_dict().items()}
    optimizer = minicnn.optim.Adam(head.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(list(body(x).values())), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses
    for key, value in body.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), frozen[key], err_msg=key)
    assert all(parameter.grad is None for parameter in body.parameters())
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_a_body_in_training_mode_goes_on_counting() -> None:
    """Frozen weights do not freeze a batch norm's statistics: that takes ``eval()``."""
    body = features(small("resnet18"), ["layer1"], (3, 32, 32)).requires_grad_(False).train()
    before = body.model.bn1.running_mean.numpy().copy()
    body(minicnn.tensor(images((2, 3, 32, 32))))
    assert not np.array_equal(body.model.bn1.running_mean.numpy(), before)
