"""A model in evaluation, compiled, beside the same model run plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.nn import functional as F

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # of the largest number of a result


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with biases and statistics that are not those of a new network: nothing is 0 or 1."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            normal = rng.standard_normal(tensor.shape).astype(tensor.dtype)
            if name == "running_var" or isinstance(module, nn.BatchNorm2d) and name == "weight":
                tensor.array[...] = 0.5 + rng.random(tensor.shape)
            elif tensor.ndim == 1:
                tensor.array[...] = 0.3 * normal
            elif tensor.ndim > 1 and tensor.array.any():
                tensor.array[...] = normal * (2 / tensor[0].numel()) ** 0.5
            elif tensor.ndim > 1:  # the weights of offsets
                tensor.array[...] = 0.002 * normal
            tensor.mark_written()
    return model.eval()


def calibrated(model: nn.Module, x: minicnn.Tensor) -> nn.Module:
    """With statistics near those of x, as in a trained network: then what comes out depends on what goes in."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with minicnn.no_grad():
        model(x)
    rng = np.random.default_rng(1)
    for norm in norms:
        norm.running_var *= minicnn.Tensor(0.7 + rng.random(norm.running_var.shape))
        norm.running_mean += minicnn.Tensor(0.1 * rng.standard_normal(norm.running_mean.shape))
        norm.momentum = 0.1
    return model.eval()


def tensors(result: Any) -> list[np.ndarray]:
    """The arrays of all tensors in a result, in order."""
    if isinstance(result, minicnn.Tensor):
        return [result.detach().numpy()]
    items = result.values() if isinstance(result, dict) else result if isinstance(result, (tuple, list)) else ()
    return [array for item in items for array in tensors(item)]


def plainly(model: nn.Module, x: minicnn.Tensor) -> Any:
    """The honest result: every operation by its own forward, one by one."""
    with minicnn.no_grad():
        return model(minicnn.Tensor(x.detach().numpy().copy()))


def assert_close(got: Any, expected: Any, tolerance: float) -> None:
    for found, wanted in zip(tensors(got), tensors(expected), strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(abs(wanted).max(initial=0), 1e-30))


def assert_same(compiled: Any, x: minicnn.Tensor, tolerance: float | None = None) -> None:
    """The compiled model's results on x are the model's."""
    tolerance = TOLERANCE[x.dtype.name] if tolerance is None else tolerance
    assert_close(compiled(x), plainly(compiled.model, x), tolerance)


def shown(compiled: Any) -> list[str]:
    """The steps of its only plan."""
    (plan,) = compiled.plans.values()
    return [step.call.name for step in plan.steps]


class Of(nn.Module):
    """A model made of a function of itself and its input."""

    def __init__(self, function: Callable[..., Any], channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.function = function
        self.plain = minicnn.zeros(2)  # no parameter, no buffer

    def forward(self, x: minicnn.Tensor) -> Any:
        return self.function(self, x)


def of(function: Callable[..., Any]) -> Any:
    return minicnn.compile(randomised(Of(function)))


@pytest.fixture(autouse=True)
def same_weights_without_gradients() -> Iterator[None]:
    minicnn.manual_seed(0)
    with minicnn.no_grad():
        yield


Instruction = tuple[str, int, int, int]  # operation, two values by number, a seed

CHANNELS = 3


class Program(nn.Module):
    """Instructions on a growing list of images of one size; returns those that nobody has used, and some others."""

    def __init__(self, instructions: list[Instruction], extra: int) -> None:
        super().__init__()
        self.instructions, self.extra = instructions, extra
        self.layers = nn.ModuleList()
        for operation, _, _, seed in instructions:
            groups = (1, 3)[seed % 2]
            kernel = (1, 3)[seed // 2 % 2]
            layer: nn.Module = nn.Identity()
            if operation == "conv":
                layer = nn.Conv2d(3, 3, kernel, padding=kernel // 2, groups=groups, bias=seed // 4 % 2 == 0)
            elif operation == "norm":
                layer = nn.BatchNorm2d(CHANNELS, affine=seed % 4 != 0)
            self.layers.append(layer)

    def forward(self, x: minicnn.Tensor) -> tuple[minicnn.Tensor, ...]:
        values, used = [x], {0}
        for (operation, i, j, _), layer in zip(self.instructions, self.layers, strict=True):
            i, j = i % len(values), j % len(values)
            a, b = values[i], values[j]
            used |= {i, j} if operation in ("add", "cat", "add_") else {i}
            if operation == "add_":
                if i:
                    a += b
                continue
            if operation == "relu_":
                if i:
                    F.relu(a)  # nobody wants it
                    a.relu_()
                continue
            values.append(
                {
                    "conv": lambda a, b, layer: layer(a),
                    "norm": lambda a, b, layer: layer(a),
                    "relu": lambda a, b, layer: F.relu(a),
                    "silu": lambda a, b, layer: F.silu(a),
                    "add": lambda a, b, layer: a + b,
                    "cat": lambda a, b, layer: minicnn.cat([a, b], 1)[:, 1 : CHANNELS + 1],
                    "pool": lambda a, b, layer: F.max_pool2d(a, 3, 1, 1),
                    "view": lambda a, b, layer: a[:, :],
                    "flip": lambda a, b, layer: a.transpose(2, 3),
                    "more": lambda a, b, layer: a + 1,
                }[operation](a, b, layer)
            )
        returned = {i for i in range(len(values)) if i not in used} | {self.extra % len(values)}
        return tuple(values[i] for i in sorted(returned))
