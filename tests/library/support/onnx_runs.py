"""Models as ONNX and back: what a runtime computes from the file, beside what minicnn computes.

python -m tests.library.support.onnx_runs [MODEL ...]      # the table, of all models by default
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.models import create_model, list_models, model_entry

SIZE = 72  # of the images; AlexNet needs 67
COUNTS = (1, 2, 5)  # images at once, through the same file


def export(model: nn.Module, *args: minicnn.Tensor, **options: Any) -> Any:
    """The exported model; the test is skipped without the library."""
    pytest.importorskip("onnx", reason="writes ONNX")
    return minicnn.onnx.export(model, args, **options)


def reference(exported: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """ONNX's own slow evaluation in NumPy, of every dtype."""
    from onnx.reference import ReferenceEvaluator

    names = [value.name for value in exported.graph.input]
    return list(ReferenceEvaluator(exported).run(None, dict(zip(names, arrays, strict=True))))


class Runtime:
    """onnxruntime on the CPU; the test is skipped without it."""

    def __init__(self, exported: Any) -> None:
        runtime = pytest.importorskip("onnxruntime", reason="compares with onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = runtime.InferenceSession(exported.SerializeToString(), options, ["CPUExecutionProvider"])
        self.names = [value.name for value in exported.graph.input]

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        return self.session.run(None, dict(zip(self.names, arrays, strict=True)))


def ours(model: nn.Module, *arrays: np.ndarray) -> list[np.ndarray]:
    """What the model returns in evaluation, flat."""
    with minicnn.no_grad():
        returned = model.eval()(*map(minicnn.tensor, arrays))
    return [x.numpy() for x in (returned if isinstance(returned, (tuple, list)) else [returned])]


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest number; infinite for another shape or dtype, or another infinity."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return float(not np.array_equal(found, expected))
    finite = np.isfinite(expected) & np.isfinite(found)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    difference = np.abs(found - expected)[finite]
    return float(difference.max() / max(np.abs(expected[finite]).max(), 1e-30)) if difference.size else 0.0


def calibrated(model: nn.Module, images: minicnn.Tensor) -> nn.Module:
    """Give the norms random weights, and statistics between fresh ones and those of ``images``.

    With fresh ones, fifty blocks amplify rounding so much that float32 and float64 differ by a tenth; with those of a
    few images alone, channels that hardly vary do.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with minicnn.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.0)
            norm.bias.normal_(0, 0.1)
            norm.momentum = 0.5
        if norms:
            model.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def disagreement(name: str, variant: str) -> float:
    """The largest ``error`` of onnxruntime's logits for a model of the registry, in float32."""
    minicnn.manual_seed(0)
    size = min(SIZE, model_entry(name).input_size)
    model = calibrated(create_model(name, 10, variant), minicnn.randn(4, 3, size, size))
    run = Runtime(export(model, minicnn.zeros(1, 3, size, size)))
    errors = []
    for count in COUNTS:
        images = np.random.default_rng(count).standard_normal((count, 3, size, size)).astype(np.float32)
        errors += map(error, run(images), ours(model, images))
    return max(errors)


def main(names: list[str]) -> None:
    print("| model | variant | largest difference / largest logit |\n|---|---|---|")
    for name in names or list_models():
        for variant in model_entry(name).variants:
            print(f"| {name} | {variant} | {disagreement(name, variant):.1e} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
