"""Homework 1: the tape. `pytest tests/test_autograd.py` grades assignments/hw1_autograd."""

from collections.abc import Iterator

import numpy as np

from minicnn import Tensor
from minicnn.backprop import Arriving, topological_order, walk
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import Unusable, gradients, raises, tensor
from minicnn.graph import AccumulateGrad, Function, Node, gradient_edge

# ---- hw1.1: unbroadcast --------------------------------------------------------------------------------------------

NEW_AXES = [((3,), (2, 3)), ((), (4,)), ((2, 3), (4, 5, 2, 3)), ((3,), (3, 3)), ((), (2, 3)), ((4, 2), (3, 4, 2))]
STRETCHED = [((1, 3), (2, 3)), ((4, 1), (4, 3)), ((2, 1, 3), (2, 4, 3)), ((1, 3, 1), (2, 3, 4)), ((1,), (5,)),
             ((3, 1), (3, 3))]  # fmt: skip
BOTH = [((2, 3), (2, 3)), ((3, 1, 5), (2, 3, 4, 5)), ((1, 3), (1, 3)), ((1, 4), (2, 1, 4)), ((1,), (3, 4)),
        ((2, 1, 1), (3, 2, 1, 5))]  # fmt: skip


def broadcast_case(draw: Draw, shapes: list) -> dict:
    shape, stretched = shapes[draw.index]
    return {"gradient": draw.normal(*stretched), "shape": shape}


@points("hw1.1", 4, "the sum over axes that are new", cases=lambda draw: broadcast_case(draw, NEW_AXES))
def test_unbroadcast_new_axes(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


@points("hw1.1", 4, "the sum over axes that were stretched", cases=lambda draw: broadcast_case(draw, STRETCHED))
def test_unbroadcast_stretched_axes(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


@points("hw1.1", 4, "axes of both kinds, and axes that stayed", cases=lambda draw: broadcast_case(draw, BOTH))
def test_unbroadcast_both(broadcast, gradient, shape):
    return {"gradient": broadcast.unbroadcast(gradient, shape)}


# ---- hw1.2: product and quotient -----------------------------------------------------------------------------------

PAIRS = [((2, 3), (3,)), ((4, 1), (1, 3)), ((), (2, 3)), ((3, 3), (3, 1)), ((2, 1, 4), (3, 1)), ((1,), (5, 2))]


def operands(draw: Draw, a_shape: tuple, b_shape: tuple) -> dict:
    return {"a": draw.away_from_zero(*a_shape), "b": draw.away_from_zero(*b_shape), "seed": draw.seed()}


def alike(draw: Draw) -> dict:
    shape = draw.size(1, 4), draw.size(1, 5)
    return operands(draw, shape, shape)


def unlike(draw: Draw) -> dict:
    a_shape, b_shape = PAIRS[draw.index]
    return operands(draw, a_shape, b_shape)


def with_number(draw: Draw) -> dict:
    return {"x": draw.away_from_zero(2, draw.size(2, 4)), "number": draw.choice([2.5, -3, 0.25]), "seed": draw.seed()}


def two_gradients(operation, a, b, seed):
    a, b = tensor(a, requires_grad=True), tensor(b, requires_grad=True)
    return gradients(operation.apply(a, b), {"a": a, "b": b}, seed)


@points("hw1.2", 3, "the product and the quotient", cases=unlike)
def test_products(products, a, b, seed):
    a, b = tensor(a), tensor(b)
    return {"a * b": products.Mul.apply(a, b), "a / b": products.Div.apply(a, b)}


@points("hw1.2", 3, "the gradients of a product", cases=alike, count=4)
def test_mul_gradients(products, a, b, seed):
    return two_gradients(products.Mul, a, b, seed)


@points("hw1.2", 3, "the gradients of a quotient", cases=alike, count=4)
def test_div_gradients(products, a, b, seed):
    return two_gradients(products.Div, a, b, seed)


@points("hw1.2", 3, "the gradients where shapes were broadcast", cases=unlike)
def test_products_broadcast(products, a, b, seed):
    answers = {}
    for name, operation in (("a * b", products.Mul), ("a / b", products.Div)):
        answers.update({f"{at}, {name}": value for at, value in two_gradients(operation, a, b, seed).items()})
    return answers


@points("hw1.2", 2, "the gradients where the other operand is a number", cases=with_number, count=3)
def test_products_number(products, x, number, seed):
    x = tensor(x, requires_grad=True)
    return {
        **gradients(products.Mul.apply(x, number), {"x * number": x}, seed),
        **gradients(products.Mul.apply(number, x), {"number * x": x}, seed),
        **gradients(products.Div.apply(x, number), {"x / number": x}, seed),
        **gradients(products.Div.apply(number, x), {"number / x": x}, seed),
    }


# ---- hw1.3 and hw1.4: functions of one number ----------------------------------------------------------------------


def numbers(draw: Draw) -> dict:
    return {"x": 2 * draw.away_from_zero(draw.size(1, 4), draw.size(2, 6)), "seed": draw.seed()}


def large_numbers(draw: Draw) -> dict:
    return {"x": draw.away_from_zero(2, 3) * np.asarray(2000, draw.dtype), "seed": draw.seed()}


def one_gradient(operation, x, seed, *options):
    x = tensor(x, requires_grad=True)
    return gradients(operation.apply(x, *options), {"x": x}, seed)


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
    for name in ("Tanh", "SiLU"):
        answers[f"gradient of {name}"] = one_gradient(getattr(activation, name), x, seed)["gradient at x"]
    return answers


SLOPES = [0.25, 0.01, 2.0, -0.5]


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

AXES = [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]


def reductions(draw: Draw, keepdim: bool) -> dict:
    """All axes; sides that are equal too, where an axis in the wrong place goes unnoticed by its length."""
    shape = (3, 3, 3) if draw.index < 3 else (draw.integer(1, 3), 4, 2)
    return {"x": draw.normal(*shape), "axes": AXES[draw.index], "keepdim": keepdim, "seed": draw.seed()}


def kept(draw: Draw) -> dict:
    return reductions(draw, True)


def left_out(draw: Draw) -> dict:
    return reductions(draw, False)


def either(draw: Draw) -> dict:
    return reductions(draw, draw.index % 2 == 0)


@points("hw1.5", 2, "the sum, with and without keepdim", cases=either)
def test_sum(sums, x, axes, keepdim, seed):
    return {"sum": sums.Sum.apply(tensor(x), axes, keepdim)}


@points("hw1.5", 2, "the mean, with and without keepdim", cases=either)
def test_mean(sums, x, axes, keepdim, seed):
    return {"mean": sums.Mean.apply(tensor(x), axes, keepdim)}


@points("hw1.5", 2, "the gradient of a sum that keeps its axes", cases=kept)
def test_sum_gradient(sums, x, axes, keepdim, seed):
    return one_gradient(sums.Sum, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a sum whose axes are left out", cases=left_out)
def test_sum_gradient_left_out(sums, x, axes, keepdim, seed):
    return one_gradient(sums.Sum, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a mean that keeps its axes", cases=kept)
def test_mean_gradient(sums, x, axes, keepdim, seed):
    return one_gradient(sums.Mean, x, seed, axes, keepdim)


@points("hw1.5", 2, "the gradient of a mean whose axes are left out", cases=left_out)
def test_mean_gradient_left_out(sums, x, axes, keepdim, seed):
    return one_gradient(sums.Mean, x, seed, axes, keepdim)


# ---- hw1.6: matrix product and linear layer ------------------------------------------------------------------------


def matrices(draw: Draw) -> dict:
    n, k, m = (3, 3, 3) if draw.index < 2 else (draw.size(1, 4), 5, 2)
    return operands(draw, (n, k), (k, m))


STACKS = [((2, 3, 3), (2, 3, 3)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 2)), ((2, 1, 3, 2), (4, 2, 3)),
          ((1, 2, 3), (4, 3, 1))]  # fmt: skip


def stacks(draw: Draw) -> dict:
    return operands(draw, *STACKS[draw.index])


ROWS = [(3,), (4,), (2, 5), (1,), ()]


def layers(draw: Draw, rows: list) -> dict:
    wide, narrow = (3, 3) if draw.index == 0 else (draw.integer(4, 5), draw.integer(2, 3))
    return {
        "x": draw.normal(*rows[draw.index], wide),
        "weight": draw.normal(narrow, wide),
        "bias": draw.normal(narrow),
        "seed": draw.seed(),
    }


def layer_gradients(matrix, x, weight, bias, seed):
    leaves = {"x": x, "weight": weight, "bias": bias}
    leaves = {name: tensor(value, requires_grad=True) for name, value in leaves.items() if value is not None}
    output = matrix.Linear.apply(leaves["x"], leaves["weight"], leaves.get("bias"))
    return gradients(output, leaves, seed)


@points("hw1.6", 2, "the product of matrices and of stacks of them", cases=stacks, count=5)
def test_matmul(matrix, a, b, seed):
    return {"A @ B": matrix.MatMul.apply(tensor(a), tensor(b))}


@points("hw1.6", 3, "the gradients of a product of two matrices", cases=matrices, count=4)
def test_matmul_gradients(matrix, a, b, seed):
    return two_gradients(matrix.MatMul, a, b, seed)


@points("hw1.6", 3, "the gradients of a product of stacks", cases=stacks, count=5)
def test_matmul_stacks(matrix, a, b, seed):
    return two_gradients(matrix.MatMul, a, b, seed)


@points("hw1.6", 3, "the gradients of a linear layer", cases=lambda draw: layers(draw, [(3,), (4,), (1,)]), count=3)
def test_linear_gradients(matrix, x, weight, bias, seed):
    return layer_gradients(matrix, x, weight, bias, seed)


@points("hw1.6", 2, "its gradients for an x with more axes, or only one", count=3,
        cases=lambda draw: layers(draw, [(2, 5), (2, 1, 3), ()]))  # fmt: skip
def test_linear_axes(matrix, x, weight, bias, seed):
    return layer_gradients(matrix, x, weight, bias, seed)


@points("hw1.6", 1, "its gradients without a bias", cases=lambda draw: layers(draw, [(3,), (2, 3)]), count=2)
def test_linear_without_bias(matrix, x, weight, bias, seed):
    return layer_gradients(matrix, x, weight, None, seed)


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
    """A random expression in which what was computed is used again and again; its leaves, and its value."""
    rng = np.random.default_rng(seed)
    leaves = [leaf(rng.normal(size=2)) for _ in range(3)]
    values = list(leaves)
    for _ in range(size):
        one, other = (values[rng.integers(max(0, len(values) - 5), len(values))] for _ in range(2))
        values.append([one + other, one * other, one.tanh() - other, TwoOutputs.apply(one)[1]][rng.integers(4)])
    return leaves, sum(values[-3:], start=values[-4]).sum()


def runner(visited: list) -> object:
    """What happens at a node: it is noted down, leaves keep what arrives, operations run their backward."""

    def run(node, cotangents) -> Iterator:
        visited.append((node.name(), [None if c is None else c.copy() for c in cotangents]))
        if isinstance(node, AccumulateGrad):
            node.accumulate(cotangents[0], fresh=False)
            return
        for edge, gradient in zip(node.edges, node.run_backward(cotangents), strict=True):
            if edge is not None and gradient is not None:
                yield edge, gradient, False

    return run


def started(order, *roots: Tensor, arriving=Arriving) -> Arriving:
    """Cotangents of ones for the roots."""
    start = arriving(order)
    for root in roots:
        start.add(*gradient_edge(root), np.ones(root.shape), fresh=False)
    return start


# ---- hw1.7: topological order --------------------------------------------------------------------------------------


def facts(order, *roots: Tensor, leaves: list[Tensor]) -> dict:
    """What is true of every right order, and the gradients that come of it."""
    order = list(order)
    if not all(isinstance(node, Node) for node in order):
        raise Unusable(f"expected a list of nodes, got {[type(node).__name__ for node in order[:3]]} ...")
    place = {node: index for index, node in enumerate(order)}
    below = [(node, edge[0]) for node in place for edge in node.edges if edge is not None]
    too_early = {low for node, low in below if low in place and place[low] < place[node]}
    answers = {
        "number of nodes": len(place),
        "nodes listed more than once": len(order) - len(place),
        "nodes, by name": " ".join(sorted(node.name() for node in place)),
        "nodes before one that uses them": len(too_early),
    }
    if len(order) == len(place):
        walk(order, started(order, *roots), runner([]))
        answers.update({f"gradient at leaf {i} in this order": x.grad for i, x in enumerate(leaves)})
    return answers


def webs(draw: Draw) -> dict:
    return {"seed": draw.seed(), "size": draw.size(3, 20)}


@points("hw1.7", 2, "the order of a chain", cases=[{"length": 0}, {"length": 1}, {"length": 4}])
def test_order_of_a_chain(backprop, length):
    x = y = leaf(0.5)
    for step in range(length):
        y = y.exp() if step % 2 else y.sin()
    return facts(backprop.topological_order([gradient_edge(y)[0]]), y, leaves=[x])


@points("hw1.7", 3, "the order of a residual block, docs/autograd.md's example at x = 3")
def test_order_of_a_residual_block(backprop):
    x, loss = residual_block()
    return facts(backprop.topological_order([loss.grad_fn]), loss, leaves=[x])


@points("hw1.7", 3, "the order of expressions that use their parts again", cases=webs)
def test_order_of_a_web(backprop, seed, size):
    leaves, value = web(seed, size)
    return facts(backprop.topological_order([value.grad_fn]), value, leaves=leaves)


@points("hw1.7", 2, "the order below several roots, one below another, one given twice", cases=webs, count=4)
def test_order_of_several_roots(backprop, seed, size):
    leaves, value = web(seed, size)
    other = (leaves[0] * leaves[1]).sum()
    top = value * value
    roots = [value, other, top, value]
    return facts(backprop.topological_order(root.grad_fn for root in roots), value, other, top, leaves=leaves)


@points("hw1.7", 2, "the order of a chain of 3000 operations", cases=[{"length": 3000}])
def test_order_of_a_long_chain(backprop, length):
    x = y = leaf(1.0)
    for _ in range(length):
        y = y + 1
    return facts(backprop.topological_order([y.grad_fn]), y, leaves=[x])


# ---- hw1.8: what arrives -------------------------------------------------------------------------------------------


def arrivals(draw: Draw) -> dict:
    shape = draw.size(1, 3), draw.size(1, 4)
    return {name: draw.normal(*shape) for name in ("first", "second", "third")}


def three_nodes() -> list:
    """Nodes with one output each, and one with two."""
    x = leaf([1.0, 2.0])
    a, b = x.exp(), x.sin()
    return [a.grad_fn, b.grad_fn, TwoOutputs.apply(x)[0].grad_fn]


@points("hw1.8", 3, "the sum of what arrives at a node", cases=arrivals, count=4)
def test_arriving_sum(backprop, first, second, third):
    one, other, _ = order = three_nodes()
    arriving = backprop.Arriving(order)
    arriving.add(one, 0, first, False)
    arriving.add(other, 0, second, False)
    arriving.add(one, 0, second, False)
    arriving.add(one, 0, third, False)
    return {"three arrivals": arriving.take(one), "one arrival": arriving.take(other)}


@points("hw1.8", 2, "the sums at a node with two outputs", cases=arrivals, count=4)
def test_arriving_outputs(backprop, first, second, third):
    *_, pair = order = three_nodes()
    arriving, half = backprop.Arriving(order), backprop.Arriving(order)
    arriving.add(pair, 1, first, False)
    arriving.add(pair, 0, second, False)
    arriving.add(pair, 1, third, False)
    half.add(pair, 1, third, False)
    return {"both outputs": arriving.take(pair), "only the second": half.take(pair)}


@points("hw1.8", 1, "that only fresh arrays are written into, if any", cases=arrivals, count=4)
def test_arriving_shared(backprop, first, second, third):
    one, other, _ = order = three_nodes()
    arriving = backprop.Arriving(order)
    arriving.add(one, 0, first.copy(), True)
    arriving.add(one, 0, second.copy(), True)
    arriving.add(one, 0, third, False)
    arriving.add(other, 0, first, False)
    arriving.add(other, 0, second.copy(), True)
    return {"fresh, fresh, shared": arriving.take(one), "shared, fresh": arriving.take(other)}


@points("hw1.8", 1, "that a view which shows one row many times is not written into", cases=arrivals, count=4)
def test_arriving_views(backprop, first, second, third):
    one, other, _ = order = three_nodes()
    arriving = backprop.Arriving(order)
    arriving.add(one, 0, np.broadcast_to(first[:1].copy(), first.shape), True)
    arriving.add(one, 0, second, False)
    arriving.add(other, 0, third.copy(), True)
    arriving.add(other, 0, np.broadcast_to(first[:1].copy(), first.shape), True)
    return {"a view, then an array": arriving.take(one), "an array, then a view": arriving.take(other)}


@points("hw1.8", 1, "that a node outside the order is passed over", cases=arrivals, count=2)
def test_arriving_elsewhere(backprop, first, second, third):
    one, other, stranger = three_nodes()
    arriving = backprop.Arriving([one, other])
    arriving.add(one, 0, first, False)
    arriving.add(stranger, 0, second, False)
    arriving.add(stranger, 0, third, False)
    return {
        "inside": arriving.take(one),
        "nothing arrived": arriving.take(other),
        "asking for what is outside": raises(arriving.take, stranger),
    }


# ---- hw1.9: the walk -----------------------------------------------------------------------------------------------


def walked(backprop, roots: list[Tensor], seeded: list[Tensor], leaves: list[Tensor]) -> dict:
    """The gradients after a walk, and what each node was run with."""
    order = topological_order([root.grad_fn for root in roots])
    visited: list = []
    backprop.walk(order, started(order, *seeded), runner(visited))
    return {
        **{f"gradient at leaf {i}": x.grad for i, x in enumerate(leaves)},
        "nodes run": " ".join(name for name, _ in visited),
        "they were run with": [{name: cotangents} for name, cotangents in visited],
    }


@points("hw1.9", 2, "the gradient of docs/autograd.md's example at x = 3")
def test_walk_residual_block(backprop):
    x, loss = residual_block()
    return walked(backprop, [loss], [loss], [x])


@points("hw1.9", 2, "gradients where parts are used again, and by nodes with two outputs", cases=webs)
def test_walk_web(backprop, seed, size):
    leaves, value = web(seed, size)
    first, second = TwoOutputs.apply(leaves[0])
    total = (first * second).sum() + value
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
    return {f"gradient at {name}": value.grad for name, value in leaves.items()}
