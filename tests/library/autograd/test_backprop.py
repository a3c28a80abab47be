"""In which order the tape is visited: users first, once each, however long the chain."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.autograd import topological_order
from tests.library.support.leaves import leaf


def test_diamond_collects_both_ways():
    x = leaf(3.0)
    y = x * x
    z = y * 2 + y * y  # dz/dy = 2 + 2y = 20, dy/dx = 6
    z.backward()
    assert x.grad.item() == 120.0


def test_a_node_waits_for_all_of_its_cotangents():
    """The counter-example of docs/autograd.md: depth-first without an order runs ``a`` before its second use is in."""
    x = leaf(2.0)
    a = x * x  # da/dx = 4
    b = a * 3
    c = a + b  # c = 4 a: a is used at two depths
    c.backward()
    assert x.grad.item() == 16.0


def test_topological_order_puts_users_first():
    x = leaf(1.0)
    a = x * 2
    b = a * a
    c = b + a
    order = topological_order([c.grad_fn])
    position = {node: i for i, node in enumerate(order)}
    assert all(position[node] < position[edge[0]] for node in order for edge in node.edges if edge is not None)
    assert len(order) == 4  # c, b, a and the leaf


@given(st.lists(st.tuples(st.sampled_from("+*-"), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_random_graphs_agree_with_forward_mode(program):
    """Any graph of additions and products: reverse mode equals derivatives carried forward."""
    values, slopes = [1.5, -0.5], [1.0, 0.0]
    x = leaf(1.5)
    tensors = [x, minicnn.tensor(-0.5, dtype=minicnn.float64)]
    for op, i, j in program:
        i, j = i % len(values), j % len(values)
        a, b, da, db = values[i], values[j], slopes[i], slopes[j]
        value, slope = {"+": (a + b, da + db), "-": (a - b, da - db), "*": (a * b, da * b + a * db)}[op]
        if abs(value) > 1e6:
            continue
        values.append(value)
        slopes.append(slope)
        s, t = tensors[i], tensors[j]
        tensors.append(s + t if op == "+" else s - t if op == "-" else s * t)
    out = tensors[-1]
    if out.requires_grad:
        out.backward()
        np.testing.assert_allclose(x.grad.item(), slopes[-1], rtol=1e-9, atol=1e-9)
    else:
        assert slopes[-1] == 0


def test_chain_of_ten_thousand():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1e-3
    y.backward()
    assert x.grad.item() == 1.0
    del y  # taking the chain apart must not recurse either
