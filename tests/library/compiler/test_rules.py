"""Which operations are joined, and what becomes of whole networks."""

from __future__ import annotations

import itertools

import minicnn
from minicnn.compiler import fused
from minicnn.models import create_model
from minicnn.models.densenet import DenseNet
from minicnn.ops.matrix import Linear as MatrixLinear
from tests.library.support.inference import CHANNELS, Program, assert_close, plainly, randomised, shown
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import compiling, images


def test_what_becomes_of_a_resnet() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet18", 10)))
    compiled(images((1, 3, 32, 32)))
    steps = shown(compiled)
    assert sum(step.startswith("Conv2d + FixedNorm") for step in steps) == 20
    assert sum(step == "Conv2d + FixedNorm + Add + ReLU" for step in steps) == 8
    assert [step for step in steps if "Conv2d" not in step] == ["MaxPool2d", "AdaptiveAvgPool2d", "Reshape", "Linear"]
    (plan,) = compiled.plans.values()
    kernels = {step.call.name: step.call.operation for step in plan.steps}
    assert (kernels["MaxPool2d"], kernels["Linear"]) == (fused.MaxPoolTaps, MatrixLinear)  # so little is left to NumPy


def test_what_becomes_of_a_densenet() -> None:
    compiled = minicnn.compile(randomised(DenseNet(8, (2, 2), 10)))
    compiled(images((1, 3, 32, 32)))
    steps = shown(compiled)
    assert "FixedNorm + ReLU" in steps and "Conv2d + FixedNorm + ReLU" in steps
    assert not {"ReLU", "FixedNorm"} & set(steps)


def test_every_chain() -> None:
    """Four operations behind a convolution or a norm, in every order; what is added is the input."""
    x = images((1, CHANNELS, 4, 4), "float64")
    for chain in itertools.product(("conv", "norm"), *[("conv", "norm", "relu", "add")] * 4):
        program = Program([(operation, -1, 0, 3) for operation in chain], -1)
        compiled = minicnn.compile(randomised(program).double())
        with compiling():
            assert_close(compiled(x), plainly(program, x), 1e-9)
