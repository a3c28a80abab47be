"""What layers are made of: losses, products, convolution, pooling, normalisation, and some of it together."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tests.library.support import oracles
from tests.library.support import strategies as draws
from tests.library.support.cases.base import Case, Drawn, functional, many, one
from tests.library.support.cases.elementwise import along
from tests.library.support.strategies import SEEDS, arrays, distinct, distinct_pair, images, normal, shapes


@st.composite
def _classified(draw: Any, smoothed: bool = True) -> Drawn:
    """Logits (N, C) or (N, C, H, W), class indices with some ignored, weights, smoothing."""
    rows, classes = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    plane = draw(st.sampled_from([(), (2,), (2, 3)]))
    rng = np.random.default_rng(draw(SEEDS))
    target = rng.integers(0, classes, (rows, *plane))
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))}
    if target.size > 1 and draw(st.booleans()):
        options["ignore_index"] = draw(st.sampled_from([-100, int(target.flat[-1])]))
        target.flat[0] = options["ignore_index"]
        if (target == options["ignore_index"]).all():  # nothing left: 0 / 0
            target.flat[0] = (int(target.flat[0]) + 1) % classes
    if smoothed:
        options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 0.5]))
    if draw(st.booleans()):
        options["weight"] = rng.uniform(0.2, 2.0, classes)
    return (distinct((rows, classes, *plane), draw(SEEDS)), target), options


@st.composite
def _soft_targets(draw: Any) -> Drawn:
    rows, classes = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(SEEDS))
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))}
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1]))
    if draw(st.booleans()):
        options["weight"] = rng.uniform(0.2, 2.0, classes)
    return (distinct((rows, classes), draw(SEEDS)),), options | {"target": rng.dirichlet(np.ones(classes), rows)}


@st.composite
def _predictions(draw: Any) -> Drawn:
    shape = draw(shapes(max_dims=3))
    options = {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))}
    return (distinct(shape, draw(SEEDS)), normal(shape, draw(SEEDS))), options


LOSSES = [
    Case("softmax", "softmax and losses", functional("softmax"), along()),
    Case("log_softmax", "softmax and losses", functional("log_softmax"), along()),
    Case("cross_entropy", "softmax and losses", functional("cross_entropy"), _classified()),
    Case("cross_entropy of probabilities", "softmax and losses", functional("cross_entropy"), _soft_targets()),
    Case("nll_loss", "softmax and losses", functional("nll_loss"), _classified(smoothed=False)),
    Case("mse_loss", "softmax and losses", functional("mse_loss"), _predictions()),
    Case("l1_loss", "softmax and losses", functional("l1_loss"), _predictions()),
]

# --- products, convolution, pooling, normalisation --------------------------------------------------------------


@st.composite
def _factors(draw: Any) -> Drawn:
    """Two arrays for matmul: vectors, matrices, and stacks that broadcast."""
    rows, inner, columns = (draw(st.integers(1, 3)) for _ in range(3))
    left, right = draw(draws.broadcastable(max_dims=2))
    a = draw(st.sampled_from([(inner,), (rows, inner), (*left, rows, inner)]))
    b = draw(st.sampled_from([(inner,), (inner, columns), (*right, inner, columns)]))
    return (normal(a, draw(SEEDS)), normal(b, draw(SEEDS))), {}


@st.composite
def _affine(draw: Any) -> Drawn:
    front = draw(shapes(max_dims=2, max_side=3))
    inner, outer = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    x, weight = normal((*front, inner), draw(SEEDS)), normal((outer, inner), draw(SEEDS))
    return (x, weight, normal((outer,), 3)) if draw(st.booleans()) else (x, weight), {}


LINEAR = [
    Case("matmul", "linear and matmul", lambda lib, a, b: a @ b, _factors()),
    Case("linear", "linear and matmul", functional("linear"), _affine()),
]


@st.composite
def _deformed(draw: Any) -> Drawn:
    """An image, offsets that point between the pixels (never onto a grid line, where the slope jumps), and a mask."""
    kernel = draw(st.sampled_from([(1, 1), (2, 2), (2, 1)]))
    groups, offset_groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    batch, height, width = draw(st.integers(1, 2)), draw(st.integers(2, 3)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(SEEDS))
    plane = (height + 1 - kernel[0], width + 1 - kernel[1])
    taps = offset_groups * kernel[0] * kernel[1]
    offset = rng.integers(-2, 2, (batch, 2 * taps, *plane)) + rng.uniform(0.1, 0.9, (batch, 2 * taps, *plane))
    weight = rng.standard_normal((2, 2 // groups, *kernel))
    mask = rng.uniform(0.1, 1, (batch, taps, *plane))
    return (rng.standard_normal((batch, 2, height, width)), offset, weight, rng.standard_normal(2), mask), {}


def _deform_conv2d(lib: Any, x: Any, offset: Any, weight: Any, bias: Any, mask: Any) -> Any:
    return lib.nn.functional.deform_conv2d(x, offset, weight, bias, mask=mask)


CONVOLUTION = [
    Case("conv2d", "convolution", functional("conv2d"), draws.convolutions()),
    Case("conv2d unbatched", "convolution", functional("conv2d"), draws.convolutions(unbatched=True)),
    Case("deform_conv2d", "convolution", _deform_conv2d, _deformed(), torch=False),
]


@st.composite
def _adaptive(draw: Any) -> Drawn:
    sizes = st.integers(1, 7)
    size = draw(st.one_of(sizes, st.tuples(sizes, sizes), st.tuples(st.none(), sizes)))
    return (draw(images(max_length=5, channels=st.integers(1, 2))),), {"output_size": size}


POOLING = [
    Case("max_pool2d", "pooling", functional("max_pool2d"), draws.poolings(dilated=True)),
    Case("avg_pool2d", "pooling", functional("avg_pool2d"), draws.average_poolings()),
    Case("adaptive_avg_pool2d", "pooling", functional("adaptive_avg_pool2d"), _adaptive()),
]


@st.composite
def _normalised(draw: Any, training: bool, affine: bool = True) -> Drawn:
    """(x, weight, bias) with running statistics as options; at least four values a channel."""
    channels = draw(st.integers(1, 3))
    plane = draw(st.sampled_from([(), (2, 2), (3, 1), (2, 3)]))
    batch = draw(st.integers(1, 3)) if np.prod(plane) >= 4 else draw(st.integers(3, 4))
    x = normal((batch, channels, *plane), draw(SEEDS)) + np.arange(channels).reshape(1, -1, *(1,) * len(plane))
    options = {
        "running_mean": normal((channels,), draw(SEEDS)),
        "running_var": distinct((channels,), draw(SEEDS), 0.5, 2.0),
        "training": training,
        "momentum": draw(st.sampled_from([0.1, 0.5])),
        "eps": draw(st.sampled_from([1e-5, 1e-2])),
    }
    return ((x, normal((channels,), 5) + 1.5, normal((channels,), 6)) if affine else (x,)), options


def _batch_norm(lib: Any, x: Any, weight: Any = None, bias: Any = None, **options: Any) -> Any:
    mean, var = (lib.tensor(options.pop(key)) for key in ("running_mean", "running_var"))  # fresh copies every time
    return lib.nn.functional.batch_norm(x, mean, var, weight, bias, **options)


@st.composite
def _grouped(draw: Any) -> Drawn:
    groups, size = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    channels = groups * size
    x = normal((draw(st.integers(1, 2)), channels, 2, draw(st.integers(1, 3))), draw(SEEDS))
    return (x, normal((channels,), 5), normal((channels,), 6)), {"groups": groups}


@st.composite
def _neighbours(draw: Any) -> Drawn:
    x = draw(images(max_length=3, channels=st.integers(1, 6)))
    options = {
        "size": st.integers(1, 6),
        "alpha": st.sampled_from([1e-4, 0.5]),
        "beta": st.sampled_from([0.75, 0.5, 1.0]),
    }
    return (x,), draw(st.fixed_dictionaries(options | {"k": st.sampled_from([1.0, 2.0])}))


NORMALISATION = [
    Case("batch_norm training", "normalisation", _batch_norm, _normalised(training=True)),
    Case("batch_norm training, no affine", "normalisation", _batch_norm, _normalised(training=True, affine=False)),
    Case("batch_norm evaluation", "normalisation", _batch_norm, _normalised(training=False)),
    Case(
        "group_norm",
        "normalisation",
        lambda lib, x, w, b, groups: lib.nn.functional.group_norm(x, groups, w, b),
        _grouped(),
    ),
    Case("local_response_norm", "normalisation", functional("local_response_norm"), _neighbours()),
]


@st.composite
def _residual(draw: Any) -> Drawn:
    channels = draw(st.integers(1, 2))
    x = normal((2, channels, draw(st.integers(2, 4)), draw(st.integers(2, 4))), draw(SEEDS))
    return (x, normal((channels, channels, 3, 3), draw(SEEDS)), normal((channels,), 7) + 2), {}


def _residual_block(lib: Any, x: Any, weight: Any, scale: Any) -> Any:
    branch = lib.nn.functional.conv2d(x, weight, padding=1)
    branch = lib.nn.functional.batch_norm(branch, None, None, scale, training=True)
    return lib.nn.functional.silu(x + branch)


@st.composite
def _before_a_kink(draw: Any) -> Drawn:
    """x, a residual, weight and bias whose normalised sum, and whose normalised x, keep away from the ReLU's kink."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), *[st.integers(1, 3)] * draw(st.integers(0, 3))))
    assume(shape[0] * int(np.prod(shape[2:])) > 1 and int(np.prod(shape)) <= 48)
    x, residual = normal(shape, draw(SEEDS)), normal(shape, draw(SEEDS) + 1)
    weight, bias = normal(shape[1:2], draw(SEEDS) + 2) + 1.5, normal(shape[1:2], draw(SEEDS) + 3)
    y, _, _ = oracles.batch_norm(x, None, None, weight, bias, training=True)
    evaluated = x * weight.reshape(-1, *[1] * (x.ndim - 2)) + residual
    assume(min(np.abs(z).min() for z in (y, y + residual, evaluated)) > 1e-3)
    return (x, residual, weight, bias), {}


def _norm_then_relu(lib: Any, x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    """The operations before the norm make memory of their own: then the norm's output may wait."""
    y = lib.nn.functional.batch_norm(x * 1, None, None, weight, bias, training=True)
    return lib.nn.functional.relu(y) * residual


def _sum_then_relu(lib: Any, x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    y = lib.nn.functional.batch_norm(x * 1, None, None, weight, bias, training=True)
    return lib.nn.functional.relu(y + residual * 1)


def _sum_in_place_then_relu(lib: Any, x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    y = lib.nn.functional.batch_norm(x * 1, None, None, weight, bias, training=True)
    y += residual * 1
    return lib.nn.functional.relu(y)


def _evaluated_sum_then_relu(lib: Any, x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    zero, one = lib.zeros_like(bias.detach()), lib.ones_like(bias.detach())
    y = lib.nn.functional.batch_norm(x * 1, zero, one, weight, training=False, eps=0.0)
    return lib.nn.functional.relu(residual * 1 + y) + bias.sum()


def _seeded_dropout(name: str) -> Any:
    def run(lib: Any, x: Any, seed: int, **options: Any) -> Any:
        lib.manual_seed(seed)
        return getattr(lib.nn.functional, name)(x, **options)

    return run


P = st.sampled_from([0.0, 0.3, 0.9, 1.0])

DROPOUT = [
    Case("dropout", "dropout", _seeded_dropout("dropout"), one(images(), seed=SEEDS, p=P), torch=False),
    Case("dropout2d", "dropout", _seeded_dropout("dropout2d"), one(images(), seed=SEEDS, p=P), torch=False),
    Case(
        "dropout in evaluation", "dropout", functional("dropout"), one(arrays(), p=P, training=st.just(False)),
    ),
]  # fmt: skip

COMPOSED = [
    Case("residual_add", "composed", lambda lib, x: lib.ops.residual_add(x * 2, x), one(arrays()), torch=False),
    Case("residual block", "composed", _residual_block, _residual()),
    Case("batch norm, ReLU", "composed", _norm_then_relu, _before_a_kink()),
    Case("batch norm, sum, ReLU", "composed", _sum_then_relu, _before_a_kink()),
    Case("batch norm, sum in place, ReLU", "composed", _sum_in_place_then_relu, _before_a_kink()),
    Case("batch norm evaluated, sum, ReLU", "composed", _evaluated_sum_then_relu, _before_a_kink()),
    Case(
        "operators in a chain",
        "composed",
        lambda lib, a, b: lib.exp(a).sum() / ((b * b).mean() + 1) + lib.tanh(a).mean(),
        many(distinct_pair()),
    ),
]

CASES = (*LOSSES, *LINEAR, *CONVOLUTION, *POOLING, *NORMALISATION, *DROPOUT, *COMPOSED)
