"""Print the worst gradient error of each family of operations, against central differences and against PyTorch.

    python -m tests.library.support.gradient_errors [examples per operation, 20 by default]

An error is the largest difference of any entry over the largest entry of the right gradient, for the worst of all
examples; gradients that vanish (below 1e-3 throughout) are left out. Central differences are themselves only right
to 1e-9 or so. PyTorch, where it is installed, is right to the last digits, so the last column is what minicnn really
loses (except in hardsigmoid, where PyTorch multiplies by a float32 1/6).
"""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from types import ModuleType
from typing import Any

import numpy as np

import minicnn
from minicnn.autograd.gradcheck import gradcheck_report
from tests.library.support.cases import CASES, Case, Drawn, as_tensors, as_tuple, examples_of
from tests.library.support.strategies import random_cotangent

VANISHING = 1e-3


def gradients(lib: Any, case: Case, drawn: Drawn) -> list[np.ndarray]:
    """The gradients at all inputs under a cotangent of normal numbers, in float64."""
    arrays, options = drawn
    inputs = as_tensors(lib, arrays)
    outputs = [y for y in as_tuple(case.run(lib, *inputs, **options)) if y.requires_grad]
    cotangents = [lib.tensor(random_cotangent(tuple(y.shape), i)) for i, y in enumerate(outputs)]
    if outputs:
        lib.autograd.backward(outputs, cotangents)
    return [x.grad.numpy() for x in inputs if x.grad is not None]


def difference_error(case: Case, drawn: Drawn) -> float:
    """The error against central differences."""
    arrays, options = drawn
    report = gradcheck_report(lambda *tensors: case.run(minicnn, *tensors, **options), as_tensors(minicnn, arrays))
    return max((a.norm_error for a in report.arguments if np.abs(a.expected).max(initial=0) > VANISHING), default=0.0)


def torch_error(torch: ModuleType, case: Case, drawn: Drawn) -> float:
    """The error against PyTorch."""
    worst = 0.0
    for ours, theirs in zip(gradients(minicnn, case, drawn), gradients(torch, case, drawn), strict=True):
        largest = np.abs(theirs).max(initial=0)
        if largest > VANISHING:
            worst = max(worst, float(np.abs(ours - theirs).max()) / float(largest))
    return worst


def main() -> None:
    """Print the table."""
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    by_family: dict[str, list[Case]] = defaultdict(list)
    for case in CASES:
        by_family[case.family].append(case)
    print(f"{'family':26}{'operations':>11}{'differences':>13}  {'worst in':32}{'PyTorch':>9}")
    for family, cases in by_family.items():
        worst: tuple[float, str] = (0.0, "-")
        against_torch = 0.0
        for case in cases:
            for drawn in examples_of(case, examples):
                worst = max(worst, (difference_error(case, drawn), case.name))
                if torch is not None and case.torch:
                    against_torch = max(against_torch, torch_error(torch, case, drawn))
        last = f"{against_torch:9.1e}" if torch is not None else "-".rjust(9)
        print(f"{family:26}{len(cases):>11}{worst[0]:>13.1e}  {worst[1]:32}{last}", flush=True)


if __name__ == "__main__":
    main()
