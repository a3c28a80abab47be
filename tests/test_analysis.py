"""Homework 7: analysis. `pytest tests/test_analysis.py` grades assignments/hw7_analysis."""

import numpy as np

from minicnn import nn
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import fill, gradients, raises, tensor
from minicnn.lecture.analyses.blocks import replaced
from minicnn.models.resnet import BasicBlock, Bottleneck, PlainBlock, conv1x1

# ---- small networks ------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two convolutions, of which one has a bias, and a linear layer; batch norm between them, and an idle head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 1, bias=False)
        self.unused = nn.Linear(4, 2)
        self.fc = nn.Linear(4, 3)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        x = self.norm(self.first(x))
        x = nn.functional.relu(self.second(x)).mean((2, 3))
        self.unused(x)
        return self.fc(x)


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


def network(kind, seed, training=False):
    return fill(kind(), seed).train(training)


def batch(draw: Draw) -> dict:
    n = draw.size(1, 3)
    return {
        "images": draw.normal(n, 2, draw.integer(4, 5), draw.integer(3, 4)),
        "targets": draw.integers(0, 2, n),
        "seed": draw.seed(),
    }


def batch_in_a_mode(draw: Draw) -> dict:
    return {**batch(draw), "training": draw.index % 4 > 1}


def with_gradients(model):
    """The model with a gradient at every second parameter, as from an earlier step."""
    for parameter in list(model.parameters())[::2]:
        parameter.grad = parameter.detach() * 2
    return model


def state_of(model):
    """What an instrument must leave as it was: parameters, running statistics, gradients, modes and hooks."""
    return {
        **model.state_dict(),
        **{f"gradient at {name}": parameter.grad for name, parameter in model.named_parameters()},
        "in training mode": ", ".join(name or "the network" for name, part in model.named_modules() if part.training),
        "hooks": sum(len(module._forward_hooks) for module in model.modules()),
    }


class Broken(Exception):
    """Raised inside a network."""


def broken(*_):
    raise Broken


# ---- hw7.1: gradient norms -----------------------------------------------------------------------------------------


def in_order(images: np.ndarray, norms: dict, scale: float = 1.0) -> dict:
    """Norms and their order, as exact as what they were computed from: the dtype says the tolerance."""
    return {"order": " ".join(norms), **{name: images.dtype.type(norm / scale) for name, norm in norms.items()}}


@points("hw7.1", 5, "the norms of the gradients at the weights", cases=batch_in_a_mode, count=4)
def test_weight_gradient_norms(gradient_flow, images, targets, seed, training):
    model = network(Small, seed, training)
    return in_order(images, gradient_flow.weight_gradient_norms(model, tensor(images), tensor(targets)))


@points("hw7.1", 5, "the norms of the gradients at the layers' outputs", cases=batch_in_a_mode, count=4)
def test_output_gradient_norms(gradient_flow, images, targets, seed, training):
    names = iter(["second", "first", "unused", "fc"])
    model = network(Small, seed, training)
    return in_order(images, gradient_flow.output_gradient_norms(model, names, tensor(images), tensor(targets)))


def scaled(draw: Draw) -> dict:
    return {**batch(draw), "scale": [1.0, 1.0, 1e-30, 1e25][(draw.index + draw.index // 4) % 4]}


@points("hw7.1", 2, "the loss that is given, also one whose gradients vanish or explode", cases=scaled, count=6)
def test_gradient_norms_of_another_loss(gradient_flow, images, targets, seed, scale):
    """A loss whose gradient at the output is the output, but for its scale; a network that is a single layer."""

    def half_the_square(output, targets):
        return 0.5 * scale * (output * output).sum()

    given = network(lambda: nn.Conv2d(2, 3, 3, padding=1), seed), tensor(images), tensor(targets)
    at_weights = gradient_flow.weight_gradient_norms(*given, loss=half_the_square)
    at_outputs = gradient_flow.output_gradient_norms(given[0], [""], *given[1:], loss=half_the_square)
    return {"at weights": in_order(images, at_weights, scale), "at outputs": in_order(images, at_outputs, scale)}


def measured(gradient_flow, which, model, *given, loss=nn.functional.cross_entropy):
    if which == "weights":
        return gradient_flow.weight_gradient_norms(model, *map(tensor, given), loss)
    return gradient_flow.output_gradient_norms(model, ["first", "fc"], *map(tensor, given), loss)


def instrument(draw: Draw) -> dict:
    return {**batch(draw), "which": ["weights", "outputs"][draw.index % 2]}


@points("hw7.1", 4, "that the network is as before, also after an error", cases=instrument, count=4)
def test_gradient_norms_leave_no_trace(gradient_flow, images, targets, which, seed):
    """In training mode but for one layer; a second run would move the running statistics once more."""
    model = with_gradients(network(Small, seed, training=True))
    model.fc.eval()
    model.first.register_forward_hook(lambda *_: None)
    raised = raises(measured, gradient_flow, which, model, images, targets, loss=broken)
    model.runs = 0
    norms = in_order(images, measured(gradient_flow, which, model, images, targets))
    return {"raised": raised, "after the error": norms, "runs": model.runs, **state_of(model)}


# ---- hw7.2: gains --------------------------------------------------------------------------------------------------


def norms_case(draw: Draw) -> dict:
    return {"norms": tuple(np.exp(draw.uniform(-9, 9, draw.integer(2, 6)).astype(float)).tolist())}


FAR_APART = [(0.0, 1.0, 2.0), (0.0, 0.0, 2.0), (3.0, 0.0, 0.5, 0.2), (1e150, 1.0, 1e-150), (1e-150, 0.5, 2.0, 1e150)]
FAR_APART += [(5e-324, 1e-310), (1e-40, 1e-30, 1.0)]


@points("hw7.2", 4, "the factor per layer", cases=norms_case, count=5)
def test_gain_per_layer(gradient_flow, norms):
    return {"gain": gradient_flow.gain_per_layer(list(norms))}


@points("hw7.2", 1, "a gradient that does not arrive, or that is far from where it was",
        cases=[{"norms": norms} for norms in FAR_APART])  # fmt: skip
def test_gain_of_nothing(gradient_flow, norms):
    return {"gain": gradient_flow.gain_per_layer(list(norms))}


NAN, INF = float("nan"), float("inf")
BEHAVIOURS = [
    {"norms": norms, "bound": bound}
    for bound, several in {
        100.0: [
            (1.0, 5.0, 99.0), (1.0, 0.1, 101.0), (99.0, 1e9, 1.0), (101.0, 1.0), (1.0, 1.0), (1.0, 100.0), (100.0, 1.0),
            (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 3.0, 0.0), (1.0, 0.0, 2.0), (1e-40, 1e-30), (1e-30, 1e-40),
            (NAN, 1.0), (1.0, NAN), (1.0, INF, 1.0), (1.0, NAN, 1.0), (1.0, INF), (INF, INF), (0.0, NAN, 1.0),
        ],
        10.0: [(1.0, 12.0), (12.0, 1.0)],
    }.items()
    for norms in several
]  # fmt: skip


@points("hw7.2", 3, "what becomes of the gradient", cases=BEHAVIOURS)
def test_behaviour(gradient_flow, norms, bound):
    return {"behaviour": gradient_flow.behaviour(list(norms), bound)}


def layer_case(draw: Draw) -> dict:
    slope = [0.0, 1.0, 0.2, -0.5][draw.index % 4]
    return {"fan_out": draw.integer(3, 90), "std": float(draw.uniform(0.02, 0.6)), "negative_slope": slope}


@points("hw7.2", 4, "the gain that theory expects", cases=layer_case, count=4)
def test_expected_gain(gradient_flow, fan_out, std, negative_slope):
    return {"gain": gradient_flow.expected_gain(fan_out, std, negative_slope)}


# ---- hw7.3: paths --------------------------------------------------------------------------------------------------


@points("hw7.3", 4, "how many paths of each length", cases=[{"n": n} for n in (0, 1, 2, 3, 5, 10, 54, 75)])
def test_path_counts(unravel, n):
    return {"counts": [str(count) for count in unravel.path_counts(n)]}  # exact: beyond the integers of an array


@points("hw7.3", 4, "every path, once", cases=[{"n": n} for n in (0, 1, 2, 4)])
def test_all_paths(unravel, n):
    paths = unravel.all_paths(n)
    spelt = sorted("".join("FT"[bool(way)] for way in path) for path in paths)
    return {"paths": "; ".join(spelt), "number": len(paths)}


BULKS = [(1, 0.95), (2, 0.5), (5, 0.6), (9, 0.95), (54, 0.95), (10, 1.0), (12, 0.2), (0, 0.5), (2, 0.6), (54, 1.0)]
BULKS += [(26, (62_040_890 + more) / 2**26) for more in (0, 1)]  # exactly 9 ... 17, and one path more


@points("hw7.3", 4, "where the bulk of the paths lies", cases=[{"n": n, "share": share} for n, share in BULKS])
def test_common_lengths(unravel, n, share):
    return {"lengths": tuple(unravel.common_lengths(n, share))}


# ---- hw7.4: one path -----------------------------------------------------------------------------------------------


def block_case(draw: Draw) -> dict:
    shape = (draw.size(1, 2), 2, draw.integer(3, 4), draw.integer(3, 5))
    ways = {"kind": draw.index % 2, "through_branch": draw.index % 4 < 2, "training": draw.index % 3 == 2}
    return {"x": draw.normal(*shape), **ways, "seed": draw.seed()}


def a_block(kind, seed, training):
    return network(Residual, seed, training).get_submodule(["one", "two"][kind])


@points("hw7.4", 4, "that the block's values stay", cases=block_case, count=6)
def test_one_way_forward(unravel, x, kind, through_branch, training, seed):
    block = with_gradients(a_block(kind, seed, training))
    return {"output": unravel.one_way(block, tensor(x), through_branch), **state_of(block)}


@points("hw7.4", 6, "the gradient that goes one way", cases=block_case, count=8)
def test_one_way_gradient(unravel, x, kind, through_branch, training, seed):
    block, x = a_block(kind, seed, training), tensor(x, requires_grad=True)
    return gradients(unravel.one_way(block, x, through_branch), {"x": x}, seed)


def path_case(draw: Draw) -> dict:
    ways = [(True, False, True), (False, False, False), (True, True, True), (False, True, True)][draw.index % 4]
    return {**batch(draw), "path": "".join("01"[way] for way in ways), "training": draw.index % 2 == 1}


@points("hw7.4", 4, "the gradient along a path", cases=path_case, count=4)
def test_path_gradient(unravel, images, targets, path, training, seed):
    model, ways = network(Residual, seed, training), [way == "1" for way in path]
    return {"gradient": unravel.path_gradient(model, tensor(images), tensor(targets), ways)}


@points("hw7.4", 2, "paths of another length are refused, the network stays itself", cases=path_case, count=4)
def test_path_gradient_leaves_no_trace(unravel, images, targets, path, training, seed):
    """Also after an error inside the network, and inside a lesion."""
    model, ways = with_gradients(network(Residual, seed, training)), [way == "1" for way in path]
    model.fc.train(not training)
    given = tensor(images), tensor(targets)
    refused = {name: raises(unravel.path_gradient, model, *given, choices)
               for name, choices in {"too short": ways[:-1], "too long": [*ways, True]}.items()}  # fmt: skip
    with replaced({model.fc: broken}):
        failed = raises(unravel.path_gradient, model, *given, ways)
    with replaced({model.three: lambda x: x * 2}):
        unravel.path_gradient(model, *given, ways)
        in_the_lesion = model(given[0])
    answers = {
        **refused,
        "an error inside": failed,
        "the path": "".join("01"[way] for way in ways),
        "the images require a gradient": given[0].requires_grad,
        "output in the lesion": in_the_lesion,
        **state_of(model),
    }
    x = tensor(images, requires_grad=True)
    return {**answers, **gradients(model(x), {"x": x}, seed, "the whole gradient, afterwards, at ")}


# ---- hw7.5: effective paths ----------------------------------------------------------------------------------------


def magnitudes_case(draw: Draw) -> dict:
    n = draw.integer(2, 9)
    return {"n": n, "magnitudes": draw.uniform(0.1, 2.0, n + 1).astype(float) * [1.0, 1e-30][draw.index % 2]}


DEEP = [
    {"n": 75, "magnitudes": 0.3 ** np.arange(76)},  # more paths than an int64 counts
    {"n": 4, "magnitudes": np.array([9, 5, 0, 2, 1])},
    {"n": 0, "magnitudes": np.array([0.25])},
]


@points("hw7.5", 4, "the share of each length", cases=magnitudes_case, count=5)
def test_share_by_length(unravel, n, magnitudes):
    return {"shares": np.asarray(unravel.share_by_length(n, magnitudes))}


@points("hw7.5", 2, "the shares in a deep network, of whole numbers, and without a block", cases=DEEP)
def test_share_by_length_edges(unravel, n, magnitudes):
    return {"shares": np.asarray(unravel.share_by_length(n, magnitudes.tolist()))}


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
    {"shares": (0.1, 0.6, 0.1, 0.2), "share": 0.7},
    {"shares": (0.1, 0.7, 0.2), "share": 0.8},  # as floats, 0.1 and 0.7 are a little less
    {"shares": (0.03, 0.9499, 0.0201), "share": 0.95},  # and this is less by more than rounding
    {"shares": (1.0,), "share": 0.95},
]


@points("hw7.5", 2, "ties and edges", cases=TIES)
def test_effective_lengths_edges(unravel, shares, share):
    given = list(shares)
    return {"lengths": tuple(unravel.effective_lengths(given, share)), "shares afterwards": given}


# ---- hw7.6: lesions ------------------------------------------------------------------------------------------------


def lesion_case(draw: Draw) -> dict:
    names = ["one", "two", "three", "one three", "one two three"][draw.index % 5]
    return {**batch(draw), "names": names, "training": draw.index % 2 == 1}


@points("hw7.6", 5, "the network without some blocks, in both directions", cases=lesion_case, count=5)
def test_removed_blocks(lesion, images, targets, names, training, seed):
    """One block's branch answers NaN, as that of a ruined layer: removed, it must not be heard."""
    model, x = with_gradients(network(Residual, seed, training)), tensor(images, requires_grad=True)
    ruined = model.get_submodule(names.split()[-1]).conv1
    with lesion.removed(model, names.split()), replaced({ruined: lambda x: x * float("nan")}):
        output = model(x)
        before = state_of(model)
        return {"output": output, **before, **gradients(output, {"x": x}, seed), "afterwards": state_of(model)}


def chain(seed):
    layers = [nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Tanh()]
    return network(lambda: nn.Sequential(*layers), seed)


def layer_case_of_a_chain(draw: Draw) -> dict:
    return {**batch(draw), "names": ["2", "0", "3", "0 3"][draw.index]}


@points("hw7.6", 2, "a network without a plain layer", cases=layer_case_of_a_chain, count=4)
def test_removed_layer(lesion, images, targets, names, seed):
    """Among them one without weights, and a block without a shortcut."""
    model, block = chain(seed), network(lambda: PlainBlock(2, 2), seed)
    with lesion.removed(model, names.split()):
        inside = model(tensor(images))
    return {
        "without it": inside,
        "with it again": model(tensor(images)),
        "without a plain block": lesion.without_branch(block)(tensor(images)),
    }


def order_case(draw: Draw) -> dict:
    return {**batch(draw), "order": ["0:2 2:0", "0:2", "0:2 2:3 3:0", "", "2:0 3:0"][draw.index % 5]}


@points("hw7.6", 3, "the network with its blocks in another order", cases=order_case, count=5)
def test_reordered_blocks(lesion, images, targets, order, seed):
    model = chain(seed)
    with lesion.reordered(model, dict(pair.split(":") for pair in order.split())):
        inside = model(tensor(images))
    return {"reordered": inside, "in order again": model(tensor(images))}


@points("hw7.6", 2, "another order inside a lesion, and after an error", cases=order_case, count=5)
def test_reordered_blocks_in_a_lesion(lesion, images, targets, order, seed):
    model, x = chain(seed), tensor(images)
    order = dict(pair.split(":") for pair in order.split())

    def run_and_fail():
        with lesion.reordered(model, order):
            model(tensor(images[:, :1]))  # one channel too few

    with lesion.removed(model, ["2"]):
        with lesion.reordered(model, order):
            inside = model(x)
        failed = raises(run_and_fail)
        left = model(x)
    return {
        "reordered": inside,
        "raised": failed,
        "the lesion alone": left,
        "whole again": model(x),
        "an unknown name": raises(lesion.reordered(model, {"0": "nose"}).__enter__),
    }


ORDERS = [(0, 1), (1, 0), (0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 2, 3), (2, 0, 3, 1, 4), (4, 0, 1, 2, 3)]
ORDERS += [(5, 2, 8, 0, 1, 7, 3, 6, 4)]


@points("hw7.6", 2, "how much of an order is left", cases=[{"order": order} for order in ORDERS])
def test_kendall_tau(lesion, order):
    given = list(order)
    return {"tau": lesion.kendall_tau(given), "the order afterwards": given}


# ---- hw7.7: receptive fields ---------------------------------------------------------------------------------------

STACKS = [
    "3,1,1 3,1,1 3,1,1",
    "7,2,1 3,2,1 3,1,1 3,1,1",
    "1,1,1 1,3,1 5,1,1",
    "1,2,3 3,1,1 1,2,1 2,3,2",
    "3,1,2 3,2,3 2,2,1",
    "11,4,1 3,2,1 5,1,1 3,2,1",
    "3,2,1",
    "",
    "3,64,1 3,64,1 3,64,1 3,64,1 3,64,1 3,64,1 3,2,1",
]


@points("hw7.7", 4, "field and stride behind every layer", cases=[{"layers": stack} for stack in STACKS])
def test_receptive_field(receptive_field, layers):
    rows = [tuple(int(number) for number in row.split(",")) for row in layers.split()]
    return {"fields and strides": [tuple(pair) for pair in receptive_field.receptive_field(rows)]}


def listening(draw: Draw) -> dict:
    scale = [1.0, 1e-25, 1.0, 1e25][draw.index % 4]
    return {**batch(draw), "scale": scale, "training": draw.index > 3}


@points("hw7.7", 3, "which pixels the centre listens to", cases=listening, count=6)
def test_centre_gradient(receptive_field, images, targets, scale, training, seed):
    layers = [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 2, (1, 3), padding=(0, 1))]
    model, x = with_gradients(network(lambda: nn.Sequential(*layers), seed, training)), tensor(images)
    sensitivity = receptive_field.centre_gradient(nn.Sequential(model, Times(scale)).train(training), x)
    return {
        "sensitivity": np.asarray(sensitivity).astype(images.dtype),
        "the images require a gradient": x.requires_grad,
        **state_of(model),
    }


class Times(nn.Module):
    """x times a number: the gradients of what lies before vanish or explode."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@points("hw7.7", 1, "a centre that nothing reaches", cases=batch, count=1)
def test_centre_gradient_of_nothing(receptive_field, images, targets, seed):
    return {"sensitivity": receptive_field.centre_gradient(lambda x: x * 0, tensor(images))}


def sensitivity_case(draw: Draw) -> dict:
    values = draw.uniform(0.0, 1.0, draw.integer(3, 6), draw.integer(3, 6)) ** 3
    values = values / values.max()
    values[-1, -1] = 0.5
    return {"sensitivity": values * (draw.index != 3), "threshold": [0.0455, 0.5][draw.index % 2]}


@points("hw7.7", 2, "the side of the effective field", cases=sensitivity_case, count=5)
def test_effective_size(receptive_field, sensitivity, threshold):
    return {"side": receptive_field.effective_size(sensitivity, threshold)}


# ---- hw7.8: cost ---------------------------------------------------------------------------------------------------


def cost_case(draw: Draw) -> dict:
    """Few values, so that there are ties: whole and half numbers, of both signs."""
    n = draw.size(0, 30)
    values = draw.integers(0, 6, 2, n) / 2 + [[draw.choice([-2, 1])], [draw.choice([-9, -1, 60])]]
    return {"costs": tuple(values[0].tolist()), "accuracies": tuple(values[1].tolist())}


CALM = [
    {"costs": (), "accuracies": ()},
    {"costs": (3,), "accuracies": (0,)},
    {"costs": (0.0, 0.0, -1.0), "accuracies": (0.0, 0.0, -2.0)},
    {"costs": (1e-12, 0.0, -1e12), "accuracies": (1e-12, 0.0, -1e12)},
    {"costs": (3, 1, 2) * 12, "accuracies": (70.5, 60.5, 65.5) * 12},  # many alike: in the given order
]


@points("hw7.8", 4, "the networks that no other one beats", cases=cost_case, count=12)
def test_pareto_front(efficiency, costs, accuracies):
    return {"front": list(efficiency.pareto_front(list(costs), list(accuracies)))}


@points("hw7.8", 2, "the front of no networks, of one, and of many alike", cases=CALM)
def test_pareto_front_edges(efficiency, costs, accuracies):
    given = {"costs": list(costs), "accuracies": list(accuracies)}
    front = list(efficiency.pareto_front(**given))
    return {"front": front, **{f"{name} afterwards": values for name, values in given.items()}}


def density_case(draw: Draw) -> dict:
    n = draw.size(1, 4)
    accuracies = draw.uniform(50, 80, n).astype(float) if draw.index else draw.integers(50, 80, n)
    return {"accuracies": accuracies, "parameters": draw.integers(10**5, 10**8, n)}


@points("hw7.8", 2, "accuracy for a million parameters", cases=density_case, count=4)
def test_accuracy_density(efficiency, accuracies, parameters):
    return {"density": np.asarray(efficiency.accuracy_density(accuracies.tolist(), parameters.tolist()))}
