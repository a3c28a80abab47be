"""The summary: counts against closed forms, tables and published numbers; receptive fields; nothing is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import backend, nn
from minicnn.models import create_model
from minicnn.nn.summary import summary

PUBLISHED = {  # torchvision's metadata: parameters, G multiply-adds at 224 x 224
    "alexnet": (61_100_840, 0.714),
    "vgg11": (132_863_336, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg16": (138_357_544, 15.470),
    "vgg19": (143_667_240, 19.632),
    "vgg16_bn": (138_365_992, 15.470),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
}
LECTURE = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3}  # L2.2.6, in 1e9


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    variant = "torchvision" if name in ("alexnet",) or name.startswith("resnet") else None
    table = summary(create_model(name, variant=variant, init=False))
    parameters, multiply_adds = PUBLISHED[name]
    assert table.parameters == parameters
    assert round(table.multiply_adds / 1e9, 3) == multiply_adds


@pytest.mark.parametrize("name", LECTURE)
def test_the_lectures_table(name):
    table = summary(create_model(name, init=False))
    assert table.multiply_adds / 1e9 == pytest.approx(LECTURE[name], abs=0.1)


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([1, 2]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(8, 12),
)
def test_a_convolution_in_closed_form(kernel, stride, groups, dilation, padding, size):
    layer = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups)
    (row,) = summary(layer, (4, size, size)).rows
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    assert row.output_shape == (1, 6, out, out)
    assert row.multiply_adds == out * out * 6 * (4 // groups) * kernel * kernel
    assert row.parameters == 6 * (4 // groups) * kernel * kernel + 6
    assert row.activation_bytes == 6 * out * out * 4
    if out > 1:
        assert row.receptive_field == (dilation * (kernel - 1) + 1,) * 2 and row.stride == (stride,) * 2


class Cross(nn.Module):
    """Two branches of different kernels that meet in a sum and a concatenation, and one functional convolution."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(1, 2, (1, 5), padding=(0, 2))
        self.tall = nn.Conv2d(1, 2, (3, 1), padding=(1, 0))
        self.weight = nn.Parameter(minicnn.zeros(1, 4, 3, 3))

    def forward(self, x):
        wide, tall = self.wide(x), self.tall(x)
        return nn.functional.conv2d(minicnn.cat([wide + tall, tall], 1), self.weight, padding=1)


def test_branches_take_the_larger_field_and_functional_work_counts():
    table = summary(Cross(), (1, 9, 9))
    fields = {row.name: row.receptive_field for row in table.rows}
    assert fields == {"wide": (1, 5), "tall": (3, 1), "": (5, 7)}
    assert table.rows[-1].multiply_adds == 81 * 4 * 9 and table.rows[-1].parameters == 36
    assert table.multiply_adds == 81 * (10 + 6 + 36)


def test_receptive_field_against_the_gradient_of_one_output_pixel():
    net = nn.Sequential(
        nn.Conv2d(1, 1, 3, stride=2), nn.MaxPool2d(2, 1), nn.Conv2d(1, 1, 3, dilation=2), nn.AvgPool2d(2)
    )
    minicnn.manual_seed(0)
    rows = summary(net, (1, 41, 41)).rows
    for depth, row in enumerate(rows, 1):
        for layer in net[:depth]:
            if isinstance(layer, nn.Conv2d):
                nn.init.constant_(layer.weight, 1.0)
        seen = np.zeros((41, 41), bool)
        for _ in range(40):  # a maximum shows one pixel at a time
            x = minicnn.randn(1, 1, 41, 41, requires_grad=True)
            net[:depth](x)[0, 0, 2, 2].backward()
            seen |= x.grad.numpy()[0, 0] != 0
        extent = [np.ptp(np.flatnonzero(seen.any(axis))) + 1 for axis in (1, 0)]
        assert row.receptive_field == tuple(extent)


def test_a_layer_called_twice_has_two_rows_and_counts_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    table = summary(Twice(), (2, 5, 5))
    assert [row.parameters for row in table.rows] == [38, 0] and table.multiply_adds == 2 * 25 * 36


def test_nothing_about_the_model_changes():
    net = create_model("resnet20", in_channels=1)
    before = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    net.train()
    net.layer1.eval()
    summary(net, (1, 8, 8))
    assert net.training and not net.layer1.training
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert all(p.grad is None for p in net.parameters())
    assert backend.get("cpu").name == "cpu"
    assert net(minicnn.zeros(2, 1, 8, 8)).shape == (2, 10)  # hooks are gone, numbers are numbers again


def test_frozen_parameters_are_told():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    assert "(16 frozen)" in str(summary(net, (3,)))


def test_the_table_reads_well():
    text = str(summary(create_model("resnet18", init=False)))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "mult-adds", "memory", "field", "stride"]
    assert lines[2].split() == ["conv1", "Conv2d", "64x112x112", "9,408", "118,013,952", "3.1", "MiB", "7", "2"]
    assert "1,814,073,344 (convolutions and matrix products, one image; 2 FLOPs each)" in " ".join(text.split())
    above, below = lines.index("layer2.0"), lines.index("layer2.1")
    assert [line.split()[:2] for line in lines[above + 1 : above + 3]] == [["conv1", "Conv2d"], ["bn1", "BatchNorm2d"]]
    assert all(line.startswith("  ") for line in lines[above + 1 : below] if not line.startswith("layer2.0."))
    assert max(map(len, lines)) <= 80


def test_a_wrong_input_says_where():
    with pytest.raises(RuntimeError, match=r"ResNet\.conv1: expected 3 input channels, got 1"):
        summary(create_model("resnet18", init=False), (1, 64, 64))
