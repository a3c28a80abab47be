"""Numbers of 16 bits on a GPU, or on its stand-in: kernels beside the reference, operations, and training steps."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn
from minicnn import nn
from minicnn.amp.casting import rounded
from minicnn.backend.base import Window
from minicnn.dtypes import as_dtype
from minicnn.nn import functional as F
from tests.library.support.cuda.agreement import REFERENCE
from tests.library.support.cuda.streams import syncs
from tests.library.support.strategies import normal

DTYPES = ["float16", "bfloat16"]
EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # of one rounding
BATCH = 8

IMAGE, WINDOW = (2, 4, 7, 6), Window((3, 2), (2, 1), ((1, 1), (0, 1)))
OUT = WINDOW.output_size(IMAGE[2:])
MAPS, DIVISOR = (*IMAGE[:2], *OUT), np.full(OUT, 6.0)


def on_gpu(array: np.ndarray) -> minicnn.Tensor:
    """A float32 tensor on the GPU."""
    return minicnn.tensor(array.astype("float32")).to("cuda")


def calls(x: np.ndarray, dy: np.ndarray, weight: np.ndarray, indices: np.ndarray) -> dict[str, list[tuple[Any, ...]]]:
    """The arguments of each primitive that works on images."""
    groups = {groups: weight[:, : 4 // groups] for groups in (1, 2, 4)}
    return {
        "conv2d": [(x, w, WINDOW, g) for g, w in groups.items()],
        "conv2d_input_grad": [(dy, w, x.shape, WINDOW, g) for g, w in groups.items()],
        "conv2d_weight_grad": [(dy, x, w.shape, WINDOW, g) for g, w in groups.items()],
        "max_pool2d": [(x, WINDOW, OUT)],
        "max_pool2d_grad": [(dy, indices, x.shape, WINDOW)],
        "avg_pool2d": [(x, WINDOW, DIVISOR)],
        "avg_pool2d_grad": [(dy, x.shape, WINDOW, DIVISOR)],
        "adaptive_avg_pool2d": [(x, (3, 2))],
        "adaptive_avg_pool2d_grad": [(dy, x.shape)],
        "batch_norm": [(x, np.full(4, 1.5, "float32"), np.full(4, 0.5, "float32"), 1e-5)],
        "matmul": [(x[0, 0], x[0, 0].T), (x, x.swapaxes(-1, -2))],
    }


PRIMITIVES = tuple(calls(*[np.zeros((4, 4))] * 4))


def assert_rounds_once(cuda: Any, dtype: str, primitive: str, seed: int) -> None:
    """A primitive gives what the reference computes in float32 from the same numbers, rounded."""
    x, dy, weight = (
        rounded(normal(s, seed + i).astype("float32"), dtype) for i, s in enumerate((IMAGE, MAPS, (4, 4, 3, 2)))
    )
    _, indices = REFERENCE.max_pool2d(x, WINDOW, OUT)
    for arguments in calls(x, dy, weight, indices)[primitive]:
        expected = getattr(REFERENCE, primitive)(*arguments)
        found = getattr(cuda, primitive)(*(_short(cuda, argument, dtype) for argument in arguments))
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for number, (got, want) in enumerate(pairs):
            assert got.dtype == (dtype if number == 0 else want.dtype)
            error = EPSILON[dtype] if number == 0 else 1e-5
            # the columns of an input's gradient are rounded before they are summed
            error *= 3 if primitive == "conv2d_input_grad" else 1
            np.testing.assert_allclose(cuda.to_host(got).astype("float32"), want, error, error * np.abs(want).max())


def _short(cuda: Any, argument: Any, dtype: str) -> Any:
    if not isinstance(argument, np.ndarray):
        return argument
    is_image = argument.dtype == np.float32 and argument.ndim >= 2
    return cuda.to_device(argument.astype(as_dtype(dtype)) if is_image else argument)


OPERATIONS = {
    "relu": F.relu, "relu6": F.relu6, "silu": F.silu, "hardswish": F.hardswish, "leaky relu": F.leaky_relu,
    "sigmoid": F.sigmoid, "dropout": F.dropout, "max pooling": lambda x: F.max_pool2d(x, 3, 2, 1),
    "pooling": lambda x: F.avg_pool2d(x, 2), "global pooling": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((2, 3)), "sum": lambda x: x.sum(1), "pad": lambda x: F.pad(x, (1, 1)),
    "choice": lambda x: x[:, [0, 1, 1]], "clamp": lambda x: x.clamp(-0.5, 0.5),
    "largest": lambda x: x.max(1).values,
    "residual": lambda x: x + x.flip(1), "norm": lambda x: F.batch_norm(x, None, None, training=True),
    "softmax": lambda x: F.softmax(x, 1),
}  # fmt: skip


def assert_keeps_its_dtype(name: str, dtype: str) -> None:
    """An operation on numbers of 16 bits gives such numbers and such a gradient."""
    x = on_gpu(normal((2, 4, 8, 8), 0)).to(dtype).requires_grad_()
    y = OPERATIONS[name](x)
    assert y.dtype == dtype
    y.backward(minicnn.ones_like(y))
    assert x.grad is not None and x.grad.dtype == dtype and bool(minicnn.isfinite(x.grad).all())


def training(dtype: str | None, network: nn.Module, steps: int = 3) -> list[float]:
    """The losses of some steps; inside a step the host waits only for the scaler."""
    images, labels = on_gpu(normal((BATCH, 3, 16, 16), 0)), (minicnn.arange(BATCH) % 10).to("cuda")
    optimizer = minicnn.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    scaler = minicnn.amp.GradScaler(enabled=dtype == "float16")
    losses = []
    for _ in range(steps):
        before = syncs.count
        with minicnn.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        assert syncs.count == before
        scaler.step(optimizer)
        scaler.update()
        assert syncs.count - before in (dtype == "float16", 0)  # a real GPU counts none
        assert all(parameter.grad.dtype == parameter.dtype == np.float32 for parameter in network.parameters())
        losses.append(loss.item())
    return losses
