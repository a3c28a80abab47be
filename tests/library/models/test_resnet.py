"""ResNet beside its paper: every row of its tables, and the same numbers as torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import models, nn
from minicnn.models import cifar_resnet, resnet
from minicnn.models.resnet import CONFIGS, TABLE_1, BasicBlock, Bottleneck, PlainBlock, ResNet
from tests.library.support import peers
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    calibrated,
    evaluation_error,
    images,
    losses_on_digits,
    same_weights,
    training_errors,
    walk,
    without_gradient,
)

SMALL = (2, 3, 33, 33)  # the smallest square whose last stage has more than one pixel
RESIDUAL = [name for name in CONFIGS if name.startswith("resnet")]
CIFAR = [f"{kind}{depth}" for kind in ("resnet", "plain") for depth in cifar_resnet.TABLE_6]

# A convolution of 3 to 16 channels and 2n of 16, 1 + (2n - 1) of 32, 1 + (2n - 1) of 64; their norms; 64 to 10.
CIFAR_PARAMETERS = {
    depth: 9 * (3 * 16 + 2 * n * 16 * 16 + 16 * 32 + (2 * n - 1) * 32 * 32 + 32 * 64 + (2 * n - 1) * 64 * 64)
    + 2 * (16 + 2 * n * (16 + 32 + 64))
    + 65 * 10
    for depth, n in ((20, 3), (32, 5), (44, 7), (56, 9), (110, 18))
}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def undrawn(name: str, **options: object) -> nn.Module:
    return models.create_model(name, init=False, **options)


# ------------------------------------------------------------ the paper's Table 1


@pytest.mark.parametrize("name", CONFIGS)
def test_table_1(name: str) -> None:
    """Kernels, filters, number of blocks, output sizes, parameters and multiply-adds, row by row."""
    block, blocks, parameter_count, multiply_adds, _ = CONFIGS[name]
    model = undrawn(name)
    found = walk(model, (1, 3, 224, 224))

    for _, attribute, output, basic, bottleneck in TABLE_1:
        row = bottleneck if block is Bottleneck else basic
        shape = found.shapes[attribute]
        assert shape[2:] == (output, output), attribute
        stage = getattr(model, attribute)
        if isinstance(stage, nn.Sequential):
            assert len(stage) == blocks[int(attribute[-1]) - 1]
            assert shape[1] == row[-1][1]
            for built in stage:
                convs = [module for key, module in built.named_children() if key.startswith("conv")]
                assert tuple((conv.kernel_size[0], conv.out_channels) for conv in convs) == row
    assert ((model.conv1.kernel_size[0], model.conv1.out_channels),) == TABLE_1[0][3]
    assert found.shapes["maxpool"] == (1, 64, 56, 56)
    assert parameters(model) == parameter_count
    assert found.multiply_adds == pytest.approx(multiply_adds, abs=0.07e9)  # the paper rounds some, cuts some
    layers = sum(conv.kernel_size != (1, 1) or block is Bottleneck for conv in convolutions(model)) + 1
    assert f"{layers}" == name.removeprefix("resnet").removeprefix("plain")


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """Every convolution but those in shortcuts, which the depth in a network's name does not count."""
    return [m for path, m in model.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in path]


@pytest.mark.parametrize(
    ("name", "billions"),
    [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089), ("resnet101", 7.801), ("resnet152", 11.514)],
)
def test_multiply_adds_of_torchvisions_variant(name: str, billions: float) -> None:
    """As torchvision publishes them: three decimals."""
    found = walk(undrawn(name, variant="torchvision"), (1, 3, 224, 224))
    assert round(found.multiply_adds / 1e9, 3) == billions


def test_variants_differ_only_in_where_a_bottleneck_strides() -> None:
    def stride(variant: str, conv: str) -> tuple[int, int]:
        return getattr(undrawn("resnet50", variant=variant).layer2[0], conv).stride

    assert stride("paper", "conv1") == (2, 2) and stride("paper", "conv2") == (1, 1)
    assert stride("torchvision", "conv1") == (1, 1) and stride("torchvision", "conv2") == (2, 2)
    assert undrawn("resnet50").variant == "paper"

    x = minicnn.tensor(images(SMALL))
    for block, equal in ((BasicBlock, True), (Bottleneck, False)):
        paper = ResNet(block, (1, 1, 1, 1), num_classes=10).eval()
        public = ResNet(block, (1, 1, 1, 1), num_classes=10, variant="torchvision").eval()
        public.load_state_dict(paper.state_dict())  # equal keys and shapes, either way
        with minicnn.no_grad():
            assert np.array_equal(paper(x).numpy(), public(x).numpy()) is equal


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_receives_a_gradient(name: str) -> None:
    assert not without_gradient(models.create_model(name, num_classes=10), SMALL)


@pytest.mark.parametrize(("name", "lr"), [("resnet18", 0.01), ("resnet20", 0.05), ("plain20", 0.05)])
def test_it_trains_on_digits(name: str, lr: float) -> None:
    minicnn.manual_seed(0)
    losses = losses_on_digits(models.create_model(name, num_classes=10, in_channels=1), batch=16, lr=lr)
    assert losses[-1] < 0.7 * losses[0]


def test_plain_networks_are_the_residual_ones_without_shortcuts() -> None:
    for depth in (18, 34):
        residual, plain = undrawn(f"resnet{depth}"), undrawn(f"plain{depth}")
        keys = [key for key in residual.state_dict() if "downsample" not in key]
        assert list(plain.state_dict()) == keys
    block = PlainBlock(4, 4).eval()
    nn.init.zeros_(block.bn2.weight)
    with minicnn.no_grad():
        assert not block(minicnn.tensor(images((1, 4, 5, 5)))).numpy().any()  # nothing flows around the layers


# ------------------------------------------------------------ the residual


@given(
    block=st.sampled_from([BasicBlock, Bottleneck]),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**16),
)
def test_input_gradient_is_the_shortcuts_plus_the_branchs(block: type, stride: int, seed: int) -> None:
    """L2.2.4: d(F(x) + x)/dx = dF/dx + I, with the projection in the place of I where the shape changes."""
    minicnn.manual_seed(seed)
    channels = 4 if block is BasicBlock else 16
    downsample = (
        None if stride == 1 else nn.Sequential(nn.Conv2d(channels, channels, 1, stride), nn.BatchNorm2d(channels))
    )
    whole = block(channels, 4, stride, downsample).double()
    x = minicnn.tensor(images((2, channels, 6, 6), np.float64, seed), requires_grad=True)
    out = whole(x)
    cotangent = images(out.shape, np.float64, seed + 1)
    out.backward(minicnn.tensor(cotangent))

    # The same in two parts, the last ReLU as a mask on the cotangent.
    masked = minicnn.tensor(cotangent * (out.detach().numpy() > 0))
    branch_x = minicnn.tensor(x.detach().numpy(), requires_grad=True)
    branch = whole.relu(whole.bn1(whole.conv1(branch_x)))
    branch = whole.bn2(whole.conv2(branch))
    if block is Bottleneck:
        branch = whole.bn3(whole.conv3(whole.relu(branch)))
    branch.backward(masked)
    expected = branch_x.grad.numpy()
    if downsample is None:
        expected = expected + masked.numpy()
    else:
        shortcut_x = minicnn.tensor(x.detach().numpy(), requires_grad=True)
        downsample(shortcut_x).backward(masked)
        expected = expected + shortcut_x.grad.numpy()
    assert abs(x.grad.numpy() - expected).max() <= 1e-10 * abs(expected).max()


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_zero_init_residual_makes_every_block_its_shortcut(block: type) -> None:
    model = ResNet(block, (1, 2, 1, 1), num_classes=3, zero_init_residual=True).eval()
    second = model.layer2[1]
    x = images((1, 128 * block.expansion, 4, 4))
    with minicnn.no_grad():
        assert np.array_equal(second(minicnn.tensor(x)).numpy(), np.maximum(x, 0))
    with pytest.raises(ValueError, match="zero_init_residual"):
        models.plain18(zero_init_residual=True)


def test_initialisation_is_hes_with_the_fan_of_the_output() -> None:
    minicnn.manual_seed(0)
    model = models.resnet18()
    for conv in (model.layer1[0].conv1, model.layer3[0].conv1, model.layer4[0].downsample[0]):
        weight = conv.weight.detach().numpy()
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
        assert abs(weight.mean()) < 0.02 * weight.std()


# ------------------------------------------------------------ CIFAR, section 4.2


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_table(name: str) -> None:
    depth = int(name.removeprefix("resnet").removeprefix("plain"))
    n = (depth - 2) // 6
    model = undrawn(name)
    found = walk(model, (1, 3, 32, 32))
    for attribute, output, layers, filters in cifar_resnet.TABLE:
        assert found.shapes[attribute] == (1, filters, output, output)
        if attribute.startswith("layer"):
            stage = getattr(model, attribute)
            assert len(convolutions(stage)) == {"2n": 2 * n}[layers]
    assert len(convolutions(model)) + 1 == depth
    assert all(conv.kernel_size == (3, 3) for conv in convolutions(model))
    published, _ = cifar_resnet.TABLE_6[depth]
    digits = 1 if published >= 1 else 2
    assert round(CIFAR_PARAMETERS[depth] / 1e6, digits) == published
    assert parameters(model) == CIFAR_PARAMETERS[depth]
    assert found.shapes["fc"] == (1, 10)


def test_cifar_shortcuts_have_no_parameters() -> None:
    for depth in cifar_resnet.TABLE_6:
        residual, plain = undrawn(f"resnet{depth}"), undrawn(f"plain{depth}")
        assert list(residual.state_dict()) == list(plain.state_dict())
        assert sum(isinstance(m, cifar_resnet.ZeroPadShortcut) for m in residual.modules()) == 2
        assert not any(isinstance(m, cifar_resnet.ZeroPadShortcut) for m in plain.modules())


@given(
    channels=st.integers(1, 4),
    new=st.integers(0, 4),
    stride=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
)
def test_zero_pad_shortcut(channels: int, new: int, stride: int, height: int, width: int) -> None:
    """It selects pixels and appends zeros, backward puts them back, and the shape is a 3x3 convolution's."""
    shortcut = cifar_resnet.ZeroPadShortcut(channels, channels + new, stride)
    x = minicnn.tensor(images((2, channels, height, width), np.float64), requires_grad=True)
    out = shortcut(x)
    with minicnn.no_grad():
        assert out.shape == resnet.conv3x3(channels, channels + new, stride)(x.detach().float()).shape
    assert np.array_equal(out.detach().numpy()[:, :channels], x.detach().numpy()[:, :, ::stride, ::stride])
    assert not out.detach().numpy()[:, channels:].any()

    cotangent = images(out.shape, np.float64, seed=1)
    out.backward(minicnn.tensor(cotangent))
    expected = np.zeros(x.shape)
    expected[:, :, ::stride, ::stride] = cotangent[:, :channels]
    assert np.array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_networks_train_on_small_grey_images(name: str) -> None:
    """Digits are 8 x 8: every parameter receives a gradient there."""
    model = models.create_model(name, in_channels=1)
    assert not without_gradient(model, (4, 1, 8, 8))


def test_cifar_depth_must_be_6n_plus_2() -> None:
    for depth in (2, 19, 21):
        with pytest.raises(ValueError, match=rf"depth \(={depth}\)"):
            cifar_resnet.CifarResNet(BasicBlock, depth)


# ------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "v1.5"}, "variant"),
        ({"replace_stride_with_dilation": (True, False)}, "replace_stride_with_dilation"),
        ({"groups": 2}, "groups=2"),
        ({"width_per_group": 128}, "base_width=128"),
        ({"replace_stride_with_dilation": (False, False, True)}, "dilation=2"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(BasicBlock, (1, 1, 1, 2), **options)


# ------------------------------------------------------------ the same as torchvision's


DEEP = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet101", "resnet152")]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", *DEEP])
def test_same_numbers_as_torchvision(name: str) -> None:
    """Logits, loss, every gradient and the running statistics, with the same weights."""
    torchvision = peers.torchvision()
    last_norm = CONFIGS[name][0].last_norm
    peer = calibrated(getattr(torchvision.models, name)(num_classes=10), SMALL, last_norm=last_norm)
    model = same_weights(undrawn(name, num_classes=10, variant="torchvision"), peer)
    assert evaluation_error(model, peer, SMALL) <= LOGITS_FLOAT32
    errors = training_errors(model, peer, SMALL)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= GRADIENTS_FLOAT64, worst


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 32, "width_per_group": 4},  # ResNeXt-50 32x4d
        {"width_per_group": 128},  # Wide ResNet-50-2
        {"replace_stride_with_dilation": (False, True, True)},
        {"zero_init_residual": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_same_options_as_torchvision(options: dict) -> None:
    torchvision = peers.torchvision()
    layers = [1, 2, 1, 1]
    peer = torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, layers, num_classes=10, **options)
    model = ResNet(Bottleneck, layers, num_classes=10, variant="torchvision", **options)
    for key, value in model.state_dict().items():
        if key.endswith(("bn3.weight", "bn3.bias")):
            assert np.array_equal(value.numpy(), peer.state_dict()[key].numpy())
    peer = calibrated(peer, SMALL, last_norm="bn3")
    same_weights(model, peer)
    assert evaluation_error(model, peer, SMALL) <= LOGITS_FLOAT32
    assert max(training_errors(model, peer, SMALL).values()) <= GRADIENTS_FLOAT64
