"""A toy course: a reference module of a few lines, its manifest, its planted mistakes and its checks."""

from __future__ import annotations

REFERENCE = '''
"""Small functions."""

import numpy as np

from minicnn import Tensor


def double(x):
    """Twice ``x``.

    Args:
        x: an array of any shape.

    Returns:
        an array of the dtype of ``x``.
    """
    return 2 * x


def quadruple(x):
    """Four times ``x``, by ``double``."""
    return double(double(x))


def clip(x, low):
    """``x`` where it is above ``low``, else ``low``."""
    return np.maximum(x, low)


class Scale:
    """A factor: ``scale(x)`` is a tensor ``factor * x``."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        """``factor * x``."""
        return x * self.factor


def _secret(x):
    return x
'''.lstrip("\n")

MANIFEST = """
id = "hw9"
folder = "hw9_toy"
title = "A toy"
lecture = ["L1.1"]
tests = "tests/test_toy.py"

[modules]
toy = "toy_reference"

[[task]]
id = "hw9.1"
title = "Doubling"
points = 40
minutes = 10
holes = ["toy:double"]
scaffold.double = "No loop is needed."

[[task]]
id = "hw9.2"
title = "Doubling twice"
points = 20
minutes = 10
holes = ["toy:quadruple"]
needs = ["hw9.1"]

[[task]]
id = "hw9.3"
title = "Clipping"
points = 20
minutes = 10
holes = ["toy:clip"]

[[task]]
id = "hw9.4"
title = "A layer"
points = 20
minutes = 10
holes = ["toy:Scale.__init__", "toy:Scale.__call__"]
"""

MISTAKES = """
[[mistake]]
task = "hw9.1"
name = "squared"
diagnosis = "The input is squared."
hint = "Twice, not to the power of two."
hole = "toy:double"
edits = [["2 * x", "x * x"]]

[[mistake]]
task = "hw9.1"
name = "tripled"
diagnosis = "The input is tripled."
hint = "Count again."
hole = "toy:double"
body = "return 3 * x"

[[mistake]]
task = "hw9.3"
name = "clipped-from-above"
diagnosis = "The limit is an upper one."
hint = "Which of the two is larger?"
hole = "toy:clip"
edits = [["maximum", "minimum"]]

[[mistake]]
task = "hw9.4"
name = "factor-added"
diagnosis = "The factor is added."
hint = "Times."
hole = "toy:Scale.__call__"
edits = [["x * self", "x + self"]]
"""

CHECKS = '''
"""The toy's checks."""

from minicnn.course.checks import points
from minicnn.course.drivers import gradients, tensor


def array(draw):
    return {"x": draw.normal(draw.size(1, 3), 4)}


def array_and_limit(draw):
    return {"x": draw.normal(5), "low": draw.integer(-1, 1)}


@points("hw9.1", 30, "the values", cases=array)
def test_double(toy, x):
    return {"doubled": toy.double(x)}


@points("hw9.1", 10, "integers", cases=[{"n": 3}, {"n": 5}])
def test_double_of_integers(toy, n):
    return {"doubled": toy.double(n)}


@points("hw9.2", 20, "the values", cases=array)
def test_quadruple(toy, x):
    return {"quadrupled": toy.quadruple(x)}


@points("hw9.3", 20, "the values", cases=array_and_limit)
def test_clip(toy, x, low):
    return {"clipped": toy.clip(x, low)}


@points("hw9.4", 10, "the output", cases=array)
def test_scale(toy, x):
    return {"scaled": toy.Scale(3.0)(tensor(x))}


@points("hw9.4", 10, "the gradient", cases=array)
def test_scale_gradient(toy, x):
    x = tensor(x, requires_grad=True)
    return gradients(toy.Scale(3.0)(x), {"x": x}, seed=1)
'''.lstrip("\n")
