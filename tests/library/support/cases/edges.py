"""Where an operation has a kink, a tie, or no finite value: how to call it, and its inputs.

Each row is ``(call, *inputs)`` with ``call(lib, *tensors)`` for minicnn or torch alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

NAN, INF = math.nan, math.inf

X = [-3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 6.0, NAN, INF, -INF]
FINITE = X[:-3]
NONE, ONE = np.zeros((0, 3)), [1.0, 2.0, 3.0]
TIED = [[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [4.0, 1.0, NAN, 2.0], [-INF, -INF, -INF, -INF]]
LARGE = [[1e4, -1e4, 0.0], [1e4, 1e4, 1e4 - 1], [-1e4, -1e4, -1e4], [0.0, 0.0, 1e-300]]
IMPOSSIBLE = [[-INF, 0.0, 1.0], [-INF, -INF, 2.0]]
LABELS, IGNORED, NO_LABELS = [0, 2, 1, 2], [-100] * 4, np.zeros(0, int)
IMAGE = np.arange(25.0).reshape(1, 1, 5, 5)
FLAT = np.ones((1, 2, 4, 4))
SPOILT = np.where(IMAGE % 7 == 3, NAN, IMAGE)
DARK = np.where(IMAGE < 13, -INF, IMAGE)
NO_IMAGE = np.zeros((0, 3, 4, 4))
FIVE_CHANNELS = IMAGE.reshape(5, 5, 1, 1)
OF_A_NUMBER = ("sum", "mean", "amax", "amin", "prod", "logsumexp")
SQUARE, BRICK = [[1.0, 2.0], [3.0, 4.0]], np.arange(24.0).reshape(2, 4, 3)


def kernel(height: int, width: int) -> np.ndarray:
    """A kernel whose entries are all different."""
    return np.arange(float(height * width)).reshape(1, 1, height, width)


def nn(name: str, *args: Any, **options: Any) -> Callable[..., Any]:
    """Call ``lib.nn.functional.<name>(*tensors, *args, **options)``; arrays among the options become tensors."""

    def call(lib: Any, *tensors: Any) -> Any:
        given = {key: lib.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
        return getattr(lib.nn.functional, name)(*tensors, *args, **given)

    return call


def method(name: str, *args: Any, **options: Any) -> Callable[..., Any]:
    """Call ``x.<name>(*others, *args, **options)``."""
    return lambda lib, x, *others: getattr(x, name)(*others, *args, **options)


def each(*calls: Callable[..., Any]) -> Callable[..., Any]:
    """All of several calls on the same inputs."""
    return lambda lib, *tensors: tuple(call(lib, *tensors) for call in calls)


KINKS = {
    "relu": (nn("relu"), X),
    "relu6": (nn("relu6"), X),
    "leaky_relu": (nn("leaky_relu", 0.2), X),
    "hardtanh": (nn("hardtanh"), X),
    "hardsigmoid": (nn("hardsigmoid"), X),
    "hardswish": (nn("hardswish"), FINITE),
    "abs": (method("abs"), X),
    "clamp": (method("clamp", -1, 1), X),
    "clamp from below": (method("clamp", min=0), X),
    "clamp from above": (method("clamp", max=0), X),
    "clamp with crossed bounds": (method("clamp", 1, -1), X),
    "sign": (lambda lib, x: lib.sign(x.detach()), X),
    "round": (lambda lib, x: lib.round(x.detach()), [0.5, 1.5, -0.5, 2.4, -2.6]),
    "l1_loss": (nn("l1_loss"), [1.0, 2.0], [1.0, 3.0]),
}

LIMITS = {
    "log": (method("log"), [0.0, -1.0, 1.0, INF, 1e-300]),
    "sqrt": (method("sqrt"), [0.0, -1.0, 4.0, INF]),
    "exp": (method("exp"), [800.0, -800.0, 0.0, NAN]),
    "div": (lambda lib, a, b: a / b, [1.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, INF]),
    "sigmoid": (method("sigmoid"), [*X, 800.0, -800.0]),
    "silu": (nn("silu"), [-800.0, 800.0, 0.0, NAN]),
    "tanh": (method("tanh"), X),
    "square": (lambda lib, x: x**2, X),
    "to the 0": (lambda lib, x: x**0, X),
    "to the 1": (lambda lib, x: x**1, X),
    "to the 3": (lambda lib, x: x**3, X),
    "to the -1": (lambda lib, x: x**-1, X),
    "to the 0.5": (lambda lib, x: x**0.5, [-1.0, 0.0, 4.0, NAN, INF]),
    "to the 1.5": (lambda lib, x: x**1.5, X),
    "0 and 1 to the x": (lambda lib, x: (0**x, 1**x), [-1.0, 0.0, 1.0, 2.0]),
    "2 to the x": (lambda lib, x: 2**x, X),
    "a tensor to a tensor": (
        lambda lib, a, b: a**b,
        [0.0, 0.0, 0.0, -2.0, -2.0, 1.0, 3.0, 2.0],
        [0.0, 2.0, 1.0, 2.0, 3.0, -1.0, 0.0, 0.5],
    ),
    "where picks beside NaN": (lambda lib, x: lib.where(x.detach() > 0, x.log(), x), [-1.0, 2.0]),
}

TIES = {
    "maximum": (method("maximum"), [1.0, 1.0, 2.0, NAN, 1.0], [1.0, 2.0, 1.0, 1.0, NAN]),
    "minimum": (method("minimum"), [1.0, 1.0, 2.0, NAN, 1.0], [1.0, 2.0, 1.0, 1.0, NAN]),
    "max of all": (method("max"), [1.0, 3.0, 3.0, 2.0]),
    "min of all": (method("min"), [1.0, 1.0, 3.0, 2.0]),
    "max of all with NaN": (method("max"), [1.0, NAN, 3.0]),
    "max along": (lambda lib, x: tuple(x.max(1)), TIED),
    "min along": (lambda lib, x: tuple(x.min(dim=-1, keepdim=True)), TIED),
    "amax": (method("amax", 1), TIED[:2]),
    "amin": (method("amin", (0, 1)), TIED[:2]),
    "argmax": (each(method("argmax"), method("argmax", 1), method("argmax", 0, keepdim=True)), TIED),
    "argmin": (each(method("argmin"), method("argmin", 1)), TIED[:3]),
    "prod with zeros": (each(method("prod"), method("prod", 1)), [[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]]),
    "norm at zero": (method("norm"), [0.0, 0.0, 0.0]),
    "norm along at zero": (method("norm", p=2, dim=1), [[0.0, 0.0], [3.0, 4.0]]),
    "norm 1 at zero": (method("norm", 1), [0.0, -2.0, 0.0]),
    "norm 3 with zeros": (method("norm", 3), [0.0, -2.0, 1.0]),
    "std of equals": (method("std"), [2.0, 2.0, 2.0]),
    "var of one": (method("var", 1, unbiased=False), [[2.0], [3.0]]),
    "logsumexp": (method("logsumexp", 1), [[1e4, -1e4], [-INF, -INF], [INF, 0.0], [-INF, 1.0]]),
    "reductions of nothing": (
        each(method("sum"), method("sum", 0), method("prod"), method("mean"), method("mean", 0)),
        NONE,
    ),
    "reductions of a number": (each(*map(method, ("sum", "mean", "max", "amax", "prod", "norm", "argmin"))), 2.0),
    "reductions of a number along 0": (each(*(method(name, 0) for name in OF_A_NUMBER)), 2.0),
    "reductions of a number along -1, kept": (each(*(method(name, -1, keepdim=True) for name in OF_A_NUMBER)), 2.0),
    "order of a number": (lambda lib, x: (*x.sort(0), *x.topk(1), *x.max(0), *x.min(-1, keepdim=True)), 2.0),
    "positions of a number": (each(method("argsort", -1, True), method("argmax", 0), method("argmin", -1, True)), 2.0),
    "truth of a number": (each(method("all", 0), method("any", -1), method("all"), method("any")), 2.0),
    "cumsum and flip of a number": (each(method("cumsum", 0), method("cumsum", -1), method("flip", 0)), 2.0),
}

LOSSES = {
    "softmax": (nn("softmax", dim=1), LARGE),
    "log_softmax": (nn("log_softmax", dim=1), LARGE),
    "softmax with -inf": (nn("softmax", dim=-1), IMPOSSIBLE),
    "log_softmax with -inf": (nn("log_softmax", dim=-1), IMPOSSIBLE),
    "softmax of a number": (each(nn("softmax", dim=0), nn("log_softmax", dim=-1)), 3.0),
    "softmax of nothing": (nn("softmax", dim=1), NONE),
    "cross_entropy": (nn("cross_entropy"), LARGE, LABELS),
    "cross_entropy, smoothed": (nn("cross_entropy", label_smoothing=0.1), LARGE, LABELS),
    "cross_entropy, each": (nn("cross_entropy", reduction="none"), LARGE, LABELS),
    "cross_entropy with -inf": (nn("cross_entropy", reduction="none"), IMPOSSIBLE, [1, 2]),
    "cross_entropy, all ignored": (nn("cross_entropy"), LARGE, IGNORED),
    "cross_entropy, all ignored, sum": (nn("cross_entropy", reduction="sum"), LARGE, IGNORED),
    "cross_entropy of nothing": (nn("cross_entropy"), NONE, NO_LABELS),
    "cross_entropy of nothing, sum": (nn("cross_entropy", reduction="sum"), NONE, NO_LABELS),
    "cross_entropy unbatched": (nn("cross_entropy"), ONE, 2),
    "cross_entropy, ignoring a class": (nn("cross_entropy", ignore_index=2), LARGE, LABELS),
    "cross_entropy, weight 0": (nn("cross_entropy", weight=np.array([0.0, 1.0, 2.0])), LARGE, LABELS),
    "cross_entropy, everything at once": (
        nn("cross_entropy", weight=np.array([0.5, 1.0, 2.0]), ignore_index=1, label_smoothing=0.2),
        LARGE,
        LABELS,
    ),
}

WINDOWS = {
    "max_pool2d of equals": (nn("max_pool2d", 2, return_indices=True), FLAT),
    "overlapping max_pool2d of equals": (nn("max_pool2d", 3, 1, 1, return_indices=True), FLAT),
    "max_pool2d with NaN": (nn("max_pool2d", 3, 2, 1, return_indices=True), SPOILT),
    "max_pool2d of -inf": (nn("max_pool2d", 2, 2, return_indices=True), DARK),
    "padded max_pool2d of -inf": (nn("max_pool2d", 3, 2, 1, return_indices=True), DARK),
    "dilated max_pool2d of -inf": (nn("max_pool2d", 2, 1, 1, 2, return_indices=True), DARK),
    "padded max_pool2d of negatives": (nn("max_pool2d", 3, 2, 1), IMAGE - 100),
    "max_pool2d, ceil_mode": (nn("max_pool2d", 2, 2, ceil_mode=True, return_indices=True), IMAGE),
    "max_pool2d, ceil_mode, the last window dropped": (nn("max_pool2d", 1, 3, ceil_mode=True), IMAGE),
    "max_pool2d unbatched": (nn("max_pool2d", 2, return_indices=True), IMAGE[0]),
    "max_pool2d of no image": (nn("max_pool2d", 2), NO_IMAGE),
    "avg_pool2d unbatched": (nn("avg_pool2d", 2), IMAGE[0]),
    "avg_pool2d of no image": (nn("avg_pool2d", 2), NO_IMAGE),
    "avg_pool2d with infinity": (nn("avg_pool2d", 2, 1), DARK),
    "avg_pool2d, ceil_mode, padded": (nn("avg_pool2d", 3, 2, 1, True), IMAGE[:, :, :4]),
    "avg_pool2d, ceil_mode, padding not counted": (nn("avg_pool2d", 3, 2, 1, True, False), IMAGE[:, :, :4]),
    "adaptive_avg_pool2d unbatched": (nn("adaptive_avg_pool2d", (3, 7)), IMAGE[0]),
    "adaptive_avg_pool2d of no image": (nn("adaptive_avg_pool2d", 2), NO_IMAGE),
    "conv2d of no image": (nn("conv2d"), NO_IMAGE, np.ones((2, 3, 3, 3))),
    "conv2d same, even kernel": (nn("conv2d", padding="same"), IMAGE, kernel(2, 4)),
    "conv2d same, dilated": (nn("conv2d", padding="same", dilation=(2, 3)), IMAGE, kernel(2, 4)),
    "conv2d with NaN": (nn("conv2d", padding=1), SPOILT, kernel(3, 3)),
    "conv2d with lists": (nn("conv2d", None, [2, 1], [1, 0], [1, 2]), IMAGE, kernel(2, 2)),
    "linear of no row": (nn("linear"), NONE, np.ones((2, 3))),
    "linear of a vector": (nn("linear"), [1.0, 2.0], np.ones((3, 2)), ONE),
    "matmul over nothing": (method("matmul"), np.zeros((2, 0)), NONE),
}

NORMS = {
    "batch_norm of equals": (nn("batch_norm", None, None, training=True), FLAT),
    "batch_norm far from zero": (nn("batch_norm", None, None, training=True), IMAGE * 1e-3 + 1e4),
    "batch_norm only scaled": (
        lambda lib, x, w: lib.nn.functional.batch_norm(x, None, None, weight=w, training=True),
        FIVE_CHANNELS,
        np.arange(5.0),
    ),
    "batch_norm only shifted": (
        lambda lib, x, b: lib.nn.functional.batch_norm(x, None, None, bias=b, training=True),
        FIVE_CHANNELS,
        np.arange(5.0),
    ),
    "batch_norm evaluated, only scaled": (
        lambda lib, x, w: lib.nn.functional.batch_norm(x, lib.zeros(5).double(), lib.ones(5).double(), w),
        FIVE_CHANNELS[..., 0, 0],
        np.arange(5.0),
    ),
    "local_response_norm wider than the image": (nn("local_response_norm", 9), FLAT),
    "group_norm of one group each": (nn("group_norm", 2), np.arange(16.0).reshape(1, 2, 2, 4)),
}

INDICES = {
    "cat with an old-style empty": (lambda lib, a, b: lib.cat([a.detach(), b]), np.zeros(0), [[1.0, 2.0]]),
    "cat with empty": (lambda lib, a, b: lib.cat([a, b], 1), np.zeros((2, 0)), [[1.0], [2.0]]),
    "flatten a number": (method("flatten"), 2.0),
    "an index read twice": (lambda lib, x: x[lib.tensor([0, 0, 1, -1, 0])], ONE),
    "an index on each side of a slice": (lambda lib, x: x[lib.tensor([0, 1]), :, lib.tensor([1, 2])], BRICK),
    "a list as index": (lambda lib, x: x[[0, 2]], ONE),
    "an integer tensor as index": (lambda lib, x: x[lib.tensor(1)], SQUARE),
    "an index of two axes": (lambda lib, x: x[lib.tensor([[0, 1], [1, 0]])], SQUARE),
    "an empty slice": (lambda lib, x: x[2:2], SQUARE),
    "an empty mask": (lambda lib, x: x[x.detach() > 9], ONE),
    "a mask on the second axis": (lambda lib, x: x[:, lib.tensor([True, False])], SQUARE),
}

EDGES = KINKS | LIMITS | TIES | LOSSES | WINDOWS | NORMS | INDICES

assert len(EDGES) == sum(map(len, (KINKS, LIMITS, TIES, LOSSES, WINDOWS, NORMS, INDICES))), "two edges of one name"

# A GPU finds any one of several NaNs; the CPU, like PyTorch's, the first.
SEVERAL_NANS = {
    "first NaN along": (lambda lib, x: (*x.max(1), *x.min(0)), [[NAN, 1.0, NAN], [NAN, NAN, 2.0]]),
    "position of the first NaN": (each(method("argmax"), method("argmin", 1)), [[5.0, NAN, NAN], [NAN, 2.0, NAN]]),
}
