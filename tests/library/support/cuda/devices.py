"""The table of all operations, run on a device and compared with the CPU in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn
from minicnn import nn
from minicnn.cuda import CUDAGraph, graph
from minicnn.optim import SGD
from tests.library.support.cases import as_tuple
from tests.library.support.strategies import normal, random_cotangent

CREATORS = {"tensor", "zeros", "ones", "full", "arange", "eye", "empty", "linspace", "randn", "rand"}
TOLERANCES = {np.float64: (1e-6, 1e-8), np.float32: (2e-4, 2e-4)}


class Library:
    """minicnn, with tensors made on ``device`` unless somebody says otherwise."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        found = getattr(minicnn, name)
        if name not in CREATORS:
            return found
        return lambda *args, **options: found(*args, **{"device": self.device, **options})


def outcome(
    run: Callable[..., Any], arrays: tuple[Any, ...], options: dict[str, Any], device: str, dtype: Any
) -> list[np.ndarray]:
    """Results and gradients of an operation, for a random cotangent, as NumPy arrays."""
    lib = Library(device)
    inputs = [lib.tensor(_cast(np.asarray(array), dtype)) for array in arrays]
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    given = {key: _cast(value, dtype) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    outputs = [y for y in as_tuple(run(lib, *inputs, **given)) if isinstance(y, minicnn.Tensor)]
    for y in outputs:
        assert y.device.type == minicnn.device(device).type
    wanted = [y for y in outputs if y.requires_grad]
    if wanted:
        cotangents = [lib.tensor(_cast(random_cotangent(y.shape), dtype)).to(y.dtype) for y in wanted]
        minicnn.autograd.backward(wanted, cotangents)
    gradients = [x.grad for x in inputs if x.grad is not None]
    return [y.detach().cpu().numpy() for y in (*outputs, *gradients)]


def assert_agrees(
    run: Callable[..., Any], arrays: tuple[Any, ...], options: dict[str, Any], device: str, dtype: Any = np.float64
) -> None:
    """The operation has the same results and gradients on ``device`` in ``dtype`` as on the CPU in float64."""
    expected = outcome(run, arrays, options, "cpu", np.float64)
    found = outcome(run, arrays, options, device, dtype)
    assert len(found) == len(expected)
    rtol, atol = TOLERANCES[dtype]
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == (dtype if want.dtype == np.float64 else want.dtype)
        scale = np.abs(want, where=np.isfinite(want), out=np.zeros(want.shape)).max(initial=1.0)
        np.testing.assert_allclose(got, want, rtol, atol * scale)


def train_a_little(captured: bool = False) -> list[np.ndarray]:
    """Losses and weights of four steps of a small network on the GPU, of which a CUDA graph may repeat the last two."""
    minicnn.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 25, 3)
    model = nn.Sequential(*layers).to("cuda")
    optimizer = SGD(model.parameters(), lr=0.1)
    x = minicnn.tensor(normal((2, 3, 5, 5), 0).astype("f4"), device="cuda")
    labels, recorded, losses = minicnn.tensor(np.array([0, 2]), device="cuda"), CUDAGraph(), []

    def step() -> minicnn.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for number in range(4):
        if not captured or number < 2:
            loss = step()
        else:
            if not recorded.captured:
                with graph(recorded):
                    loss = step()
            recorded.replay()
        losses.append(loss.cpu().numpy())
    return losses + [p.detach().cpu().numpy() for p in model.parameters()]


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == "f" else array
