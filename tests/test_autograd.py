"""Homework 1: the tape. `pytest tests/test_autograd.py` grades assignments/hw1_autograd."""

from collections.abc import Iterator

import numpy as np

from minicnn import Tensor
from minicnn.autograd import AccumulateGrad, Function, Node, gradient_edge
from minicnn.autograd.backprop import CotangentSums, topological_order
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import Unusable, gradients, raises, tensor

# ---- hw1.1: unbroadcast --------------------------------------------------------------------------------------------

# (shape before, shape after); an axis that is new may have length 1, and an empty batch stretches 1 to 0
NEW_AXES = [((3,), (2, 3)), ((), (4,)), ((2, 3), (4, 5, 2, 3)), ((3,), (3, 3)), ((), (2, 3)), ((4, 2), (3, 4, 2)),
            ((3,), (1, 3)), ((), (1, 1))]  # fmt: skip
STRETCHED = [((1, 3), (2, 3)), ((4, 1), (4, 3)), ((2, 1, 3), (2, 4, 3)), ((1, 3, 1), (2, 3, 4)), ((1,), (5,)),
             ((3, 1), (3, 3)), ((1, 3), (0, 3))]  # fmt: skip
BOTH = [((2, 3), (2, 3)), ((3, 1, 5), (2, 3, 4, 5)), ((1, 3), (1, 3)), ((1, 4), (2, 1, 4)), ((1,), (3, 4)),
        ((2, 1, 1), (3, 2, 1, 5)), ((1, 2), (1, 4, 2)), ((3, 1), (0, 3, 1))]  # fmt: skip


def broadcast_case(draw: Draw, shapes: list) -> dict:
    shape, stretched = shapes[draw.index]
    return {"gradient": draw.normal(*stretched), "shape": shape}


@points("hw1.1", 4, "the sum over axes that are new", cases=lambda draw: broadcast_case(draw, NEW_AXES), count=8)
def test_unbroadcast_new_axes(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


@points("hw1.1", 4, "the sum over axes that were stretched", count=7,
        cases=lambda draw: broadcast_case(draw, STRETCHED))  # fmt: skip
def test_unbroadcast_stretched_axes(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


@points("hw1.1", 4, "axes of both kinds, and axes that stayed", cases=lambda draw: broadcast_case(draw, BOTH), count=8)
def test_unbroadcast_both(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


# ---- hw1.2: product and quotient -----------------------------------------------------------------------------------

PAIRS = [((2, 3), (3,)), ((4, 1), (1, 3)), ((), (2, 3)), ((3, 3), (3, 1)), ((2, 1, 4), (3, 1)), ((1,), (5, 2))]


def operands(draw: Draw, a_shape: tuple, b_shape: tuple) -> dict:
    """The last two cases want one gradient only, the others both."""
    wanted = {2: "a", 1: "b"}.get(draw.count - draw.index, "ab")
    a, b = draw.away_from_zero(*a_shape), draw.away_from_zero(*b_shape)
    return {"a": a, "b": b, "wanted": wanted, "seed": draw.seed()}


def alike(draw: Draw) -> dict:
    shape = draw.size(1, 4), draw.size(1, 5)
    return operands(draw, shape, shape)


def unlike(draw: Draw) -> dict:
    a_shape, b_shape = PAIRS[draw.index % len(PAIRS)]
    return operands(draw, a_shape, b_shape)


def with_number(draw: Draw) -> dict:
    return {"x": draw.away_from_zero(2, draw.size(2, 4)), "number": draw.choice([2.5, -3, 0.25]), "seed": draw.seed()}


def divisions(draw: Draw) -> dict:
    """By small numbers of any size, and by 0: there also 0 / 0."""
    case = operands(draw, (2, 4), (2, 4))
    case["b"] *= (10.0 ** draw.integers(-8, 0, 2, 4)).astype(draw.dtype)
    case["a"][0, 0] = case["b"][0, :2] = 0
    return case


def two_gradients(operation, a, b, wanted, seed):
    """Between forward and backward the operation is called once more: that must not disturb the first call."""
    leaves = {name: tensor(value, requires_grad=name in wanted) for name, value in (("a", a), ("b", b))}
    result = operation.apply(*leaves.values())
    operation.apply(*(tensor(np.full((2, 2), 0.5), requires_grad=True) for _ in leaves))
    return gradients(result, {name: value for name, value in leaves.items() if name in wanted}, seed, tape=False)


@points("hw1.2", 2, "the product and the quotient", cases=unlike)
def test_products(arithmetic, a, b, wanted, seed):
    a, b = tensor(a), tensor(b)
    return {"a * b": arithmetic.Mul.apply(a, b), "a / b": arithmetic.Div.apply(a, b)}


@points("hw1.2", 3, "the gradients of a product", cases=alike, count=6)
def test_mul_gradients(arithmetic, a, b, wanted, seed):
    return two_gradients(arithmetic.Mul, a, b, wanted, seed)


@points("hw1.2", 3, "the gradients of a quotient", cases=alike, count=6)
def test_div_gradients(arithmetic, a, b, wanted, seed):
    return two_gradients(arithmetic.Div, a, b, wanted, seed)


@points("hw1.2", 3, "the gradients where shapes were broadcast", cases=unlike, count=8)
def test_products_broadcast(arithmetic, a, b, wanted, seed):
    answers = {}
    for name, operation in (("a * b", arithmetic.Mul), ("a / b", arithmetic.Div)):
        answers.update({f"{at}, {name}": value for at, value in two_gradients(operation, a, b, wanted, seed).items()})
    return answers


@points("hw1.2", 2, "the product, the quotient and their gradients with a Python number", cases=with_number, count=3)
def test_products_number(arithmetic, x, number, seed):
    x = tensor(x, requires_grad=True)
    results = {
        "x * number": arithmetic.Mul.apply(x, number),
        "number * x": arithmetic.Mul.apply(number, x),
        "x / number": arithmetic.Div.apply(x, number),
        "number / x": arithmetic.Div.apply(number, x),
    }
    answers: dict = dict(results)
    for name, result in results.items():
        answers.update(gradients(result, {name: x}, seed, tape=False))
    return answers


@points("hw1.2", 1, "the quotient and its gradients where b is very small, or 0", cases=divisions, count=4)
def test_div_small(arithmetic, a, b, wanted, seed):
    return {"a / b": arithmetic.Div.apply(tensor(a), tensor(b)), **two_gradients(arithmetic.Div, a, b, wanted, seed)}


# ---- hw1.3 and hw1.4: functions of one number ----------------------------------------------------------------------


def numbers(draw: Draw) -> dict:
    shape = [(3, 5), (), (4,), (2, 1, 3, 2)][draw.index]
    return {"x": np.asarray(2 * draw.away_from_zero(*shape)), "seed": draw.seed()}


def large_numbers(draw: Draw) -> dict:
    return {"x": draw.away_from_zero(2, 3) * np.asarray(2000, draw.dtype), "seed": draw.seed()}


#: With which options an operation is called between the forward and the backward that are checked.
OTHERS = {"LeakyReLU": (3.0,), "Sum": ((0, 1), True), "Mean": ((0, 1), True)}


def one_gradient(operation, x, seed, *options):
    x = tensor(x, requires_grad=True)
    result = operation.apply(x, *options)
    operation.apply(tensor(np.full((4, 2), 0.5), requires_grad=True), *OTHERS.get(operation.__name__, ()))
    return gradients(result, {"x": x}, seed, tape=False)


@points("hw1.3", 3, "the gradient of the sigmoid", cases=numbers, count=4)
def test_sigmoid_gradient(activation, x, seed):
    return one_gradient(activation.Sigmoid, x, seed)


@points("hw1.3", 2, "tanh", cases=numbers, count=4)
def test_tanh(activation, x, seed):
    return {"tanh x": activation.Tanh.apply(tensor(x))}


@points("hw1.3", 3, "the gradient of tanh", cases=numbers, count=4)
def test_tanh_gradient(activation, x, seed):
    return one_gradient(activation.Tanh, x, seed)


@points("hw1.3", 3, "the gradient of SiLU", cases=numbers, count=4)
def test_silu_gradient(activation, x, seed):
    return one_gradient(activation.SiLU, x, seed)


@points("hw1.3", 1, "tanh and the gradients at inputs in the thousands", cases=large_numbers, count=4)
def test_squashing_large(activation, x, seed):
    answers = {"tanh x": activation.Tanh.apply(tensor(x))}
    for name in ("Sigmoid", "Tanh", "SiLU"):
        answers[f"gradient of {name}"] = one_gradient(getattr(activation, name), x, seed)["gradient at x"]
    return answers


SLOPES = [0.25, 0, 2, -0.5]


def sloped(draw: Draw) -> dict:
    return {**numbers(draw), "slope": SLOPES[draw.index]}


def with_zeros(draw: Draw) -> dict:
    x = draw.integers(-1, 1, 3, 5).astype(draw.dtype)
    x[0, :3] = -1, 0, 1
    return {"x": x, "slope": SLOPES[draw.index], "seed": draw.seed()}


@points("hw1.4", 2, "the gradient of ReLU", cases=numbers, count=4)
def test_relu_gradient(activation, x, seed):
    return one_gradient(activation.ReLU, x, seed)


@points("hw1.4", 2, "leaky ReLU, for slopes of any size and sign", cases=sloped, count=4)
def test_leaky_relu(activation, x, slope, seed):
    return {"leaky_relu(x)": activation.LeakyReLU.apply(tensor(x), slope)}


@points("hw1.4", 2, "the gradient of leaky ReLU", cases=sloped, count=4)
def test_leaky_relu_gradient(activation, x, slope, seed):
    return one_gradient(activation.LeakyReLU, x, seed, slope)


@points("hw1.4", 2, "both gradients where x is exactly 0", cases=with_zeros, count=4)
def test_relu_at_zero(activation, x, slope, seed):
    return {
        "ReLU": one_gradient(activation.ReLU, x, seed),
        "leaky ReLU": one_gradient(activation.LeakyReLU, x, seed, slope),
    }


# ---- hw1.5: sum and mean -------------------------------------------------------------------------------------------

# Where sides are equal an axis in the wrong place goes unnoticed by its length. A single number has no axes.
REDUCTIONS = [((3, 3, 3), (0,)), ((3, 3, 3), (1,)), ((3, 3, 3), (2,)), ((2, 4, 3), (0, 1)), ((2, 4, 3), (0, 2)),
              ((3, 4, 2), (1, 2)), ((3, 4, 2), (0, 1, 2)), ((2, 3, 4, 2), (0, 2, 3)), ((5,), (0,)),
              ((), ())]  # fmt: skip


def reductions(draw: Draw, keepdim: bool) -> dict:
    shape, axes = REDUCTIONS[draw.index]
    return {"x": np.asarray(draw.normal(*shape)), "axes": axes, "keepdim": keepdim, "seed": draw.seed()}


def kept(draw: Draw) -> dict:
    return reductions(draw, True)


def left_out(draw: Draw) -> dict:
    return reductions(draw, False)


def either(draw: Draw) -> dict:
    return reductions(draw, draw.index % 2 == 0)


@points("hw1.5", 2, "the sum, with and without keepdim", cases=either, count=10)
def test_sum(reduction, x, axes, keepdim, seed):
    return {"sum": reduction.Sum.apply(tensor(x), axes, keepdim)}


@points("hw1.5", 2, "the mean, with and without keepdim", cases=either, count=10)
def test_mean(reduction, x, axes, keepdim, seed):
    return {"mean": reduction.Mean.apply(tensor(x), axes, keepdim)}


@points("hw1.5", 2, "the gradient of a sum that keeps its axes", cases=kept, count=10)
def test_sum_gradient(reduction, x, axes, keepdim, seed):
    return one_gradient(reduction.Sum, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a sum whose axes are left out", cases=left_out, count=10)
def test_sum_gradient_left_out(reduction, x, axes, keepdim, seed):
    return one_gradient(reduction.Sum, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a mean that keeps its axes", cases=kept, count=10)
def test_mean_gradient(reduction, x, axes, keepdim, seed):
    return one_gradient(reduction.Mean, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a mean whose axes are left out", cases=left_out, count=10)
def test_mean_gradient_left_out(reduction, x, axes, keepdim, seed):
    return one_gradient(reduction.Mean, x, seed, axes, keepdim)


# ---- hw1.6: matrix product and linear layer ------------------------------------------------------------------------


def matrices(draw: Draw) -> dict:
    n, k, m = (3, 3, 3) if draw.index < 2 else (draw.size(1, 4), 5, 2)
    return operands(draw, (n, k), (k, m))


STACKS = [((2, 3, 3), (2, 3, 3)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 2)), ((2, 1, 3, 2), (4, 2, 3)),
          ((1, 2, 3), (4, 3, 1))]  # fmt: skip


def stacks(draw: Draw) -> dict:
    return operands(draw, *STACKS[draw.index % len(STACKS)])


ROWS = [(3,), (4,), (2, 5), (1,), ()]


def layers(draw: Draw, rows: list) -> dict:
    """First all gradients are wanted, and then, row shapes anew, that at x, at weight, at bias."""
    wanted = ("x", "weight", "bias")
    wide, narrow = (3, 3) if draw.index == 0 else (draw.integer(4, 5), draw.integer(2, 3))
    return {
        "x": draw.normal(*rows[draw.index % len(rows)], wide),
        "weight": draw.normal(narrow, wide),
        "bias": draw.normal(narrow),
        "wanted": wanted if draw.index < len(rows) else wanted[draw.index % 3 :][:1],
        "seed": draw.seed(),
    }


def layer_gradients(matrix, x, weight, bias, wanted, seed):
    """With another call between forward and backward."""
    leaves = {
        name: None if value is None else tensor(value, requires_grad=name in wanted)
        for name, value in (("x", x), ("weight", weight), ("bias", bias))
    }
    result = matrix.Linear.apply(*leaves.values())
    matrix.Linear.apply(*(tensor(np.full(shape, 0.5), requires_grad=True) for shape in ((4, 2), (6, 2), (6,))))
    asked = {name: value for name, value in leaves.items() if name in wanted and value is not None}
    return gradients(result, asked, seed, tape=False)


@points("hw1.6", 2, "the product of matrices and of stacks of them", cases=stacks, count=5)
def test_matmul(matrix, a, b, wanted, seed):
    return {"A @ B": matrix.MatMul.apply(tensor(a), tensor(b))}


@points("hw1.6", 3, "the gradients of a product of two matrices", cases=matrices, count=6)
def test_matmul_gradients(matrix, a, b, wanted, seed):
    return two_gradients(matrix.MatMul, a, b, wanted, seed)


@points("hw1.6", 3, "the gradients of a product of stacks", cases=stacks, count=7)
def test_matmul_stacks(matrix, a, b, wanted, seed):
    return two_gradients(matrix.MatMul, a, b, wanted, seed)


@points("hw1.6", 3, "the gradients of a linear layer", cases=lambda draw: layers(draw, [(3,), (4,), (1,)]), count=6)
def test_linear_gradients(matrix, x, weight, bias, wanted, seed):
    return layer_gradients(matrix, x, weight, bias, wanted, seed)


@points("hw1.6", 2, "its gradients for an x with more axes, or only one", count=6,
        cases=lambda draw: layers(draw, [(2, 5), (2, 1, 3), ()]))  # fmt: skip
def test_linear_axes(matrix, x, weight, bias, wanted, seed):
    return layer_gradients(matrix, x, weight, bias, wanted, seed)


@points("hw1.6", 1, "its gradients without a bias", cases=lambda draw: layers(draw, [(3,), (2, 3)]), count=2)
def test_linear_without_bias(matrix, x, weight, bias, wanted, seed):
    return layer_gradients(matrix, x, weight, None, wanted, seed)


# ---- graphs for hw1.7 to hw1.9 -------------------------------------------------------------------------------------


class TwoOutputs(Function):
    """2 x and 3 x. Shown without its address in memory, so that a message says the same each time."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x, 3 * x

    @staticmethod
    def backward(ctx, first, second):
        return 2 * first + 3 * second

    def __repr__(self):
        return "<TwoOutputs>"


def leaf(value) -> Tensor:
    return tensor(np.asarray(value, dtype=float), requires_grad=True)


def residual_block() -> tuple[Tensor, Tensor]:
    """The example of docs/autograd.md: a = x x, b = 5 a, L = a + b at x = 3; x and L."""
    x = leaf(3.0)
    a = x * x
    return x, a + 5 * a


def web(seed: int, size: int) -> tuple[list[Tensor], Tensor]:
    """A random expression in which what was computed is used again and again; its leaves, and its value.

    It also uses both outputs of a node, the first one of another, and begins a difference with a constant.
    """
    rng = np.random.default_rng(seed)
    leaves = [leaf(rng.normal(size=2)) for _ in range(3)]
    values = list(leaves)
    for _ in range(size):
        one, other = (values[rng.integers(max(0, len(values) - 5), len(values))] for _ in range(2))
        values.append([one + other, one * other, one.tanh() - other, TwoOutputs.apply(one)[1]][rng.integers(4)])
    first, second = TwoOutputs.apply(values[-1])
    values.append(1 - first * second.tanh())
    values.append(TwoOutputs.apply(values[-3])[0])
    return leaves, sum(values[-4:], start=values[-5]).sum()


class Link(Function):
    """A node of a graph that is put in order and not run."""


def chain(length: int, ways: int = 1) -> Node:
    """The top of a row of nodes, each with so many edges to the next, which may be looked through 100 times in all."""
    node, looks = gradient_edge(leaf(1.0))[0], iter(range(100 * length))
    for _ in range(length):
        node, below = Link(), node
        node.edges = Watched([(below, 0)] * ways)
        node.edges.looks = looks
    return node


class Watched(tuple):
    """Edges that notice when they are looked through over and over."""

    looks: Iterator

    def __iter__(self) -> Iterator:
        if next(self.looks, None) is None:
            raise Unusable("the edges of a node are looked through again for each way that leads there: once is enough")
        return super().__iter__()

    def __getitem__(self, place):
        return tuple(self)[place]


def runner(visited: list) -> object:
    """What happens at a node: it is noted down, leaves keep what arrives, operations run their backward."""

    def run(node, cotangents) -> Iterator:
        visited.append((node, [None if c is None else c.copy() for c in cotangents]))
        if isinstance(node, AccumulateGrad):
            node.accumulate(cotangents[0], fresh=False)
            return
        for edge, gradient in zip(node.edges, node.run_backward(cotangents), strict=True):
            if edge is not None and gradient is not None:
                yield edge, gradient, False

    return run


def started(order, *roots: Tensor, arriving=CotangentSums) -> CotangentSums:
    """Cotangents of ones for the roots."""
    start = arriving(order)
    for root in roots:
        start.add(*gradient_edge(root), np.ones(root.shape), fresh=False)
    return start


# ---- hw1.7: topological order --------------------------------------------------------------------------------------


def facts(order) -> dict:
    """What is true of every right order."""
    order = list(order)
    if not all(isinstance(node, Node) for node in order):
        raise Unusable(f"expected a list of nodes, got {[type(node).__name__ for node in order[:3]]} ...")
    place = {node: index for index, node in enumerate(order)}
    below = [(node, edge[0]) for node in place for edge in node.edges if edge is not None]
    too_early = {low for node, low in below if low in place and place[low] < place[node]}
    return {
        "number of nodes": len(place),
        "nodes listed more than once": len(order) - len(place),
        "nodes, by name": " ".join(sorted(node.name() for node in place)),
        "nodes before one that uses them": len(too_early),
    }


def webs(draw: Draw) -> dict:
    return {"seed": draw.seed(), "size": draw.size(3, 20)}


@points(
    "hw1.7", 1, "the order of a chain, also when asked for again", cases=[{"length": 0}, {"length": 1}, {"length": 4}]
)
def test_order_of_a_chain(backprop, length):
    y = leaf(0.5)
    for step in range(length):
        y = y.exp() if step % 2 else y.sin()
    roots = [gradient_edge(y)[0]]
    order = backprop.topological_order(roots)
    return {
        **facts(order),
        "roots in the list that was given": len(roots),
        "nodes that a second call finds": len(list(backprop.topological_order([gradient_edge(y)[0]]))),
    }


@points("hw1.7", 3, "the order of a residual block, docs/autograd.md's example at x = 3")
def test_order_of_a_residual_block(backprop):
    _, loss = residual_block()
    return facts(backprop.topological_order([loss.grad_fn]))


@points("hw1.7", 3, "the order of expressions that use their parts again", cases=webs)
def test_order_of_a_web(backprop, seed, size):
    _, value = web(seed, size)
    return facts(backprop.topological_order([value.grad_fn]))


@points("hw1.7", 2, "the order below several roots, one below another, one given twice", cases=webs, count=4)
def test_order_of_several_roots(backprop, seed, size):
    leaves, value = web(seed, size)
    other = (leaves[0] * leaves[1]).sum()
    top = value * value
    order = backprop.topological_order(root.grad_fn for root in (value, other, top, value))
    nothing = backprop.topological_order([])
    return {**facts(order), "nodes below no root": len(list(nothing))}


@points("hw1.7", 2, "the order of a chain of 10000 operations", cases=[{"length": 10_000}])
def test_order_of_a_long_chain(backprop, length):
    return facts(backprop.topological_order([chain(length)]))


@points("hw1.7", 1, "the order of a chain that uses each operation twice, in one look at each",
        cases=[{"length": 4}, {"length": 16}])  # fmt: skip
def test_order_of_a_double_chain(backprop, length):
    return facts(backprop.topological_order([chain(length, ways=2)]))


# ---- hw1.8: what arrives -------------------------------------------------------------------------------------------


def arrivals(draw: Draw, shapes=((3, 4), (), (2,), (1, 2, 3))) -> dict:
    return {name: np.asarray(draw.normal(*shapes[draw.index])) for name in ("first", "second", "third")}


def arrivals_of_one_row(draw: Draw) -> dict:
    return {**arrivals(draw, [(3, 4), (2, 3), (3, 2)]), "kind": ("shown", "overlapping", "frozen")[draw.index]}


def row_shown(row: np.ndarray, shape: tuple, kind: str) -> np.ndarray:
    """``row`` repeated without memory of its own, or an array that may not be written into."""
    if kind == "overlapping":
        return np.ndarray(shape, row.dtype, row.copy(), strides=(0, row.strides[-1]))
    view = np.broadcast_to(row.copy(), shape)
    if kind == "frozen":
        view = view.copy()
        view.flags.writeable = False
    return view


def taken(arriving, node) -> list | None:
    """The sums at ``node``. Of single numbers a sum may be one of NumPy's numbers."""
    sums = arriving.take(node)
    return sums and [None if each is None else np.asarray(each) for each in sums]


def three_nodes() -> list:
    """Nodes with one output each, and one with two."""
    x = leaf([1.0, 2.0])
    a, b = x.exp(), x.sin()
    return [a.grad_fn, b.grad_fn, TwoOutputs.apply(x)[0].grad_fn]


@points("hw1.8", 3, "the sum of what arrives at a node", cases=arrivals, count=4)
def test_arriving_sum(backprop, first, second, third):
    one, other, _ = order = three_nodes()
    arriving = backprop.CotangentSums(order)
    arriving.add(one, 0, first, False)
    arriving.add(other, 0, second, False)
    arriving.add(one, 0, second, False)
    arriving.add(one, 0, third, False)
    twice = backprop.CotangentSums(order)
    twice.add(one, 0, first, False)
    twice.add(one, 0, first, False)  # x + x passes on one array to x and to x
    twice.add(other, 0, np.zeros_like(first), False)
    return {
        "three arrivals": taken(arriving, one),
        "one arrival": taken(arriving, other),
        "an array that arrives twice": taken(twice, one),
        "zeros": taken(twice, other),
    }


@points("hw1.8", 2, "the sums at a node with two outputs", cases=arrivals, count=4)
def test_arriving_outputs(backprop, first, second, third):
    *_, pair = order = three_nodes()
    arriving, half = backprop.CotangentSums(order), backprop.CotangentSums(order)
    arriving.add(pair, 1, first, False)
    arriving.add(pair, 0, second, False)
    arriving.add(pair, 1, third, False)
    half.add(pair, 1, third, False)
    return {"both outputs": taken(arriving, pair), "only the second": taken(half, pair)}


@points("hw1.8", 1, "that only fresh arrays are written into, if any", cases=arrivals, count=4)
def test_arriving_shared(backprop, first, second, third):
    one, other, pair = order = three_nodes()
    arriving, more = backprop.CotangentSums(order), backprop.CotangentSums(order)
    arriving.add(one, 0, first.copy(), True)
    arriving.add(one, 0, second.copy(), True)
    arriving.add(one, 0, third, False)
    arriving.add(other, 0, first, False)
    arriving.add(other, 0, second.copy(), True)
    arriving.add(pair, 0, first.copy(), True)
    arriving.add(pair, 1, second, False)
    arriving.add(pair, 1, third, False)
    more.add(one, 0, np.broadcast_to(first, first.shape), False)  # a view that may not be written into
    more.add(one, 0, second, False)
    more.add(other, 0, third, False)
    alone = taken(more, other)
    lent = more.was_fresh and any(np.shares_memory(array, third) for array in alone or ())
    return {
        "fresh, fresh, shared": taken(arriving, one),
        "shared, fresh": taken(arriving, other),
        "fresh at one output, shared at the other": taken(arriving, pair),
        "a shared view, shared": taken(more, one),
        "one array, shared": alone,
        "that one, called fresh": lent,
    }


@points("hw1.8", 1, "that views which show one row many times, and frozen arrays, are not written into",
        cases=arrivals_of_one_row, count=3)  # fmt: skip
def test_arriving_views(backprop, first, second, third, kind):
    one, other, pair = order = three_nodes()
    arriving = backprop.CotangentSums(order)
    arriving.add(pair, 0, third, False)
    arriving.add(pair, 0, row_shown(first[:1], first.shape, kind), True)
    arriving.add(one, 0, row_shown(first[:1], first.shape, kind), True)
    arriving.add(one, 0, second, False)
    arriving.add(other, 0, third.copy(), True)
    arriving.add(other, 0, row_shown(first[:1], first.shape, kind), True)
    return {
        "shared, such a view": taken(arriving, pair),
        "such a view, shared": taken(arriving, one),
        "fresh, such a view": taken(arriving, other),
    }


@points("hw1.8", 1, "that a node outside the order is passed over", cases=arrivals, count=2)
def test_arriving_elsewhere(backprop, first, second, third):
    one, other, stranger = three_nodes()
    arriving = backprop.CotangentSums([one, other])
    arriving.add(one, 0, first, False)
    arriving.add(stranger, 0, second, False)
    arriving.add(stranger, 0, third, False)
    return {
        "inside": taken(arriving, one),
        "nothing arrived": taken(arriving, other),
        "asking for what is outside": raises(arriving.take, stranger),
    }


# ---- hw1.9: the walk -----------------------------------------------------------------------------------------------


def walked(backprop, roots: list[Tensor], seeded: list[Tensor], leaves: list[Tensor]) -> dict:
    """The gradients after a walk, and what each node was run with. There are several right orders, so none is shown."""
    order = topological_order([root.grad_fn for root in roots])
    visited: list = []
    backprop.walk(order, started(order, *seeded), runner(visited))
    ran = [node for node, _ in visited]
    listed = sorted(visited, key=lambda visit: visit[0].created)
    return {
        **{f"gradient at leaf {i}": x.grad for i, x in enumerate(leaves)},
        "nodes run, the oldest first": " ".join(node.name() for node, _ in listed),
        "each ran in its turn": ran == [node for node in order if node in ran],
        "they were run with": [{node.name(): cotangents} for node, cotangents in listed],
    }


@points("hw1.9", 2, "the gradient of docs/autograd.md's example at x = 3")
def test_walk_residual_block(backprop):
    x, loss = residual_block()
    return walked(backprop, [loss], [loss], [x])


@points("hw1.9", 2, "gradients where parts are used again, and by nodes with two outputs", cases=webs)
def test_walk_web(backprop, seed, size):
    leaves, value = web(seed, size)
    first, second = TwoOutputs.apply(leaves[0])
    only, _ = TwoOutputs.apply(leaves[1])
    total = (first * second * only).sum() + value
    return walked(backprop, [total], [total], leaves)


@points("hw1.9", 1, "that nodes are passed over that nothing arrives at", cases=webs, count=3)
def test_walk_unreached(backprop, seed, size):
    leaves, value = web(seed, size)
    aside = leaves[0].exp().sin()
    later = value * 2
    return walked(backprop, [later, value, aside], [value], leaves)


@points("hw1.9", 1, "that shared arrays are handed on as shared", cases=webs, count=3)
def test_walk_shared(backprop, seed, size):
    rng = np.random.default_rng(seed)
    x, y = leaf(rng.normal(size=3)), leaf(rng.normal(size=3))
    early = x * 2 + y * 3
    total = early + (x + y)  # the addition hands one array to both
    return walked(backprop, [total], [total], [x, y])


def networks(draw: Draw) -> dict:
    n, hidden = draw.size(1, 4), draw.integer(2, 4)
    return {"x": draw.normal(n, 3), "inner": draw.normal(3, hidden), "square": draw.normal(hidden, hidden),
            "bias": draw.normal(hidden)}  # fmt: skip


@points("hw1.9", 2, "the gradients of a small network with a shortcut, end to end", cases=networks, count=4)
def test_walk_network(backprop, x, inner, square, bias):
    leaves = {name: tensor(value, requires_grad=True) for name, value in
              {"x": x, "inner": inner, "square": square, "bias": bias}.items()}  # fmt: skip
    hidden = (leaves["x"] @ leaves["inner"] + leaves["bias"]).tanh()
    for _ in range(2):  # two residual blocks that share their weights
        hidden = hidden + (hidden @ leaves["square"] + leaves["bias"]).relu()
    loss = (hidden * hidden).mean()
    order = topological_order([loss.grad_fn])
    backprop.walk(order, started(order, loss), runner([]))
    return {**{f"gradient at {name}": x.grad for name, x in leaves.items()}, "nodes left in the order": len(order)}
