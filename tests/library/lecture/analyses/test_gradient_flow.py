"""How large the gradient is at every depth, and what theory expects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import gradient_flow
from minicnn.nn.functional import cross_entropy
from tests.library.support.residual_networks import batch, few, small_resnet


def test_weight_gradients_are_those_of_backward_and_leave_no_trace() -> None:
    model, (images, targets) = small_resnet(8), batch()
    norms = gradient_flow.weight_gradient_norms(model, images, targets)
    assert all(parameter.grad is None for parameter in model.parameters())
    cross_entropy(model(images), targets).backward()
    wanted = {n: float(np.linalg.norm(p.grad.numpy())) for n, p in model.named_parameters() if p.ndim >= 2}
    assert list(norms) == list(wanted) and "bn1.weight" not in norms and "conv1.weight" in norms
    assert norms == pytest.approx(wanted)


def test_a_weight_that_is_not_used_has_no_gradient() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.forgotten = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
            return self.used(x)

    norms = gradient_flow.weight_gradient_norms(Forgetful(), minicnn.randn(5, 4), minicnn.tensor([0, 1, 2, 0, 1]))
    assert norms["used.weight"] > 0 and norms["forgotten.weight"] == 0


def test_output_gradients_follow_from_the_chain_rule_of_a_linear_network() -> None:
    minicnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)).double()
    x, targets = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 4))), minicnn.tensor([2, 0])
    norms = gradient_flow.output_gradient_norms(model, ["1", "0"], x, targets)
    logits = model(x).detach().numpy()
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    last = (share - np.eye(3)[[2, 0]]) / 2
    assert list(norms) == ["1", "0"]
    assert norms["1"] == pytest.approx(np.linalg.norm(last))
    assert norms["0"] == pytest.approx(np.linalg.norm(last @ model[1].weight.detach().numpy()))
    assert not model[0]._forward_hooks


def test_hooks_go_away_when_the_network_fails() -> None:
    model = nn.Sequential(nn.Linear(4, 5))
    with pytest.raises(minicnn.errors.ShapeError):
        gradient_flow.output_gradient_norms(model, ["0"], minicnn.randn(2, 3), minicnn.tensor([0, 0]))
    assert not model[0]._forward_hooks


@few
@given(st.floats(1e-3, 1e3), st.floats(0.1, 3), st.integers(2, 40))
def test_the_gain_of_a_geometric_sequence_is_its_factor(last: float, gain: float, layers: int) -> None:
    norms = [last * gain**k for k in reversed(range(layers))]
    assert gradient_flow.gain_per_layer(norms) == pytest.approx(gain)


def test_the_gain_where_nothing_arrives_is_zero() -> None:
    assert gradient_flow.gain_per_layer([0.0, 0.1, 1.0]) == 0


@pytest.mark.parametrize(
    ("norms", "said"),
    [
        ((1.0, 1.0), "survives"),
        ((1.0, 99.0), "survives"),
        ((99.0, 1.0), "survives"),
        ((1.0, 50.0, 101.0), "vanishes"),
        ((101.0, 50.0, 1.0), "explodes"),
        ((0.0, 1.0), "vanishes"),
        ((math.inf, 1.0), "explodes"),
        ((math.nan, 1.0), "explodes"),
    ],
)
def test_behaviour(norms: tuple[float, ...], said: str) -> None:
    assert gradient_flow.behaviour(norms) == said


@pytest.mark.parametrize(("std_factor", "slope"), [(1.0, 0.0), (2.0, 0.0), (1.0, 1.0), (1.0, 0.5)])
def test_a_wide_fresh_network_has_the_expected_gain(std_factor: float, slope: float) -> None:
    """At width w the square of a layer's measured gain scatters by about sqrt(2 / w); bounds of five deviations."""
    width, layers = 400, 8
    std = std_factor / math.sqrt(width)
    minicnn.manual_seed(1)
    linears = [nn.Linear(width, width, bias=False) for _ in range(layers)]
    for linear in linears:
        nn.init.normal_(linear.weight, std=std)
    model = nn.Sequential(*(module for linear in linears for module in (linear, nn.LeakyReLU(slope))))
    x, targets = minicnn.randn(16, width), minicnn.tensor(np.arange(16))
    names = [str(2 * i + 1) for i in range(layers)]
    norms = gradient_flow.output_gradient_norms(model, names, x, targets)
    measured = gradient_flow.gain_per_layer(list(norms.values()))
    expected = gradient_flow.expected_gain(width, std, slope)
    # The gradient at the softmax is not spread evenly over the units, so that the last layer may deviate.
    assert measured == pytest.approx(expected, rel=5 / math.sqrt(2 * width * (layers - 1)) + 0.03)


def test_he_has_gain_one() -> None:
    assert gradient_flow.expected_gain(9 * 64, math.sqrt(2 / (9 * 64))) == pytest.approx(1)


def logits(model: nn.Module, images: minicnn.Tensor) -> np.ndarray:
    return model(images).detach().numpy()
