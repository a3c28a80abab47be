"""Every operation's backward against central differences, and that this check can fail for every one of them."""

from __future__ import annotations

import inspect
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.autograd import Function
from minicnn.autograd.gradcheck import gradcheck, gradcheck_report
from tests.library.support.cases import CASES, Case, as_tensors, as_tuple, examples_of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@given(data=st.data())
def test_gradient(case: Case, data):
    arrays, options = data.draw(case.draw)
    inputs = as_tensors(minicnn, arrays)
    assert gradcheck(lambda *tensors: case.run(minicnn, *tensors, **options), inputs)


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "cast and back"], ids=lambda case: case.name)
@settings(max_examples=5)
@given(data=st.data())
def test_float32_stays_float32(case: Case, data):
    """Results and gradients have the inputs' dtype, and float64's values to float32's precision."""
    arrays, options = data.draw(case.draw)
    found = {}
    for dtype in (np.float32, np.float64):
        inputs = as_tensors(minicnn, tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays))
        given_options = {
            k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in options.items()
        }
        outputs = as_tuple(case.run(minicnn, *inputs, **given_options))
        assert [y.dtype for y in outputs] == [dtype] * len(outputs)
        minicnn.autograd.backward(
            [y for y in outputs if y.requires_grad], [y.detach() for y in outputs if y.requires_grad]
        )
        gradients = [x.grad for x in inputs if x.grad is not None]
        assert [g.dtype for g in gradients] == [dtype] * len(gradients)
        found[dtype] = [y.detach().numpy() for y in (*outputs, *gradients)]
    for single, double in zip(found[np.float32], found[np.float64], strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(double).max(initial=0)))


# --- the check itself is checked --------------------------------------------------------------------------------


def operations() -> list[type[Function]]:
    """Every Function in minicnn.ops that has a backward."""
    modules = [module for name, module in inspect.getmembers(minicnn.ops, inspect.ismodule)]
    classes = {value for module in modules for _, value in inspect.getmembers(module, inspect.isclass)}
    own = [c for c in classes if issubclass(c, Function) and c.__module__.startswith("minicnn.ops.")]
    return sorted((c for c in own if "backward" in vars(c)), key=lambda c: c.__name__)


def differentiated_by(fn) -> set[str]:
    """The names of the operations on the tape of ``fn()``."""
    found, frontier = set(), [y.grad_fn for y in as_tuple(fn()) if y.requires_grad]
    while frontier:
        node = frontier.pop()
        if node is not None and node not in found:
            found.add(node)
            frontier += [below for below, _ in node.next_functions]
    return {node.name() for node in found}


@pytest.fixture(scope="module")
def examples():
    """For each operation, one drawn example of each case in which it is differentiated."""
    found = defaultdict(list)
    for case in CASES:
        largest_first = sorted(examples_of(case, 8), key=lambda example: -sum(a.size for a in example[0]))
        for arrays, options in largest_first[:2]:
            inputs = as_tensors(minicnn, arrays)

            def fn(*tensors, case=case, options=options):
                return case.run(minicnn, *tensors, **options)

            for name in differentiated_by(lambda fn=fn, inputs=inputs: fn(*inputs)):
                found[name].append((fn, inputs))
    return found


# From device to device; from one precision to another (test_shape.py); a gradient of zeros (test_guards.py).
NOT_IN_FLOAT64 = {"Move", "Cast", "Step"}


def test_operations_are_found():
    assert {"Add", "Conv2d", "MaxPool2d", "BatchNorm", "SoftmaxCrossEntropy", "Cat", "Index"} <= {
        c.__name__ for c in operations()
    }


@pytest.mark.parametrize(
    "operation", [c for c in operations() if c.__name__ not in NOT_IN_FLOAT64], ids=lambda operation: operation.__name__
)
def test_a_wrong_backward_is_noticed(operation, examples, monkeypatch):
    """Each gradient of each operation, taken times 1.01 in turn, makes some gradient check fail."""
    assert examples[operation.__name__], f"no case in tests/library/support/cases differentiates {operation.__name__}"
    right = operation.backward
    noticed, used = set(), set()
    for fn, inputs in examples[operation.__name__]:
        probe = set()

        def spy(ctx, *cotangents, probe=probe):
            result = right(ctx, *cotangents)
            result = result if isinstance(result, tuple) else (result,)
            probe.update(i for i, gradient in enumerate(result) if gradient is not None and np.any(gradient))
            return result

        monkeypatch.setattr(operation, "backward", staticmethod(spy))
        assert gradcheck(fn, inputs)
        used |= probe
        for argument in probe - noticed:

            def wrong(ctx, *cotangents, argument=argument):
                result = right(ctx, *cotangents)
                result = list(result) if isinstance(result, tuple) else [result]
                result[argument] = None if result[argument] is None else 1.01 * result[argument]
                return tuple(result)

            monkeypatch.setattr(operation, "backward", staticmethod(wrong))
            if not gradcheck_report(fn, inputs).ok:
                noticed.add(argument)
        monkeypatch.setattr(operation, "backward", staticmethod(right))
    assert used and noticed == used
