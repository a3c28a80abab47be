"""Running a model eagerly and compiled, side by side."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minicnn
from minicnn import nn
from minicnn.backend import cpu
from minicnn.nn import functional as F
from minicnn.random import default_generator

TOLERANCE = {"float32": 1e-2, "float64": 1e-10}


def images(shape: tuple[int, ...], dtype: Any = "float32", seed: int = 0) -> minicnn.Tensor:
    """Random images."""
    return minicnn.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def tensors(result: Any) -> list[minicnn.Tensor]:
    """All tensors in a result, in order."""
    if isinstance(result, minicnn.Tensor):
        return [result]
    items = result.values() if isinstance(result, dict) else result if isinstance(result, (tuple, list)) else ()
    return [tensor for item in items for tensor in tensors(item)]


def objective(result: Any, seed: int = 0) -> minicnn.Tensor:
    """A number that depends on every output in another way."""
    rng = np.random.default_rng(seed)
    total = minicnn.Tensor(np.zeros((), tensors(result)[0].dtype))
    for out in tensors(result):
        if out.requires_grad:
            total = total + (out * minicnn.Tensor(rng.standard_normal(out.shape).astype(out.dtype))).sum()
            total = total + (out * out).mean()
    return total


def close(found: Any, wanted: Any, tolerance: float, what: str, scale: float = 1e-3) -> None:
    """Assert that two arrays are equal to rounding, and of one shape and dtype.

    Args:
        tolerance: relative to the largest number, or to ``scale`` if that is larger; in float32 of root mean squares,
            because a ReLU whose input is almost 0 may pass a cotangent in one of the two and not in the other.
    """
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), what
    if found.dtype == np.float32 and found.size > 1:
        assert np.isfinite(found).all(), what
        size = max(np.linalg.norm(wanted), scale * np.sqrt(wanted.size))
        error = np.linalg.norm(found - wanted) / size
        assert error <= tolerance, f"{what}: relative error {error:.2g}"
        return
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=tolerance * max(abs(wanted).max(initial=0), scale), err_msg=what
    )


@contextmanager
def compiling() -> Iterator[None]:
    """Inside, it is an error if something is not compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Twins:
    """A model and its copy, one of them compiled; each ``step`` makes both do the same and compares."""

    def __init__(self, model: nn.Module, tolerance: float, least: int = 0) -> None:
        self.least = least  # work that kernels are used for
        self.eager, self.model, self.tolerance = model, copy.deepcopy(model), tolerance
        self.compiled = minicnn.compile(self.model)
        self.pairs = list(zip(self.eager.named_parameters(), self.model.parameters(), strict=True))

    def both(self, function: Callable[[Any, nn.Module], Any]) -> tuple[Any, Any]:
        """``function(forward, model)`` for each, from the same random state."""
        before = default_generator.get_state()
        wanted = function(self.eager, self.eager)
        after = default_generator.get_state()
        default_generator.set_state(before)
        with compiling(), cpu.small_work(self.least):
            found = function(self.compiled, self.model)
        assert default_generator.get_state() == after
        return found, wanted

    def compare(self, found: Any, wanted: Any) -> None:
        """Results, gradients, parameters and buffers."""
        for f, w in zip(tensors(found), tensors(wanted), strict=True):
            assert f.requires_grad == w.requires_grad
            close(f.detach().numpy(), w.detach().numpy(), self.tolerance, "result")
        # A bias before a norm has no gradient but for rounding errors: those are measured by the other gradients.
        scale = 1e-2 * max((abs(a.grad.numpy()).max() for (_, a), _ in self.pairs if a.grad is not None), default=0)
        for (name, a), b in self.pairs:
            assert (a.grad is None) == (b.grad is None), name
            if a.grad is not None and b.grad is not None:
                close(b.grad.numpy(), a.grad.numpy(), self.tolerance, f"gradient of {name}", scale)
            close(b.detach().numpy(), a.detach().numpy(), self.tolerance, name)
        for (name, a), b in zip(self.eager.named_buffers(), self.model.buffers(), strict=True):
            close(b.numpy(), a.numpy(), self.tolerance, name)

    def step(self, x: minicnn.Tensor, lr: float = 0.01, input_grad: bool = False) -> None:
        """One step of SGD on both."""

        def train(forward: Any, model: nn.Module) -> Any:
            given = minicnn.Tensor(x.numpy().copy(), requires_grad=input_grad)
            result = forward(given)
            objective(result).backward()
            if input_grad:
                return result, given.grad
            return result

        found, wanted = self.both(train)
        self.compare(found, wanted)
        for (_, a), b in self.pairs:
            with minicnn.no_grad():
                if a.grad is not None and b.grad is not None:
                    a -= lr * a.grad
                    b.copy_(a)  # so that rounding does not add up over the steps
            a.grad = b.grad = None
        for a, b in zip(self.eager.buffers(), self.model.buffers(), strict=True):
            b.copy_(a)


class Of(nn.Module):
    """A model with the forward ``function(model, x)``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.back, self.second = nn.Conv2d(4, 3, 1), nn.BatchNorm2d(4)
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def block(m: Any, x: Any) -> Any:
    """A residual block."""
    return F.relu(m.norm(m.conv(x)) + x.mean(1, keepdim=True).expand(-1, 4, -1, -1))


def twins(function: Callable[..., Any] = block) -> Twins:
    return Twins(Of(function).double(), 1e-10)


def x_of(seed: int = 0, shape: tuple[int, ...] = (2, 3, 6, 6)) -> minicnn.Tensor:
    return images(shape, "float64", seed)


def names(compiled: Any) -> list[str]:
    (plan,) = compiled.plans.values()
    return [step.call.name for step in plan.steps]


FORWARDS: dict[str, Callable[..., Any]] = {
    "a block": block,
    "twice the same layer": lambda m, x: m.conv(m.back(F.relu(m.norm(m.conv(x))))),
    "twice the same norm": lambda m, x: F.relu(m.norm(m.conv(x)) + F.relu(m.norm(m.conv(x * 2)))),
    "two norms and their sum": lambda m, x: F.relu(m.norm(m.conv(x)) + m.second(m.conv(x))),
    "a value that several want": lambda m, x: (lambda y: F.silu(m.norm(y)) + y + F.relu(y))(m.conv(x)),
    "a norm that is returned too": lambda m, x: (lambda y: (F.relu(y), y))(m.norm(m.conv(x))),
    "several outputs": lambda m, x: {"a": m.conv(x), "b": [F.relu(m.norm(m.conv(x))), None, 3]},
    "the same output twice": lambda m, x: (lambda y: (y, y))(m.conv(x)),
    "an output that is detached": lambda m, x: (m.conv(x).sum(), m.norm(m.conv(x)).detach()),
    "the input as output": lambda m, x: (x, m.conv(x)),
    "a parameter as output": lambda m, x: (m.conv.weight, m.conv(x)),
    "a branch without gradient": lambda m, x: m.conv(x) * F.relu(m.norm(m.conv(x))).detach(),
    "no_grad inside": lambda m, x: without_grad(m, x) + m.conv(x),
    "a product with itself": lambda m, x: (lambda y: y * y + y)(m.conv(x)),
    "a gate": lambda m, x: (lambda y: y * F.sigmoid(F.adaptive_avg_pool2d(y, 1)))(F.silu(m.norm(m.conv(x)))),
    "means of planes": lambda m, x: F.adaptive_avg_pool2d(F.relu(m.conv(x)), 1),
    "cat and split": lambda m, x: minicnn.cat([m.conv(x), x, F.relu(m.conv(x))], 1)[:, 1:9],
    "pooling": lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2) + F.avg_pool2d(m.conv(x), 2),
    "pooling with indices": lambda m, x: (lambda y, i: y + i.to(np.float64))(*pool_indices(m.conv(x))),
    "dropout": lambda m, x: F.dropout(m.conv(x), 0.4) + F.dropout2d(m.norm(m.conv(x)), 0.3),
    "computed weights": lambda m, x: F.conv2d(x, m.conv.weight - m.conv.weight.mean(), m.conv.bias),
    "in place": lambda m, x: add_into(m.norm(m.conv(x)), x[:, :1]).relu(),
    "a linear head": lambda m, x: F.relu(F.linear(m.conv(x).flatten(1)[:, :12], m.back.weight.reshape(1, 12))),
    "a network without norm": lambda m, x: F.relu(m.back(F.relu(m.conv(x)))),
}


def without_grad(m: Any, x: Any) -> Any:
    with minicnn.no_grad():
        return F.relu(m.norm(m.conv(x)))


def pool_indices(y: Any) -> Any:
    return F.max_pool2d(y, 2, return_indices=True)


def add_into(target: Any, value: Any) -> Any:
    target += value
    return target


def keep(model: Any, value: Any) -> Any:
    model.kept = value
    return value
