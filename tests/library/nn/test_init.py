"""``nn.init``: every scheme's numbers have the mean, spread, bounds and structure that its formula promises."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.nn import init
from tests.library.support import peers
from tests.library.support.draws import check_moments, check_normal, weight


@pytest.fixture(autouse=True)
def seeded():
    minicnn.manual_seed(7)


def check_uniform(array: np.ndarray, bound: float) -> None:
    check_moments(array, 0.0, bound / math.sqrt(3))
    assert np.abs(array).max() <= bound * (1 + 1e-6)
    assert np.abs(array).max() > bound * 0.999


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_fans_count_inputs_and_outputs(shape):
    # A weight of ones: what one output sums up, and in how many outputs one input appears.
    ones = np.ones(shape)
    per_output = ones.reshape(shape[0], -1).sum(axis=1)
    per_input = np.moveaxis(ones, 1, 0).reshape(shape[1], -1).sum(axis=1)
    assert init._calculate_fan_in_and_fan_out(minicnn.Tensor(ones)) == (per_output[0], per_input[0])


def test_fans_need_two_dimensions():
    with pytest.raises(ValueError, match=r"at least 2 dimensions, got shape \(3,\)"):
        init._calculate_fan_in_and_fan_out(weight(3))


@pytest.mark.parametrize("name", [name for name in init.__all__ if name not in ("skip", "default_affine_")])
def test_signatures_equal_pytorch(name):
    torch = peers.torch()
    ours, theirs = (inspect.signature(getattr(i, name)).parameters for i in (init, torch.nn.init))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


@pytest.mark.parametrize("name", sorted(init.GAINS))
def test_gains_equal_pytorch(name):
    torch = peers.torch()
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain(name, 0.3) == pytest.approx(torch.nn.init.calculate_gain(name, 0.3))


@pytest.mark.parametrize(
    ("name", "slope", "function"),
    [
        ("linear", None, lambda y: y),
        ("relu", None, lambda y: np.maximum(y, 0)),
        ("leaky_relu", 0.4, lambda y: np.where(y > 0, y, 0.4 * y)),
    ],
)
def test_a_gain_keeps_the_second_moment(name, slope, function):
    """With weights of variance gain^2 / n the sums y are gain times as wide as x, and E[f(y)^2] = E[x^2]."""
    x = np.random.default_rng(0).standard_normal(200_000)
    assert (function(init.calculate_gain(name, slope) * x) ** 2).mean() == pytest.approx(1.0, abs=0.02)


def test_an_unknown_gain_lists_the_known_ones():
    with pytest.raises(ValueError, match="expected one of linear, .*relu.* as nonlinearity, got 'rellu'"):
        init.calculate_gain("rellu")


def test_constants():
    tensor = weight(2, 3)
    assert init.constant_(tensor, 2.5) is tensor and np.all(tensor.numpy() == 2.5)
    assert np.all(init.ones_(tensor).numpy() == 1)
    assert np.all(init.zeros_(tensor).numpy() == 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_and_normal(dtype):
    tensor = weight(dtype=dtype)
    memory = tensor.array
    assert init.uniform_(tensor, -0.3, 0.3) is tensor
    check_uniform(tensor.numpy(), 0.3)
    assert init.normal_(tensor, 2.0, 0.5) is tensor
    check_normal(tensor.numpy(), 2.0, 0.5)
    assert tensor.array is memory and str(tensor.dtype) == dtype
    assert init.uniform_(tensor, 4.0, 5.0).numpy().min() >= 4
    assert np.all(init.normal_(tensor, 3.0, 0.0).numpy() == 3)


@pytest.mark.parametrize("scheme", ["xavier_uniform_", "xavier_normal_"])
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_xavier(scheme, gain):
    tensor = getattr(init, scheme)(weight(), gain)
    std = gain * math.sqrt(2.0 / (50 * 9 + 60 * 9))
    if scheme == "xavier_uniform_":
        check_uniform(tensor.numpy(), math.sqrt(3) * std)
    else:
        check_normal(tensor.numpy(), 0.0, std)


@pytest.mark.parametrize("scheme", ["kaiming_uniform_", "kaiming_normal_"])
@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 50 * 9), ("fan_out", 60 * 9)])
@pytest.mark.parametrize(
    ("options", "gain"),
    [
        ({"nonlinearity": "relu"}, math.sqrt(2)),
        ({"a": 0.5}, math.sqrt(2 / 1.25)),
        ({}, math.sqrt(2)),
        ({"nonlinearity": "linear"}, 1.0),
    ],
)
def test_kaiming(scheme, mode, fan, options, gain):
    tensor = getattr(init, scheme)(weight(), mode=mode, **options)
    std = gain / math.sqrt(fan)
    if scheme == "kaiming_uniform_":
        check_uniform(tensor.numpy(), math.sqrt(3) * std)
    else:
        check_normal(tensor.numpy(), 0.0, std)


def test_he_initialisation_keeps_a_deep_relu_network_alive():
    """Thirty layers: with He's variance the signal keeps its size, with a quarter of it it is gone (L1.2.1)."""
    x = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    sizes = {}
    for factor in (1.0, 0.5):
        signal = x
        for _ in range(30):
            layer = init.kaiming_normal_(weight(256, 256), nonlinearity="relu").numpy() * np.float32(factor)
            signal = np.maximum(signal @ layer.T, 0)
        sizes[factor] = float((signal**2).mean())
    assert 0.2 < sizes[1.0] < 5.0
    assert sizes[0.5] < 1e-15


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (-0.3, 0.1), (1.0, 9.0), (3.0, 3.5), (-9.0, -3.0), (5.0, math.inf)])
def test_truncated_normal_follows_its_density(a, b):
    values = init.trunc_normal_(weight(20_000), 0.0, 1.0, a, b).numpy().astype(np.float64)
    assert values.min() >= a and values.max() <= b
    grid = np.linspace(a, min(b, a + 12), 200_001)
    density = np.exp(-(grid**2 - grid[np.abs(grid).argmin()] ** 2) / 2)
    cumulative = np.cumsum(density) / density.sum()
    # Kolmogorov-Smirnov: sqrt(n) times the largest distance exceeds 2.2 once in 8000 seeds.
    empirical = np.searchsorted(np.sort(values), grid, side="right") / values.size
    assert np.abs(empirical - cumulative).max() < 2.2 / math.sqrt(values.size)


def test_truncated_normal_moves_and_scales():
    values = init.trunc_normal_(weight(60_000), mean=1.0, std=0.01, a=0.99, b=1.01).numpy()
    assert values.min() >= np.float32(0.99) and values.max() <= np.float32(1.01)
    assert values.std() == pytest.approx(0.01 * 0.5396, rel=0.02)  # of a normal cut at one deviation


def test_eye_and_dirac_pass_their_input_through():
    assert np.array_equal(init.eye_(weight(3, 4)).numpy(), np.eye(3, 4))
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    for groups in (1, 2):
        conv = nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False)
        init.dirac_(conv.weight, groups)
        assert np.array_equal(conv(minicnn.Tensor(x)).detach().numpy(), x)


@pytest.mark.parametrize("shape", [(3, 3, 3, 3), (6, 2, 3, 3), (2, 5, 4), (4, 4, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_equals_pytorch(shape, groups):
    torch = peers.torch()
    if shape[0] % groups:
        with pytest.raises(ValueError, match=r"divisible by groups \(=2\)"):
            init.dirac_(weight(*shape), groups)
        return
    theirs = torch.nn.init.dirac_(torch.empty(*shape), groups).numpy()
    assert np.array_equal(init.dirac_(weight(*shape), groups).numpy(), theirs)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 3, 2, 2), (30, 2, 3, 3)])
def test_orthogonal(shape):
    matrix = init.orthogonal_(weight(*shape), gain=2.0).numpy().reshape(shape[0], -1) / 2.0
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert np.allclose(small, np.eye(len(small)), atol=1e-5)


def test_orthogonal_is_not_biased_to_one_sign():
    diagonals = np.array([np.diag(init.orthogonal_(weight(2, 2)).numpy()) for _ in range(200)])
    for share in (diagonals > 0).mean(axis=0):
        assert 0.35 < share < 0.65


SCHEMES = [
    init.normal_,
    init.uniform_,
    init.trunc_normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    init.orthogonal_,
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_the_seed_decides_and_a_generator_of_ones_own_too(scheme):
    draws = []
    for seed in (1, 1, 2):
        minicnn.manual_seed(seed)
        draws.append(scheme(weight(4, 6)).numpy().copy())
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    own = minicnn.random.Generator(1)
    before = minicnn.random.default_generator.get_state()
    assert np.array_equal(scheme(weight(4, 6), generator=own).numpy(), draws[0])
    assert minicnn.random.default_generator.get_state() == before


@pytest.mark.parametrize("scheme", [*SCHEMES, init.eye_, init.ones_, init.zeros_], ids=lambda scheme: scheme.__name__)
def test_initialising_is_outside_the_tape_and_counted_as_a_write(scheme):
    parameter = nn.Parameter(np.ones((3, 3), np.float32))
    squares = (parameter * parameter).sum()
    assert scheme(parameter) is parameter
    assert parameter.is_leaf and parameter.requires_grad
    with pytest.raises(RuntimeError, match="overwritten"):
        squares.backward()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_views_and_other_dtypes_are_filled_too(scheme):
    base = np.zeros((6, 8), np.float32)
    scheme(minicnn.Tensor(base.T[::2]))
    assert np.all(base.T[::2] != 0) and np.all(base.T[1::2] == 0)
    half = scheme(weight(3, 4, dtype="float16"))
    assert str(half.dtype) == "float16" and np.all(half.numpy() != 0)


@pytest.mark.parametrize("scheme", [init.normal_, init.kaiming_normal_, init.xavier_uniform_, init.kaiming_uniform_])
def test_empty_tensors_are_left_alone(scheme):
    assert scheme(weight(0, 3)).shape == (0, 3)
    assert scheme(weight(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.normal_(weight(2, 2), std=-1), r"std \(=-1\)"),
        (lambda: init.trunc_normal_(weight(2, 2), std=0), r"std \(=0\)"),
        (lambda: init.trunc_normal_(weight(2, 2), a=2, b=2), r"a \(=2\) to be below b \(=2\)"),
        (lambda: init.kaiming_normal_(weight(2, 2), mode="fan"), "'fan_in' or 'fan_out' as mode, got 'fan'"),
        (lambda: init.eye_(weight(2)), r"2 dimensions, got shape \(2,\)"),
        (lambda: init.dirac_(weight(2, 2)), r"3, 4 or 5 dimensions, got shape \(2, 2\)"),
        (lambda: init.orthogonal_(weight(2)), r"at least 2 dimensions, got shape \(2,\)"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_skip_draws_nothing_and_ends_with_the_block():
    before = minicnn.random.default_generator.get_state()
    with init.skip():
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
        assert init.kaiming_normal_(net[0].weight) is net[0].weight
        init.orthogonal_(net[2].weight)
    assert minicnn.random.default_generator.get_state() == before
    assert not net[0].weight.array.any() and not net[2].weight.array.any()
    assert np.all(net[1].weight.array == 1) and np.all(net[1].running_var.array == 1)
    assert nn.Linear(4, 2).weight.array.any()


def test_skip_ends_after_an_error():
    with pytest.raises(KeyError), init.skip():
        raise KeyError
    assert nn.Linear(2, 2).weight.array.any()


@pytest.mark.parametrize(
    ("layer", "fan_in"), [(nn.Linear(450, 300), 450), (nn.Conv2d(100, 60, 3, groups=2), 450)], ids=repr
)
def test_layers_start_as_pytorchs_do(layer, fan_in):
    check_uniform(layer.weight.detach().numpy(), 1 / math.sqrt(fan_in))
    bias = layer.bias.detach().numpy() * math.sqrt(fan_in)
    assert -1 <= bias.min() < -0.8 and 0.8 < bias.max() <= 1


def test_reset_parameters_draws_again():
    layer = nn.Conv2d(2, 2, 1)
    before = layer.weight.detach().numpy().copy()
    layer.reset_parameters()
    assert not np.array_equal(layer.weight.detach().numpy(), before)
