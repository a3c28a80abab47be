"""What steps are called."""

from __future__ import annotations

import pytest

from minicnn import nn
from minicnn.explore.costs import costs
from minicnn.explore.names import kind_of_call
from minicnn.models import create_model


@pytest.mark.parametrize(
    ("function", "operations", "kind"),
    [
        ("relu", ["ReLU"], "ReLU"),
        ("adaptive_avg_pool2d", ["AdaptiveAvgPool2d"], "AdaptiveAvgPool2d"),
        ("flatten", ["Reshape"], "Flatten"),
        ("log_softmax", ["Exp", "Sum"], "LogSoftmax"),
        ("_add", ["Add"], "Add"),
        ("", ["Clone", "Mul", "Overwrite"], "Mul"),
        ("helper", ["Exp", "Sum"], "Exp"),
        ("GroupNorm", ["Sub", "Mul"], "GroupNorm"),
        ("OffsetConv2d", ["DeformIm2col", "MatMul"], "DeformConv2d"),
        ("", ["Reshape"], "Reshape"),
    ],
)
def test_the_kind_of_a_call(function: str, operations: list[str], kind: str) -> None:
    assert kind_of_call(function, operations) == kind


def test_labels() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 7),
    )
    assert [step.label for step in costs(network, (4, 16, 16))[0].steps] == [
        "conv 3x5, 8, /2x1",
        "depthwise conv 3x3, 8",
        "2 groups: conv 1x1, 8",
        "batch norm",
        "SiLU",
        "avg pool to 2x2",
        "flatten",
        "linear, 7",
    ]
    deformable = costs(create_model("deformable_resnet18", init=False), (3, 64, 64))[0].steps
    assert "deformable conv 3x3, 512" in [step.label for step in deformable]
