"""Each operation that has an entry in the table: a module of its own, run by a runtime and by minicnn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.nn import functional as F
from minicnn.ops.geometry import convolution_window
from tests.library.support.onnx_runs import Runtime, error, export, ours, reference

pytest.importorskip("onnx", reason="writes ONNX")

ROUNDING = {"float32": 1e-5, "float64": 1e-12}


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: minicnn.Tensor) -> Any:
        return self.function(*inputs)


def agrees(model: nn.Module, shape: tuple[int, ...], dtype: str = "float32", seed: int = 0, low: float = -2.0) -> None:
    """The file of one export, for one, two and five images: as ours.

    onnxruntime has kernels in float64 for a part of the operators only; ONNX's own evaluation has all.
    """
    exported = export(model, minicnn.zeros(1, *shape, dtype=dtype))
    run: Any = Runtime(exported) if dtype == "float32" else lambda x: reference(exported, x)
    rng = np.random.default_rng(seed)
    for count in (1, 2, 5):
        x = rng.uniform(low, 2, (count, *shape)).astype(dtype)
        expected, found = ours(model, x), run(x)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert error(a, b) <= ROUNDING[dtype], (a.shape, b.shape, a.dtype, b.dtype)


POINTWISE: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "hardswish": F.hardswish,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.75),
    "abs": lambda x: x.abs(),
    "neg": lambda x: -x,
    "exp": lambda x: x.exp(),
    "log": lambda x: (x.abs() + 0.1).log(),
    "sqrt": lambda x: x.abs().sqrt(),
    "rsqrt": lambda x: (x.abs() + 0.1).rsqrt(),
    "sin, cos": lambda x: x.sin() + x.cos(),
    "pow": lambda x: x**3 + x.abs() ** 0.5 + 2**x,
    "clamp": lambda x: x.clamp(-1, 0.5) + x.clamp(min=0.2) - x.clamp(max=0.1),
    "numbers": lambda x: (3 - x * 2 + 1) / 4 + 1 / (x.abs() + 1),
    "remainder": lambda x: x % 0.75 + x % -0.75,
    "where": lambda x: minicnn.where(x > 0.3, x, x * 0.1) + minicnn.where(x < 0, 1.0, 2.0),
    "masked_fill": lambda x: x.masked_fill(x >= 1, 0.0),
    "maximum": lambda x: x.maximum(x * 2) + x.minimum(-x),
    "compare": lambda x: (x <= 1).to(x.dtype) + (x != x).to(x.dtype),
    "logical": lambda x: minicnn.logical_or(minicnn.logical_and(x > 0, x >= 1), x == 0).to(x.dtype),
    "finite": lambda x: minicnn.isfinite(1 / x).to(x.dtype) + minicnn.isnan(x).to(x.dtype),
    "softmax": lambda x: x.softmax(1) + x.log_softmax(-1),
    "clone, detach": lambda x: x.clone().detach() * 1,
    "in place": lambda x: x.clone().add_(1).mul_(x),
}

MOVING: dict[str, Callable[[Any], Any]] = {
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.shape[0], -1),
    "reshape over the batch": lambda x: x.reshape(-1, x.shape[-1]),
    "two open lengths": lambda x: x.reshape(x.shape[0], 1, -1).transpose(0, 1).reshape(1, x.shape[0], -1),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 3),
    "unsqueeze": lambda x: x.unsqueeze(2).squeeze(2).unsqueeze(0),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1, -1) + x.mean((2, 3), keepdim=True).expand_as(x)[:, :1],
    "expand to the batch": lambda x: x.mean(0, keepdim=True).expand(x.shape[0], -1, -1, -1),
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "slices": lambda x: x[:, 1:, ::2, -3:-1],
    "an integer": lambda x: x[:, 0] + x[:, -1],
    "a number of NumPy": lambda x: x[:, np.int64(1)],
    "backwards": lambda x: x[..., ::-1] + x[:, 2::-1, ::-2].sum((1, 2), keepdim=True),
    "new axes": lambda x: x[:, None, :, 1, ..., None],
    "positions": lambda x: x[:, [2, 0, 1, 1]],
    "index_select": lambda x: x.index_select(2, minicnn.tensor([3, 0])),
    "chunk": lambda x: minicnn.cat(x.chunk(3, 1)[::-1], 1),
    "stack": lambda x: minicnn.stack([x, x * 2], 1),
    "narrow": lambda x: x.narrow(3, 1, 2),
    "flip": lambda x: x.flip(2, 3),
    "pad": lambda x: F.pad(x, (1, 2, 0, 3), value=0.5),
    "crop": lambda x: F.pad(x, (-1, 1)),
    "reflect": lambda x: F.pad(x, (1, 1, 2, 0), mode="reflect"),
    "sum": lambda x: x.sum((2, 3)) + x.sum((1, 2)).sum(1, keepdim=True)[:, :1],
    "sum of all": lambda x: x.sum(),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "mean over the batch": lambda x: x - x.mean(0),
    "mean by the number of images": lambda x: x.sum(0) / x.shape[0] + len(x) * x.sum() / x.numel(),
    "bounds by the number of images": lambda x: (x * 4).clamp(max=x.shape[0]).masked_fill(x > 1.5, x.shape[0]),
    "var": lambda x: x.var((1, 2)) + x.var((1, 2), unbiased=False),
    "std": lambda x: x.std(3, keepdim=True),
    "amax": lambda x: x.amax((2, 3)) - x.amin((2, 3)),
    "max": lambda x: tuple(x.max(1)),
    "min": lambda x: tuple(x.min(-1, keepdim=True)),
    "prod": lambda x: x.prod(2),
    "cumsum": lambda x: x.cumsum(1),
    "norm": lambda x: x.norm(dim=1),
    "matmul": lambda x: x @ x.transpose(2, 3),
    "double and back": lambda x: (x.double() / 3).to(x.dtype),
    "the input": lambda x: x,
    "twice": lambda x: (x + 1, x + 1, x),
}  # fmt: skip

CASES = [(name, function) for table in (POINTWISE, MOVING) for name, function in table.items()]


@pytest.mark.parametrize(("name", "function"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("dtype", ROUNDING)
def test_an_operation(name: str, function: Callable[[Any], Any], dtype: str) -> None:
    agrees(Lambda(function), (3, 4, 5), dtype)


small = st.integers(1, 3)
kernels = st.tuples(st.integers(1, 4), st.integers(1, 4))
shares = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5))  # of the kernel that are padded
pairs = st.tuples(small, small)


@settings(max_examples=20)
@given(
    kernel=pairs, stride=pairs, padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), dilation=pairs,
    groups=small, per_group=small, bias=st.booleans(), seed=st.integers(0, 99), dtype=st.sampled_from(list(ROUNDING)),
)  # fmt: skip
def test_convolution(kernel, stride, padding, dilation, groups, per_group, bias, seed, dtype) -> None:
    minicnn.manual_seed(seed)
    channels = groups * per_group
    model = nn.Conv2d(channels, 2 * groups, kernel, stride, padding, dilation, groups, bias).to(dtype)
    agrees(model, (channels, 8, 7), dtype, seed)


def test_same_padding_of_an_even_kernel_goes_below_and_right() -> None:
    agrees(nn.Conv2d(2, 2, (2, 4), padding="same"), (2, 5, 6))


@settings(max_examples=30)
@given(
    kernel=kernels, stride=pairs, share=shares,
    dilation=pairs, ceil_mode=st.booleans(), indices=st.booleans(),
    size=st.tuples(st.integers(11, 14), st.integers(11, 14)), seed=st.integers(0, 99),
)  # fmt: skip
def test_max_pooling(kernel, stride, share, dilation, ceil_mode, indices, size, seed) -> None:
    padding = tuple(int(k * s) for k, s in zip(kernel, share, strict=True))
    model = Lambda(lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode, indices))
    agrees(model, (2, *size), seed=seed)


@settings(max_examples=30)
@given(
    kernel=kernels, stride=pairs, share=shares,
    ceil_mode=st.booleans(), counted=st.booleans(), divisor=st.sampled_from([None, None, 3]),
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)), dtype=st.sampled_from(list(ROUNDING)),
)  # fmt: skip
def test_average_pooling(kernel, stride, share, ceil_mode, counted, divisor, size, dtype) -> None:
    padding = tuple(int(k * s) for k, s in zip(kernel, share, strict=True))
    agrees(Lambda(lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode, counted, divisor)), (2, *size), dtype)


@given(out=st.tuples(st.integers(1, 7), st.integers(1, 7)), dtype=st.sampled_from(list(ROUNDING)))
def test_adaptive_average_pooling(out, dtype) -> None:
    agrees(Lambda(lambda x: F.adaptive_avg_pool2d(x, out)), (2, 6, 7), dtype)


@given(
    affine=st.booleans(), tracked=st.booleans(), shape=st.sampled_from([(4,), (4, 3), (4, 3, 2)]),
    seed=st.integers(0, 99), dtype=st.sampled_from(list(ROUNDING)),
)  # fmt: skip
def test_batch_norm(affine, tracked, shape, seed, dtype) -> None:
    """Of one channel a few values only, so that a batch of one has statistics when they are taken from it."""
    rng = np.random.default_rng(seed)
    mean, var, weight, bias = (minicnn.tensor(rng.uniform(0.5, 2, 4).astype(dtype)) for _ in range(4))
    weight, bias = (weight, bias) if affine else (None, None)
    agrees(Lambda(lambda x: F.batch_norm(x, mean, var, weight, bias, eps=1e-3)), shape, dtype, seed)
    if not tracked and len(shape) > 1:
        agrees(Lambda(lambda x: F.batch_norm(x, None, None, weight, bias, training=True)), shape, dtype, seed)


@given(groups=st.sampled_from([1, 2, 4]), affine=st.booleans(), dtype=st.sampled_from(list(ROUNDING)))
def test_group_norm(groups, affine, dtype) -> None:
    agrees(nn.GroupNorm(groups, 4, affine=affine).to(dtype), (4, 3, 2), dtype)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", [(5, 3, 2), (5, 4)])
@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_local_response_norm(size: int, shape: tuple[int, ...], dtype: str) -> None:
    agrees(Lambda(lambda x: F.local_response_norm(x, size, 0.3, 0.6, 1.5)), shape, dtype)


@given(shape=st.sampled_from([(4,), (3, 4), (2, 3, 4)]), bias=st.booleans(), dtype=st.sampled_from(list(ROUNDING)))
def test_linear(shape, bias, dtype) -> None:
    agrees(nn.Linear(4, 3, bias).to(dtype), shape, dtype)


@settings(max_examples=12)
@given(
    kernel=pairs, stride=small, padding=st.integers(0, 2), dilation=small, groups=st.sampled_from([1, 2]),
    offset_groups=st.sampled_from([1, 2]), masked=st.booleans(), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_deformable_convolution(kernel, stride, padding, dilation, groups, offset_groups, masked, bias, seed) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = convolution_window(kernel, stride, padding, dilation).output_size((7, 8))
    taps = offset_groups * kernel[0] * kernel[1]
    weight = minicnn.tensor(rng.standard_normal((2 * groups, 4 // groups, *kernel)).astype("f"))
    shift = minicnn.tensor(rng.standard_normal(2 * groups).astype("f"))
    model = Lambda(
        lambda x, offset, *mask: minicnn.ops.deform_conv2d(
            x, offset, weight, shift if bias else None, stride, padding, dilation, *mask
        )
    )
    shapes = [(4, 7, 8), (2 * taps, rows, columns), *([(taps, rows, columns)] if masked else [])]
    exported = export(model, *(minicnn.zeros(1, *shape) for shape in shapes))
    assert [node.op_type for node in exported.graph.node] == ["DeformConv"]
    run = Runtime(exported)
    for count in (1, 2, 5):
        arrays = [rng.standard_normal((count, *shape)).astype("f") for shape in shapes]
        assert error(run(*arrays)[0], ours(model, *arrays)[0]) <= ROUNDING["float32"]


LAYERS = ["conv", "norm", "group-norm", "silu", "dropout", "pool", "gate", "lrn"]


class Network(nn.Module):
    """A random chain of layers on images of four channels, with a residual branch around each."""

    def __init__(self, kinds: list[str]) -> None:
        super().__init__()
        makers: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=2),
            "norm": lambda: nn.BatchNorm2d(4),
            "group-norm": lambda: nn.GroupNorm(2, 4),
            "silu": nn.SiLU,
            "dropout": lambda: nn.Dropout(0.5),
            "pool": lambda: nn.MaxPool2d(3, 1, 1),
            "gate": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid()),
            "lrn": lambda: nn.LocalResponseNorm(3),
        }
        self.layers = nn.ModuleList(makers[kind]() for kind in kinds)
        self.head = nn.Linear(8 * 5 * 6, 3)

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        y = x
        for layer in self.layers:
            y = y + layer(y)
        return self.head(minicnn.cat([y, x], 1).flatten(1))


@settings(max_examples=15)
@given(
    kinds=st.lists(st.sampled_from(LAYERS), max_size=6),
    seed=st.integers(0, 99), dtype=st.sampled_from(list(ROUNDING)),
)  # fmt: skip
def test_random_networks(kinds, seed, dtype) -> None:
    minicnn.manual_seed(seed)
    agrees(Network(kinds).to(dtype), (4, 5, 6), dtype, seed)
