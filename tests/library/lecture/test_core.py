"""What the lecture's figures compute with: gradient flow, unravelled paths, lesions, receptive fields, costs."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import blocks, efficiency, gradient_flow, lesion, receptive_field, unravel
from minicnn.lecture.training import digit_images, fit
from minicnn.models import create_model
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.resnet import BasicBlock, Bottleneck, PlainBlock, ResNet
from minicnn.nn.functional import cross_entropy
from minicnn.nn.summary import summary

few = settings(max_examples=25, deadline=None)


def small_resnet(depth: int = 14, block: type[BasicBlock] = BasicBlock) -> CifarResNet:
    """A residual network in float64 whose batch norms are not the identity."""
    minicnn.manual_seed(0)
    model = CifarResNet(block, depth, in_channels=1).double().eval()
    rng = np.random.default_rng(0)
    for name, buffer in model.named_buffers():
        if "running_var" in name:
            buffer.data = minicnn.tensor(rng.uniform(0.5, 1.5, buffer.shape))
        elif "running_mean" in name:
            buffer.data = minicnn.tensor(rng.normal(0, 0.1, buffer.shape))
    return model


def batch(count: int = 3, size: int = 8, channels: int = 1) -> tuple[minicnn.Tensor, minicnn.Tensor]:
    rng = np.random.default_rng(1)
    return minicnn.tensor(rng.standard_normal((count, channels, size, size))), minicnn.tensor(np.arange(count) % 10)


def input_gradient(model: nn.Module, images: minicnn.Tensor, targets: minicnn.Tensor) -> np.ndarray:
    x = images.detach().requires_grad_()
    cross_entropy(model(x), targets).backward()
    return x.grad.numpy()


# ---- gradient flow -----------------------------------------------------------------------------------------------


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


# ---- blocks ------------------------------------------------------------------------------------------------------


def test_residual_blocks_are_found_in_order_and_plain_ones_are_not() -> None:
    assert list(blocks.residual_blocks(small_resnet(14))) == [f"layer{s}.{i}" for s in (1, 2, 3) for i in (0, 1)]
    assert blocks.residual_blocks(small_resnet(14, PlainBlock)) == {}
    assert len(blocks.residual_blocks(ResNet(Bottleneck, (1, 2, 1, 1)))) == 5


@pytest.mark.parametrize(("kind", "planes"), [(BasicBlock, 6), (Bottleneck, 3)])
def test_branch_and_shortcut_make_up_the_block(kind: type, planes: int) -> None:
    minicnn.manual_seed(0)
    downsample = nn.Conv2d(4, planes * kind.expansion, 1, stride=2)
    block = kind(4, planes, 2, downsample).double().eval()
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 4, 6, 6)))
    whole = nn.functional.relu(blocks.branch(block, x) + blocks.shortcut(block, x))
    np.testing.assert_allclose(whole.detach().numpy(), block(x).detach().numpy(), rtol=1e-12)


def test_replaced_forwards_nest_and_are_put_back() -> None:
    model = nn.Sequential(nn.ReLU())
    x = minicnn.tensor([-1.0, 2.0])
    with blocks.replaced({model[0]: lambda x: x * 2}):
        with blocks.replaced({model[0]: lambda x: x * 3}):
            assert model(x).tolist() == [-3, 6]
        assert model(x).tolist() == [-2, 4]
    with pytest.raises(RuntimeError), blocks.replaced({model[0]: lambda x: x}):
        raise RuntimeError
    assert model(x).tolist() == [0, 2]


# ---- the unravelled view -----------------------------------------------------------------------------------------


@few
@given(st.integers(0, 60))
def test_path_counts_sum_to_two_to_the_n(n: int) -> None:
    counts = unravel.path_counts(n)
    assert len(counts) == n + 1 and sum(counts) == 2**n and counts == counts[::-1]


@pytest.mark.parametrize("n", range(6))
def test_path_counts_count_the_paths(n: int) -> None:
    paths = unravel.all_paths(n)
    assert sorted(paths) == sorted(set(paths)) and len(paths) == 2**n
    assert [sum(sum(path) == length for path in paths) for length in range(n + 1)] == unravel.path_counts(n)


@few
@given(st.integers(0, 60), st.floats(0.01, 1))
def test_common_lengths_hold_the_share_and_no_narrower_range_does(n: int, share: float) -> None:
    low, high = unravel.common_lengths(n, share)
    counts = unravel.path_counts(n)
    assert low + high == n and 0 <= low <= high
    assert sum(counts[low : high + 1]) >= share * 2**n
    assert low + 1 > high - 1 or sum(counts[low + 1 : high]) < share * 2**n


def test_common_lengths_of_54_blocks() -> None:
    assert unravel.common_lengths(54) == (20, 34)


@pytest.mark.parametrize(
    "model", [small_resnet(14), small_resnet(14).train(), ResNet(Bottleneck, (1, 1, 1, 1), 10).double()]
)
def test_the_gradients_of_all_paths_add_up_to_the_gradient(model: nn.Module) -> None:
    if isinstance(model, CifarResNet):
        images, targets = batch()
    else:
        images, targets = batch(2, 33, 3)
    total = sum(
        unravel.path_gradient(model, images, targets, p) for p in unravel.all_paths(len(blocks.residual_blocks(model)))
    )
    whole = input_gradient(model, images, targets)
    np.testing.assert_allclose(total, whole, rtol=1e-8, atol=1e-12 * np.abs(whole).max())


def test_the_path_of_length_zero_sees_the_shortcuts_only() -> None:
    model, (images, targets) = small_resnet(14), batch()
    short = unravel.path_gradient(model, images, targets, [False] * 6)
    long = unravel.path_gradient(model, images, targets, [True] * 6)
    for block in blocks.residual_blocks(model).values():
        block.conv1.weight.data = block.conv1.weight.data * 2  # batch norm in evaluation scales along
        block.bn1.running_mean.data = block.bn1.running_mean.data * 2
        block.bn1.running_var.data = block.bn1.running_var.data * 4
    again = unravel.path_gradient(model, images, targets, [False] * 6)
    np.testing.assert_allclose(again, short, rtol=1e-3)  # eps of the norms is not scaled
    assert np.linalg.norm(long - short) > 1e-3 * np.linalg.norm(long)


@pytest.mark.parametrize("through_branch", [False, True])
def test_one_way_gives_the_blocks_own_numbers(through_branch: bool) -> None:
    block = small_resnet(8).layer2[0]
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 16, 8, 8)))
    before = x.numpy().copy()
    np.testing.assert_array_equal(unravel.one_way(block, x, through_branch).detach().numpy(), block(x).detach().numpy())
    np.testing.assert_array_equal(x.numpy(), before)


def test_a_path_must_have_a_choice_for_every_block() -> None:
    with pytest.raises(ValueError, match="5 choices, but the network has 6 residual blocks"):
        unravel.path_gradient(small_resnet(14), *batch(), [True] * 5)


@few
@given(st.integers(1, 20), st.integers(0, 2**16))
def test_random_paths_have_their_length(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(n + 1))
    path = unravel.random_path(n, length, rng)
    assert len(path) == n and sum(path) == length


def test_random_paths_of_a_length_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = [unravel.random_path(4, 2, rng) for _ in range(1200)]
    counts = [drawn.count(path) for path in unravel.all_paths(4) if sum(path) == 2]
    assert sum(counts) == 1200 and min(counts) > 140  # expected: 200, with a deviation of 13


def test_gradient_by_length_is_the_norm_along_the_drawn_paths() -> None:
    model, batches, lengths = small_resnet(14), [batch(2), batch(3)], [0, 6, 3]
    norms = unravel.gradient_by_length(model, batches, lengths, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for column, (images, targets) in enumerate(batches):
        for row, length in enumerate(lengths):
            path = unravel.random_path(6, length, rng)
            wanted = np.linalg.norm(unravel.path_gradient(model, images, targets, path))
            assert norms[row, column] == pytest.approx(wanted)


def test_shares_weigh_a_path_by_how_many_there_are() -> None:
    np.testing.assert_allclose(unravel.share_by_length(3, [1, 1, 1, 1]), np.array([1, 3, 3, 1]) / 8)
    np.testing.assert_allclose(unravel.share_by_length(2, [4, 1, 0]), [4 / 6, 2 / 6, 0])


@few
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=12), st.floats(0.1, 1))
def test_effective_lengths_are_the_shortest_range(weights: list[float], share: float) -> None:
    shares = np.array(weights) / sum(weights)
    first, last = unravel.effective_lengths(shares, share)
    ranges = [
        (i, j) for i, j in product(range(len(shares)), repeat=2) if i <= j and shares[i : j + 1].sum() >= share - 1e-12
    ]
    assert (first, last) == min(ranges, key=lambda r: (r[1] - r[0], r[0]))


# ---- lesions -----------------------------------------------------------------------------------------------------


def logits(model: nn.Module, images: minicnn.Tensor) -> np.ndarray:
    return model(images).detach().numpy()


def test_the_lesion_of_no_block_is_the_original() -> None:
    model, (images, _) = small_resnet(14), batch()
    whole = logits(model, images)
    with lesion.removed(model, []):
        np.testing.assert_array_equal(logits(model, images), whole)
    with lesion.reordered(
        model, lesion.random_swaps([list(blocks.residual_blocks(model))], 0, np.random.default_rng())
    ):
        np.testing.assert_array_equal(logits(model, images), whole)


@pytest.mark.parametrize("name", ["layer1.1", "layer2.0"])
def test_a_removed_block_is_one_whose_branch_is_zero(name: str) -> None:
    model, (images, _) = small_resnet(14), batch()
    whole = logits(model, images)
    with lesion.removed(model, [name]):
        cut = logits(model, images)
    np.testing.assert_array_equal(logits(model, images), whole)
    norm = model.get_submodule(name).bn2
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    np.testing.assert_array_equal(logits(model, images), cut)
    assert np.abs(cut - whole).max() > 1e-3


def test_a_removed_layer_of_a_plain_network_hands_its_input_on() -> None:
    model, (images, _) = small_resnet(14, PlainBlock), batch()
    with lesion.removed(model, ["layer1.1", "layer3.1"]):
        cut = logits(model, images)
    del model.layer1[1], model.layer3[1]
    np.testing.assert_array_equal(logits(model, images), cut)


def test_an_unknown_module_cannot_be_removed() -> None:
    model = small_resnet(8)
    with pytest.raises(AttributeError), lesion.removed(model, ["layer1.0", "layer9.0"]):
        pass
    assert "forward" not in vars(model.layer1[0])


def test_reordering_moves_the_blocks() -> None:
    model, (images, _) = small_resnet(20), batch()
    with lesion.reordered(model, {"layer1.0": "layer1.2", "layer1.1": "layer1.0", "layer1.2": "layer1.1"}):
        moved = logits(model, images)
    first, second, third = model.layer1
    model.layer1[0], model.layer1[1], model.layer1[2] = third, first, second
    np.testing.assert_array_equal(logits(model, images), moved)


def test_error_rate_counts_wrong_answers_in_evaluation_mode() -> None:
    class Sure(nn.Module):
        def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
            assert not self.training
            return x

    model = Sure()
    images = minicnn.tensor(np.eye(5, dtype=np.float32))
    assert lesion.error_rate(model, images, minicnn.tensor([0, 1, 2, 3, 0]), batch_size=2) == pytest.approx(20)
    assert model.training


def test_errors_without_each_is_one_error_a_name() -> None:
    model, (images, targets) = small_resnet(14), batch(10)
    names = list(blocks.residual_blocks(model))
    errors = lesion.errors_without_each(model, names, images, targets)
    for name, error in zip(names, errors, strict=True):
        with lesion.removed(model, [name]):
            assert error == lesion.error_rate(model, images, targets)


@few
@given(st.integers(0, 2**16), st.integers(0, 8))
def test_swaps_stay_within_their_group(seed: int, count: int) -> None:
    groups = [["a", "b", "c"], ["d"], ["e", "f"]]
    order = lesion.random_swaps(groups, count, np.random.default_rng(seed))
    for group in groups:
        assert sorted(order[name] for name in group) == group
    odd = sum(order[a] > order[b] for group in groups for i, a in enumerate(group) for b in group[i + 1 :]) % 2
    assert odd == count % 2


@few
@given(st.permutations(range(7)))
def test_kendall_tau_is_scipys(order: list[int]) -> None:
    from scipy.stats import kendalltau

    assert lesion.kendall_tau(order) == pytest.approx(kendalltau(range(7), order).statistic)


# ---- receptive field ---------------------------------------------------------------------------------------------

layer = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2))


@few
@given(st.lists(layer, min_size=1, max_size=4))
def test_the_receptive_field_is_where_the_gradient_is(layers: list[tuple[int, int, int]]) -> None:
    size, stride = receptive_field.receptive_field(layers)[-1]
    net = nn.Sequential(*(nn.Conv2d(1, 1, k, s, dilation=d, bias=False) for k, s, d in layers)).double()
    for conv in net:
        nn.init.ones_(conv.weight)
    image = minicnn.zeros(1, 1, size + stride, size + stride).double().requires_grad_()
    output = net(image)
    output[0, 0, 0, 0].backward()
    seen = np.argwhere(image.grad.numpy()[0, 0])
    assert output.shape[2] == 2  # one step of the stride further begins the next output
    assert seen.min() == 0 and seen.max() == size - 1


def test_the_receptive_field_grows_layer_by_layer() -> None:
    # VGG's first stages: two 3x3 convolutions see 5x5 pixels, a pooling doubles the step.
    assert receptive_field.receptive_field([(3, 1, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1)]) == [
        (3, 1),
        (5, 1),
        (6, 2),
        (10, 2),
    ]
    assert receptive_field.receptive_field([]) == []


def test_the_centre_of_one_convolution_sees_its_kernel() -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1, bias=False).double()
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((4, 2, 7, 5)))
    seen = receptive_field.centre_gradient(conv, x)
    kernel = np.abs(conv.weight.detach().numpy().sum(axis=0)).mean(axis=0)
    wanted = np.zeros((7, 5))
    wanted[2:5, 1:4] = kernel / kernel.max()
    np.testing.assert_allclose(seen, wanted)


def test_a_dead_unit_sees_nothing() -> None:
    seen = receptive_field.centre_gradient(lambda x: nn.functional.relu(x * 0 - 1), minicnn.randn(1, 1, 3, 3))
    assert seen.shape == (3, 3) and not seen.any()


def test_the_effective_size_is_the_side_of_the_area() -> None:
    seen = np.zeros((9, 9))
    seen[2:6, 3:7] = 1
    seen[0, 0] = 0.04
    assert receptive_field.effective_size(seen) == 4
    assert receptive_field.effective_size(seen, 0.01) == pytest.approx(math.sqrt(17))


# ---- cost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet50"])
def test_costs_are_those_of_the_summary(name: str) -> None:
    row = efficiency.cost(name)
    model = create_model(name, init=False)
    counted = summary(model, (3, row.input_size, row.input_size))
    assert row.multiply_adds == counted.multiply_adds and row.activation_bytes == counted.activation_bytes
    assert row.parameters == counted.parameters - counted.idle_parameters
    assert row.parameter_bytes == 4 * row.parameters and row.source


@few
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_beats_all_others_and_none_of_its_own(points: list[tuple[int, int]]) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    front = efficiency.pareto_front([cost for cost, _ in points], [gain for _, gain in points])
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)
    for i, point in enumerate(points):
        assert (i in front) != any(beats(points[j], point) for j in front)


def test_density_is_accuracy_per_million_parameters() -> None:
    np.testing.assert_allclose(efficiency.accuracy_density([70, 80], [35e6, 5e6]), [2, 16])


# ---- training ----------------------------------------------------------------------------------------------------


def test_the_small_training_loop_trains_and_repeats_itself() -> None:
    weights, told = [], []
    for _ in range(2):
        minicnn.manual_seed(0)
        model = CifarResNet(BasicBlock, 8, in_channels=1)
        fit(model, digit_images("train", 130), 3, np.random.default_rng(0), on_epoch=lambda *line: told.append(line))
        weights.append(model.fc.weight.detach().numpy().copy())
    np.testing.assert_array_equal(*weights)
    assert [line[0] for line in told] == [1, 2, 3] * 2 and told[:3] == told[3:]
    assert told[2][1] < told[0][1] and 0 <= told[2][2] < told[0][2] <= 100


def test_more_epochs_than_images_for_a_batch() -> None:
    images, labels = digit_images("test", 10, size=16)
    assert images.shape == (10, 1, 16, 16) and labels.shape == (10,) and images.dtype == np.float32
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    fit(model, (images, labels), 1, np.random.default_rng(0))


def test_the_learning_rate_falls_to_zero_along_a_cosine() -> None:
    rates: list[float] = []

    class Watched(minicnn.optim.SGD):
        def step(self, closure: None = None) -> None:
            rates.append(self.param_groups[0]["lr"])
            super().step()

    data = np.zeros((40, 1, 2, 2), np.float32), np.zeros(40, np.int64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    fit(model, data, 2, np.random.default_rng(0), lr=0.5, batch_size=10, optimizer=Watched)
    np.testing.assert_allclose(rates, [0.25 * (1 + math.cos(math.pi * k / 8)) for k in range(8)])
