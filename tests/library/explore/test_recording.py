"""The graph of a recorded forward: that of networks whose graph is known, and laws for all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.autograd.modes import SWITCHES
from minicnn.errors import ShapeError
from minicnn.explore.recording import record
from minicnn.explore.steps import INPUT
from minicnn.models import create_model
from minicnn.tensors import Tensor

from .networks import Branches, InPlace, Twice, assert_connected, edges


def image(side: int = 8, channels: int = 3) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((1, channels, side, side)).astype(np.float32))


def test_a_module_that_runs_twice_has_two_steps() -> None:
    assert edges(record(Twice(), image()).steps) == [
        ("conv", "Conv2d", [INPUT]),
        ("", "ReLU", [0]),
        ("conv", "Conv2d", [1]),
        ("", "Add", [2, 0]),
        ("", "Mean", [3]),
        ("fc", "Linear", [4]),
    ]


def test_branches_join_and_a_gate_reads_what_it_gates() -> None:
    recording = record(Branches(), image())
    assert edges(recording.steps) == [
        ("left.0", "Conv2d", [INPUT]),
        ("left.1", "ReLU", [0]),
        ("right", "Conv2d", [INPUT]),
        ("", "Cat", [1, 2]),
        ("", "Mean", [3]),
        ("gate", "Linear", [4]),
        ("", "Sigmoid", [5]),
        ("", "Reshape", [6]),
        ("", "Mul", [3, 7]),
        ("", "MaxPool2d", [8]),
        ("", "Flatten", [9]),
        ("head", "Linear", [10]),
    ]
    assert recording.result == 11
    assert [step.label for step in recording.steps if "pool" in step.label or "conv" in step.label] == [
        "conv 1x1, 2",
        "conv 3x3, 4",
        "max pool 2x2, /2",
    ]


def test_what_passes_its_input_on_is_a_step_of_its_own() -> None:
    """And the shortcut around it still begins before it."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.identity, self.fc = nn.Dropout(), nn.Identity(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.mean((2, 3))
            return self.fc(self.identity(self.dropout(x)) + x)

    assert edges(record(Net(), image(channels=4)).steps) == [
        ("", "Mean", [INPUT]),
        ("dropout", "Dropout", [0]),
        ("identity", "Identity", [1]),
        ("", "Add", [2, 0]),
        ("fc", "Linear", [3]),
    ]


def test_functions_of_a_networks_own_weights() -> None:
    """They are counted where they are used; what is made of weights alone is no step."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(minicnn.randn(5, 3, 3, 3))
            self.bias = nn.Parameter(minicnn.randn(5))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            x = nn.functional.conv2d(x, weight, self.bias, 2)
            return nn.functional.linear(x.flatten(1), minicnn.ones(2, 45))

    steps = record(Net(), image()).steps
    assert edges(steps) == [("", "Conv2d", [INPUT]), ("", "Flatten", [0]), ("", "Linear", [1])]
    assert [step.parameters for step in steps] == [5 * 27 + 5, 0, 0]
    assert [step.label for step in steps] == ["conv 3x3, 5, /2", "flatten", "linear, 2"]


def test_a_tensor_taken_off_the_tape_keeps_its_origin() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.mean((2, 3)).detach())

    recording = record(Net(), image())
    assert edges(recording.steps) == [("", "Mean", [INPUT]), ("fc", "Linear", [0])]
    assert recording.steps[1].edge is None and not recording.output.requires_grad


def test_writing_in_place_is_a_step_and_the_earlier_output_is_seen_before() -> None:
    outputs: dict[int, np.ndarray] = {}
    recording = record(
        InPlace(), image(), lambda step, output: outputs.update({step.id: output.detach().numpy().copy()})
    )
    assert edges(recording.steps)[:2] == [("conv", "Conv2d", [INPUT]), ("", "ReLU", [0])]
    assert outputs[0].min() < 0 <= outputs[1].min()
    assert_connected(recording.steps, recording.result)


def test_layers_made_while_the_network_runs() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.AvgPool2d(2)(nn.ReLU()(x))

    assert edges(record(Net(), image()).steps) == [("", "ReLU", [INPUT]), ("", "AvgPool2d", [0])]


def test_a_network_that_is_one_layer_and_one_that_returns_several_tensors() -> None:
    assert edges(record(nn.Conv2d(3, 2, 1), image()).steps) == [("", "Conv2d", [INPUT])]

    class Net(nn.Module):
        def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            y = x.relu()
            return {"out": y}, y.mean()

    recording = record(Net(), image())
    assert (recording.result, len(recording.steps)) == (0, 2)


def test_a_network_that_does_not_use_the_image() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return minicnn.ones(1, 2)

    with pytest.raises(ValueError, match="computed from the image"):
        record(Net(), image())


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_as_before(fails: bool) -> None:
    net = create_model("resnet20")
    net.train()
    net.layer1.eval()
    net.conv1.weight.requires_grad = False
    net.fc.weight.grad = minicnn.ones_like(net.fc.weight)
    modes = [module.training for module in net.modules()]
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    if fails:
        with pytest.raises(ShapeError):
            record(net, image(channels=4))
    else:
        record(net, image(side=32))
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == wanted
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert [name for name, parameter in net.named_parameters() if parameter.grad is not None] == ["fc.weight"]
    assert SWITCHES.recorder is None


# A random network: each operation reads one or two of the tensors before it.
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["relu", "add", "cat", "conv", "slice"]), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(OPERATIONS)
def test_the_graph_of_any_network_is_the_one_that_was_written(operations: list[tuple[str, int, int]]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            made = [x]
            for name, first, second in operations:
                a, b = made[first % len(made)], made[second % len(made)]
                made.append(
                    {
                        "relu": lambda a, b: a.relu(),
                        "add": lambda a, b: a + b,
                        "cat": lambda a, b: minicnn.cat([a[:, :1], b[:, 1:]], 1),
                        "conv": lambda a, b: self.conv(a),
                        "slice": lambda a, b: a[:, [1, 0]],
                    }[name](a, b)
                )
            return made[-1]

    expected: list[tuple[str, str, list[int]]] = []
    made = [INPUT]
    for name, first, second in operations:
        a, b = made[first % len(made)], made[second % len(made)]
        if name == "cat":
            expected += [("", "Index", [a]), ("", "Index", [b])]
            both = [len(expected) - 2, len(expected) - 1]
        else:
            both = list(dict.fromkeys([a, b] if name == "add" else [a]))
        kind = {"relu": "ReLU", "add": "Add", "cat": "Cat", "conv": "Conv2d", "slice": "Index"}[name]
        expected.append(("conv" if name == "conv" else "", kind, both))
        made.append(len(expected) - 1)
    recording = record(Net(), image(side=4, channels=2))
    assert edges(recording.steps) == expected
    assert recording.result == len(expected) - 1
