"""Homework 7: analysis. `pytest tests/test_analysis.py` grades assignments/hw7_analysis."""

import numpy as np

from minicnn import nn
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import fill, gradients, raises, tensor
from minicnn.models.resnet import BasicBlock, Bottleneck, conv1x1

# ---- small networks ------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two convolutions, of which one has a bias, and a linear layer; batch norm between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 1, bias=False)
        self.unused = nn.Linear(2, 2)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.first(x))
        x = nn.functional.relu(self.second(x))
        return self.fc(x.mean((2, 3)))


class Residual(nn.Module):
    """Three residual blocks: a basic one, a bottleneck that projects, a basic one."""

    def __init__(self) -> None:
        super().__init__()
        projection = nn.Sequential(conv1x1(2, 4), nn.BatchNorm2d(4))
        self.one = BasicBlock(2, 2)
        self.two = Bottleneck(2, 1, downsample=projection)
        self.three = BasicBlock(4, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.three(self.two(self.one(x))).mean((2, 3)))


def network(kind, seed):
    return fill(kind(), seed).eval()


def batch(draw: Draw) -> dict:
    n = draw.size(1, 3)
    return {
        "images": draw.normal(n, 2, draw.integer(4, 5), draw.integer(3, 4)),
        "targets": draw.integers(0, 2, n),
        "seed": draw.seed(),
    }


# ---- hw7.1: gradient norms -----------------------------------------------------------------------------------------


def in_precision_of(images: np.ndarray, norms: dict) -> dict:
    """Norms, as exact as what they were computed from: they are compared with the tolerance of their dtype."""
    return {name: images.dtype.type(norm) for name, norm in norms.items()}


@points("hw7.1", 5, "the norms of the gradients at the weights", cases=batch, count=4)
def test_weight_gradient_norms(gradient_flow, images, targets, seed):
    norms = gradient_flow.weight_gradient_norms(network(Small, seed), tensor(images), tensor(targets))
    return in_precision_of(images, norms)


@points("hw7.1", 5, "the norms of the gradients at the layers' outputs", cases=batch, count=4)
def test_output_gradient_norms(gradient_flow, images, targets, seed):
    names = ["second", "first", "fc"]
    norms = gradient_flow.output_gradient_norms(network(Small, seed), names, tensor(images), tensor(targets))
    return in_precision_of(images, norms)


def half_the_square(output, targets):
    """Another loss: its gradient at the output is the output."""
    return 0.5 * (output * output).sum()


@points("hw7.1", 2, "the loss that is given", cases=batch, count=2)
def test_gradient_norms_of_another_loss(gradient_flow, images, targets, seed):
    given = network(Small, seed), tensor(images), tensor(targets)
    return {
        "at weights": in_precision_of(images, gradient_flow.weight_gradient_norms(*given, loss=half_the_square)),
        "at outputs": in_precision_of(
            images, gradient_flow.output_gradient_norms(given[0], ["fc"], *given[1:], loss=half_the_square)
        ),
    }


@points("hw7.1", 4, "that the network is as before", cases=batch, count=2)
def test_gradient_norms_leave_no_trace(gradient_flow, images, targets, seed):
    """In training mode, in which a second forward would move the running statistics; two calls give the same."""
    model = network(Small, seed)
    gradient_flow.weight_gradient_norms(model, tensor(images), tensor(targets))
    gradient_flow.output_gradient_norms(model, ["first"], tensor(images), tensor(targets))
    grads = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    model.train()
    once = gradient_flow.output_gradient_norms(model, ["fc"], tensor(images), tensor(targets))
    return {
        "parameters with a gradient left behind": ", ".join(grads),
        "hooks left behind": sum(len(module._forward_hooks) for module in model.modules()),
        "in training mode": in_precision_of(images, once),
        "still in training mode": model.training,
        "running mean": model.norm.running_mean,
    }


# ---- hw7.2: gains --------------------------------------------------------------------------------------------------


def norms_case(draw: Draw) -> dict:
    return {"norms": np.exp(draw.uniform(-9, 9, draw.integer(2, 6)).astype(float))}


@points("hw7.2", 4, "the factor per layer", cases=norms_case, count=5)
def test_gain_per_layer(gradient_flow, norms):
    return {"gain": gradient_flow.gain_per_layer(norms.tolist())}


@points("hw7.2", 1, "a gradient that does not arrive", cases=[{"norms": (0.0, 1.0, 2.0)}])
def test_gain_of_nothing(gradient_flow, norms):
    return {"gain": gradient_flow.gain_per_layer(list(norms))}


BEHAVIOURS = [
    {"norms": first, "bound": bound}
    for first in ((1.0, 5.0, 99.0), (1.0, 0.1, 101.0), (99.0, 1e9, 1.0), (101.0, 1.0), (1.0, 1.0), (0.0, 1.0))
    for bound in (100.0,)
] + [
    {"norms": (1.0, 12.0), "bound": 10.0},
    {"norms": (12.0, 1.0), "bound": 10.0},
    {"norms": (float("nan"), 1.0), "bound": 100.0},
    {"norms": (1.0, float("inf"), 1.0), "bound": 100.0},
]


@points("hw7.2", 3, "what becomes of the gradient", cases=BEHAVIOURS)
def test_behaviour(gradient_flow, norms, bound):
    return {"behaviour": gradient_flow.behaviour(list(norms), bound)}


def layer_case(draw: Draw) -> dict:
    slope = [0.0, 1.0, 0.2, 0.5][draw.index % 4]
    return {"fan_out": draw.integer(3, 90), "std": float(draw.uniform(0.02, 0.6)), "negative_slope": slope}


@points("hw7.2", 4, "the gain that theory expects", cases=layer_case, count=4)
def test_expected_gain(gradient_flow, fan_out, std, negative_slope):
    return {"gain": gradient_flow.expected_gain(fan_out, std, negative_slope)}


# ---- hw7.3: paths --------------------------------------------------------------------------------------------------


@points("hw7.3", 4, "how many paths of each length", cases=[{"n": n} for n in (0, 1, 2, 3, 5, 10, 54)])
def test_path_counts(unravel, n):
    return {"counts": [str(count) for count in unravel.path_counts(n)]}  # exact: beyond the integers of an array


@points("hw7.3", 4, "every path, once", cases=[{"n": n} for n in (0, 1, 2, 4)])
def test_all_paths(unravel, n):
    paths = unravel.all_paths(n)
    spelt = sorted("".join("FT"[bool(way)] for way in path) for path in paths)
    return {"paths": "; ".join(spelt), "number": len(paths)}


BULKS = [(1, 0.95), (2, 0.5), (5, 0.6), (9, 0.95), (54, 0.95), (10, 1.0), (12, 0.2)]


@points("hw7.3", 4, "where the bulk of the paths lies", cases=[{"n": n, "share": share} for n, share in BULKS])
def test_common_lengths(unravel, n, share):
    return {"lengths": tuple(unravel.common_lengths(n, share))}


# ---- hw7.4: one path -----------------------------------------------------------------------------------------------


def block_case(draw: Draw) -> dict:
    shape = (draw.size(1, 2), 2, draw.integer(3, 4), draw.integer(3, 5))
    return {"x": draw.normal(*shape), "kind": draw.index % 2, "through_branch": draw.index % 4 < 2, "seed": draw.seed()}


def a_block(kind, seed):
    return network([Residual, Residual][kind], seed).get_submodule(["one", "two"][kind])


@points("hw7.4", 4, "that the block's values stay", cases=block_case, count=4)
def test_one_way_forward(unravel, x, kind, through_branch, seed):
    return {"output": unravel.one_way(a_block(kind, seed), tensor(x), through_branch)}


@points("hw7.4", 6, "the gradient that goes one way", cases=block_case, count=8)
def test_one_way_gradient(unravel, x, kind, through_branch, seed):
    block, x = a_block(kind, seed), tensor(x, requires_grad=True)
    return gradients(unravel.one_way(block, x, through_branch), {"x": x}, seed)


def path_case(draw: Draw) -> dict:
    ways = [(True, False, True), (False, False, False), (True, True, True), (False, True, True)][draw.index % 4]
    return {**batch(draw), "path": "".join("01"[way] for way in ways)}


@points("hw7.4", 4, "the gradient along a path", cases=path_case, count=4)
def test_path_gradient(unravel, images, targets, path, seed):
    ways = [way == "1" for way in path]
    return {"gradient": unravel.path_gradient(network(Residual, seed), tensor(images), tensor(targets), ways)}


@points("hw7.4", 2, "paths of another length are refused, the network stays itself", cases=path_case, count=2)
def test_path_gradient_leaves_no_trace(unravel, images, targets, path, seed):
    model, ways = network(Residual, seed), [way == "1" for way in path]
    before = model(tensor(images))
    refused = raises(unravel.path_gradient, model, tensor(images), tensor(targets), ways[:-1])
    unravel.path_gradient(model, tensor(images), tensor(targets), ways)
    return {"too short": refused, "difference of the outputs": (model(tensor(images)) - before).abs().max()}


# ---- hw7.5: effective paths ----------------------------------------------------------------------------------------


def magnitudes_case(draw: Draw) -> dict:
    n = draw.integer(2, 9)
    return {"n": n, "magnitudes": draw.uniform(0.1, 2.0, n + 1)}


@points("hw7.5", 6, "the share of each length", cases=magnitudes_case, count=5)
def test_share_by_length(unravel, n, magnitudes):
    return {"shares": np.asarray(unravel.share_by_length(n, magnitudes))}


def shares_case(draw: Draw) -> dict:
    raw = draw.uniform(0.0, 1.0, draw.integer(3, 9)) ** 3
    return {"shares": raw / raw.sum(), "share": [0.95, 0.5, 0.8, 0.3][draw.index % 4]}


@points("hw7.5", 4, "the shortest range of lengths", cases=shares_case, count=8)
def test_effective_lengths(unravel, shares, share):
    return {"lengths": tuple(unravel.effective_lengths(shares, share))}


TIES = [
    {"shares": (0.25, 0.25, 0.25, 0.25), "share": 0.5},  # three ranges of two: the shorter paths
    {"shares": (0.25, 0.25, 0.25, 0.25), "share": 1.0},
    {"shares": (0.0, 0.0, 1.0, 0.0), "share": 0.95},
    {"shares": (0.5, 0.0, 0.0, 0.5), "share": 0.9},
]


@points("hw7.5", 2, "ties and edges", cases=TIES)
def test_effective_lengths_edges(unravel, shares, share):
    return {"lengths": tuple(unravel.effective_lengths(list(shares), share))}


# ---- hw7.6: lesions ------------------------------------------------------------------------------------------------


def lesion_case(draw: Draw) -> dict:
    names = ["one", "two", "three", "one three", "one two three"][draw.index % 5]
    return {**batch(draw), "names": names}


@points("hw7.6", 5, "the network without some blocks", cases=lesion_case, count=5)
def test_removed_blocks(lesion, images, targets, names, seed):
    model = network(Residual, seed)
    with lesion.removed(model, names.split()):
        return {"output": model(tensor(images))}


def chain(seed):
    layers = [nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Tanh()]
    return network(lambda: nn.Sequential(*layers), seed)


@points("hw7.6", 2, "a network without a plain layer", cases=batch, count=2)
def test_removed_layer(lesion, images, targets, seed):
    model = chain(seed)
    with lesion.removed(model, ["2"]):
        inside = model(tensor(images))
    return {"without it": inside, "with it again": model(tensor(images))}


def order_case(draw: Draw) -> dict:
    return {**batch(draw), "order": ["0:2 2:0", "0:2", "0:2 2:3 3:0", ""][draw.index % 4]}


@points("hw7.6", 4, "the network with its blocks in another order", cases=order_case, count=4)
def test_reordered_blocks(lesion, images, targets, order, seed):
    model = chain(seed)
    with lesion.reordered(model, dict(pair.split(":") for pair in order.split())):
        inside = model(tensor(images))
    return {"reordered": inside, "in order again": model(tensor(images))}


ORDERS = [(0, 1), (1, 0), (0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 2, 3), (2, 0, 3, 1, 4), (4, 0, 1, 2, 3)]


@points("hw7.6", 3, "how much of an order is left", cases=[{"order": order} for order in ORDERS])
def test_kendall_tau(lesion, order):
    return {"tau": lesion.kendall_tau(list(order))}


# ---- hw7.7: receptive fields ---------------------------------------------------------------------------------------

STACKS = [
    "3,1,1 3,1,1 3,1,1",
    "7,2,1 3,2,1 3,1,1 3,1,1",
    "1,1,1 1,3,1 5,1,1",
    "3,1,2 3,2,3 2,2,1",
    "11,4,1 3,2,1 5,1,1 3,2,1",
    "3,2,1",
]


@points("hw7.7", 4, "field and stride behind every layer", cases=[{"layers": stack} for stack in STACKS])
def test_receptive_field(receptive_field, layers):
    rows = [tuple(int(number) for number in row.split(",")) for row in layers.split()]
    return {"fields and strides": np.array(receptive_field.receptive_field(rows))}


@points("hw7.7", 3, "which pixels the centre listens to", cases=batch, count=4)
def test_centre_gradient(receptive_field, images, targets, seed):
    layers = [nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 2, (1, 3), padding=(0, 1))]
    model = network(lambda: nn.Sequential(*layers), seed)
    return {"sensitivity": receptive_field.centre_gradient(model, tensor(images)).astype(images.dtype)}


@points("hw7.7", 1, "a centre that nothing reaches", cases=batch, count=1)
def test_centre_gradient_of_nothing(receptive_field, images, targets, seed):
    return {"sensitivity": receptive_field.centre_gradient(lambda x: x * 0, tensor(images))}


def sensitivity_case(draw: Draw) -> dict:
    values = draw.uniform(0.0, 1.0, draw.integer(3, 6), draw.integer(3, 6)) ** 3
    return {"sensitivity": values / values.max(), "threshold": [0.0455, 0.3][draw.index % 2]}


@points("hw7.7", 2, "the side of the effective field", cases=sensitivity_case, count=4)
def test_effective_size(receptive_field, sensitivity, threshold):
    return {"side": receptive_field.effective_size(sensitivity, threshold)}


# ---- hw7.8: cost ---------------------------------------------------------------------------------------------------


def cost_case(draw: Draw) -> dict:
    n = draw.size(1, 9)
    return {"costs": draw.integers(1, 6, n), "accuracies": draw.integers(60, 66, n)}  # few values: there are ties


@points("hw7.8", 6, "the networks that no other one beats", cases=cost_case, count=12)
def test_pareto_front(efficiency, costs, accuracies):
    return {"front": [int(i) for i in efficiency.pareto_front(list(costs), list(accuracies))]}


def density_case(draw: Draw) -> dict:
    n = draw.size(1, 4)
    return {"accuracies": draw.uniform(50, 80, n), "parameters": draw.integers(10**6, 10**8, n)}


@points("hw7.8", 2, "accuracy for a million parameters", cases=density_case, count=3)
def test_accuracy_density(efficiency, accuracies, parameters):
    return {"density": np.asarray(efficiency.accuracy_density(list(accuracies), list(parameters)))}
