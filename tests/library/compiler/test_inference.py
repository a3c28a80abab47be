"""``minicnn.compile``: the same results as the model's, and never an old or a wrong graph."""

from __future__ import annotations

import copy
import itertools
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import minicnn
from minicnn import models, nn
from minicnn.backend import cpu
from minicnn.backend.cpu import memory
from minicnn.compiler import fused
from minicnn.data.transforms import ImageClassification
from minicnn.models import create_model, list_models, model_entry, prediction
from minicnn.models.alexnet import AlexNet
from minicnn.models.densenet import DenseNet
from minicnn.models.efficientnet import EfficientNet
from minicnn.models.googlenet import GoogLeNet
from minicnn.models.resnet import Bottleneck, ResNet
from minicnn.models.vgg import VGG
from minicnn.nn import functional as F
from minicnn.ops.matrix import Linear as MatrixLinear


@pytest.fixture(autouse=True)
def _the_same_weights_every_time_and_no_gradients() -> Iterator[None]:
    minicnn.manual_seed(0)
    with minicnn.no_grad():
        yield


TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # of the largest number of a result


def images(shape: tuple[int, ...], dtype: Any = "float32", seed: int = 0) -> minicnn.Tensor:
    return minicnn.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


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


@contextmanager
def compiling() -> Iterator[None]:
    """Inside, it is an error if something is not compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def shown(compiled: Any) -> list[str]:
    """The steps of its only plan."""
    (plan,) = compiled.plans.values()
    return [step.call.name for step in plan.steps]


# ------------------------------------------------------------ every family of models


def small_vgg() -> nn.Module:
    return VGG(((8,), (8,), (16, 16), (16,), (16, 512)), batch_norm=True, num_classes=10)


FAMILIES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (lambda: AlexNet(10), 67),
    "alexnet of torchvision": (lambda: AlexNet(10, variant="torchvision"), 67),
    "vgg": (small_vgg, 32),
    "googlenet": (lambda: GoogLeNet(10, variant="paper"), 48),
    "googlenet of torchvision": (
        lambda: GoogLeNet(10, variant="torchvision", transform_input=True, aux_logits=False),
        33,
    ),
    "resnet18": (lambda: create_model("resnet18", 10), 33),
    "bottleneck resnet": (lambda: ResNet(Bottleneck, (1, 1, 1, 1), 10, variant="torchvision"), 32),
    "plain18": (lambda: create_model("plain18", 10), 32),
    "resnet20": (lambda: create_model("resnet20"), 32),
    "plain20": (lambda: create_model("plain20"), 16),
    "densenet": (lambda: DenseNet(8, (2, 3, 2, 2), 10), 33),
    "seresnet18": (lambda: create_model("seresnet18", 10), 32),
    "efficientnet": (lambda: EfficientNet(0.5, 0.6, num_classes=10), 48),
    "deformable resnet": (lambda: create_model("deformable_resnet18", 10), 32),
    "modulated deformable resnet": (lambda: create_model("deformable_resnet18", 10, modulated=True), 32),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_models_gives_the_same_logits(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (AlexNet.__module__, VGG.__module__):
        monkeypatch.setattr(sys.modules[module], "HIDDEN", 16)  # not 100 million parameters
    build, size = FAMILIES[name]
    model = calibrated(randomised(build()), images((4, 3, size, size), seed=1))
    compiled, x = minicnn.compile(model.to(dtype=np.dtype(dtype))), images((2, 3, size, size), dtype)
    with compiling():
        assert_same(compiled, x)
    logits = compiled(x).numpy()
    assert abs(logits[0] - logits[1]).max() > 1e-3 * abs(logits).max()
    alone = any(step.startswith("FixedNorm") for step in shown(compiled))
    assert alone == (name == "densenet" or "deformable" in name)


def test_all_models_on_the_list_are_of_these_families() -> None:
    families = {"alexnet", "cifar_resnet", "deformable", "densenet", "efficientnet", "googlenet", "resnet", "senet"}
    modules = {model_entry(name).builder.__module__ for name in list_models()}
    assert {name.removeprefix("minicnn.models.") for name in modules if "tests" not in name} == families | {"vgg"}


def test_what_becomes_of_a_resnet() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet18", 10)))
    compiled(images((1, 3, 32, 32)))
    steps = shown(compiled)
    assert sum(step.startswith("Conv2d + FixedNorm") for step in steps) == 20
    assert sum(step == "Conv2d + FixedNorm + Add + ReLU" for step in steps) == 8
    assert [step for step in steps if "Conv2d" not in step] == ["MaxPool2d", "AdaptiveAvgPool2d", "Reshape", "Linear"]
    (plan,) = compiled.plans.values()
    kernels = {step.call.name: step.call.operation for step in plan.steps}
    assert (kernels["MaxPool2d"], kernels["Linear"]) == (fused.MaxPoolTaps, MatrixLinear)  # so little is left to NumPy


def test_what_nobody_wants_is_not_computed() -> None:
    compiled = of(lambda m, x: (F.silu(m.conv(x)), F.max_pool2d(m.conv(x), 2))[1])
    assert_same(compiled, images((1, 3, 6, 6)))
    assert shown(compiled) == ["Conv2d", "MaxPool2d"]


def test_predictions_are_compiled_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full batches, if there are several; the guesses are the same."""
    model = calibrated(randomised(create_model("resnet20")), images((8, 3, 32, 32)))
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(7)]
    transform = ImageClassification(32, 32, (0.5,) * 3, (0.25,) * 3)
    made: list[Any] = []
    monkeypatch.setattr(prediction, "compile", lambda model: made.append(minicnn.compile(model)) or made[-1])
    classifier = models.Classifier("resnet20", model, transform, tuple("abcdefghij"), 3)
    few = list(classifier.predict(pictures, batch_size=7))
    assert not made
    found = list(classifier.predict(pictures, batch_size=3))
    (compiled,) = made
    assert [key[0][0][0] for key in compiled.plans] == [(3, 3, 32, 32)]
    for guessed, expected in zip(found, few, strict=True):
        for guess, wanted in zip(guessed.guesses, expected.guesses, strict=True):
            assert (guess.index, guess.label) == (wanted.index, wanted.label)
            np.testing.assert_allclose(guess.probability, wanted.probability, rtol=1e-4)


def test_what_becomes_of_a_densenet() -> None:
    compiled = minicnn.compile(randomised(DenseNet(8, (2, 2), 10)))
    compiled(images((1, 3, 32, 32)))
    steps = shown(compiled)
    assert "FixedNorm + ReLU" in steps and "Conv2d + FixedNorm + ReLU" in steps
    assert not {"ReLU", "FixedNorm"} & set(steps)


# ------------------------------------------------------------ random graphs

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


def relu_(self: minicnn.Tensor) -> minicnn.Tensor:
    return self.clamp_(min=0)


def test_every_chain() -> None:
    """Four operations behind a convolution or a norm, in every order; what is added is the input."""
    x = images((1, CHANNELS, 4, 4), "float64")
    for chain in itertools.product(("conv", "norm"), *[("conv", "norm", "relu", "add")] * 4):
        program = Program([(operation, -1, 0, 3) for operation in chain], -1)
        compiled = minicnn.compile(randomised(program).double())
        with compiling():
            assert_close(compiled(x), plainly(program, x), 1e-9)


OPERATIONS = ("conv", "norm", "relu", "add", "conv", "norm", "relu", "add", "silu", "cat", "pool", "view", "flip")


def programs(operations: tuple[str, ...]) -> st.SearchStrategy:
    recent = st.integers(0, 2).map(lambda back: -1 - back)  # mostly chains, as in networks, and any value now and then
    place = st.one_of(recent, recent, st.integers(0, 20))
    instruction = st.tuples(st.sampled_from(operations), place, place, st.integers(0, 15))
    return st.lists(instruction, min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instructions=programs(OPERATIONS), extra=st.integers(0, 30), seed=st.integers(0, 99), small=st.booleans())
def test_random_graphs(instructions: list[Instruction], extra: int, seed: int, small: bool) -> None:
    """Values used twice, or returned and used, residuals that come from anywhere, convolutions behind each other."""
    compiled = minicnn.compile(randomised(Program(instructions, extra), seed).double())
    with compiling(), cpu.small_work(1 << 14 if small else 0):
        assert_same(compiled, images((2, CHANNELS, 5, 5), "float64", seed))
        assert_same(compiled, images((2, CHANNELS, 5, 5), "float64", seed + 1))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    instructions=programs((*OPERATIONS, "add_", "relu_", "more", "add_")),
    extra=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_random_graphs_that_write_in_place(instructions: list[Instruction], extra: int, seed: int) -> None:
    """A write into memory that other values show is followed, or the model runs as it is."""
    compiled = minicnn.compile(randomised(Program(instructions, extra), seed).double())
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(minicnn.Tensor, "relu_", relu_, raising=False)
        for step in (0, 0, 1):
            x = images((2, CHANNELS, 5, 5), "float64", seed + step)
            expected = plainly(compiled.model, x)
            assert_close(compiled(minicnn.Tensor(x.numpy().copy())), expected, 1e-9)


# ------------------------------------------------------------ what a model may return and do


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


def repeated(y: Any, times: int) -> Any:
    """Arrays come and go: a new one may get the place, and the id, of one that is gone."""
    for _ in range(times):
        y = y * 1.5 + minicnn.ones(1)
    return y


def of(function: Callable[..., Any]) -> Any:
    return minicnn.compile(randomised(Of(function)))


class Pair(NamedTuple):
    logits: minicnn.Tensor
    features: list[minicnn.Tensor]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (m.conv(x), m.norm(m.conv(x))),
        lambda m, x: [m.conv(x), None, 3, "word"],
        lambda m, x: {"a": m.conv(x), "b": (x, m.norm.running_mean)},
        lambda m, x: Pair(m.conv(x).mean((1, 2, 3)), [m.conv(x)]),
        lambda m, x: m.conv(x)[0],
        lambda m, x: m.conv(x).sum(),
        lambda m, x: m.conv(x[0]),  # one image (C, H, W)
        lambda m, x: x,
        lambda m, x: x.flatten(1),
        lambda m, x: m.conv.weight,
        lambda m, x: F.max_pool2d(m.conv(x), 2, return_indices=True),
        lambda m, x: m.conv(x).max(dim=1),
        lambda m, x: F.dropout(m.conv(x), training=m.training),
        lambda m, x: F.conv2d(x, m.conv.weight / (m.conv.weight**2).sum((1, 2, 3), keepdim=True).sqrt()),
        lambda m, x: F.conv2d(x, x[:, :, :3, :3]),  # filters that depend on the input
        lambda m, x: F.batch_norm(x, m.norm.running_mean[:3], x.var((0, 2, 3)), training=False),
        lambda m, x: m.conv(x) + m.norm.running_mean.reshape(-1, 1, 1),
        lambda m, x: m.conv(x) + minicnn.ones(*m.conv(x).shape),
        lambda m, x: F.softmax(m.conv(x).flatten(1), 1),
        lambda m, x: F.group_norm(m.conv(x), 2),
        lambda m, x: F.local_response_norm(m.conv(x), 3),
        lambda m, x: F.avg_pool2d(F.silu(m.conv(x)), 2),
        lambda m, x: minicnn.stack(m.conv(x).split(2, 1)),
        lambda m, x: m.conv(x)[:, [2, 0]],
        lambda m, x: F.relu(F.relu(m.conv(x)) + m.conv(x)),
        lambda m, x: (lambda y: y + y)(m.conv(x)),
        lambda m, x: m.conv(x) + m.conv(x)[:1, :1],  # no residual: broadcast
        lambda m, x: repeated(m.conv(x), 10),
    ],
)
def test_whatever_a_model_returns_and_does(function: Callable[..., Any]) -> None:
    compiled, x = of(function), images((2, 3, 6, 6))
    with compiling():
        for seed in range(2):
            x = images((2, 3, 6, 6), seed=seed)
            got, expected = compiled(x), plainly(compiled.model, x)
            assert isinstance(expected, type(got))
            assert getattr(got, "requires_grad", False) == getattr(expected, "requires_grad", False)
            assert_close(got, expected, TOLERANCE["float32"])
    assert len(compiled.plans) == 1


def test_writing_into_a_result_harms_nothing() -> None:
    compiled, x = of(lambda m, x: (m.conv(x), m.conv.weight * 2, (m.conv.weight * 3)[:1])), images((2, 3, 6, 6))
    expected = plainly(compiled.model, x)
    for _ in range(2):
        for result in compiled(x):
            result.zero_()
    assert_close(compiled(x), expected, 1e-4)


def test_operations_of_ones_own() -> None:
    class Cube(minicnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.mark_non_differentiable(x)
            return x**3

    class Same(minicnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

    class ReLU(minicnn.autograd.Function):  # a name is not enough
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x - 100

    compiled = of(lambda m, x: Same.apply(F.relu(ReLU.apply(m.conv(Cube.apply(x))) + 99)))
    with compiling(), cpu.small_work(0):
        assert_same(compiled, images((2, 3, 6, 6)))


def test_a_compiled_model_inside_another() -> None:
    inner = randomised(Of(lambda m, x: F.relu(m.norm(m.conv(x)))))
    outer = Of(lambda m, x: m.norm(m.held[0](x) + 1))
    outer.held = [minicnn.compile(inner)]
    compiled = minicnn.compile(randomised(outer))
    with compiling():
        for seed in range(2):
            assert_same(compiled, images((2, 3, 6, 6), seed=seed))


# ------------------------------------------------------------ shapes, dtypes, devices


def test_several_shapes_share_their_filters() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    with compiling():
        for shape in ((2, 3, 32, 32), (1, 3, 32, 32), (3, 3, 20, 28), (2, 3, 32, 32)):
            assert_same(compiled, images(shape))
    assert len(compiled.plans) == 3
    filters = [{id(value) for _, value in plan.preparation.values} for plan in compiled.plans.values()]
    assert filters[0] == filters[1] == filters[2] and len(filters[0]) == 19


def test_there_are_never_too_many_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minicnn.compiler.model.MOST_PLANS", 3)
    compiled = of(lambda m, x: m.norm(m.conv(x)))
    for size in (4, 5, 6, 7, 8, 4):
        assert_same(compiled, images((1, 3, size, size)))
    assert len(compiled.plans) == 3


def test_inputs_of_every_layout() -> None:
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), np.random.default_rng(0).standard_normal((2, 6, 6, 3))
    frozen = x.astype("float32").transpose(0, 3, 1, 2).copy()
    frozen.flags.writeable = False
    for array in (x.astype("float32").transpose(0, 3, 1, 2), frozen, frozen[:, ::-1], frozen[:, :, ::-1, ::2]):
        assert_same(compiled, minicnn.Tensor(array))


def test_what_runs_as_it_is() -> None:
    """Nothing is to be won there; and who asks for single operations gets them."""
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), images((2, 3, 6, 6))
    with compiling():
        with cpu.plain():
            assert_same(compiled, x)
        with minicnn.detect_anomaly(), pytest.raises(minicnn.errors.AnomalyError):
            compiled(x * float("nan"))
        assert compiled(x[:0]).shape == (0, 4, 6, 6)
        assert not compiled.plans
        compiled.model.to(dtype=np.float16)
        for _ in range(2):
            assert compiled(x.to(np.float16)).dtype == np.float16


# ------------------------------------------------------------ changes of the model


def changes() -> dict[str, Callable[[Any], Any]]:
    def exchange(model: Any) -> None:
        model.norm = randomised(nn.BatchNorm2d(4), seed=5)

    def step(model: Any) -> None:
        for parameter in model.parameters():
            parameter.grad = minicnn.ones(*parameter.shape)
        minicnn.optim.SGD(model.parameters(), lr=0.1).step()

    def assign(array: np.ndarray) -> None:
        array[...] = 2

    return {
        "a parameter written": lambda m: m.conv.bias.detach().zero_(),
        "a parameter added to": lambda m: m.conv.bias.detach().add_(1),
        "an array exchanged": lambda m: setattr(m.conv.weight, "array", m.conv.weight.array * 2),
        "an activation exchanged": lambda m: setattr(m, "activation", nn.Sigmoid().eval()),
        "a buffer written": lambda m: m.norm.running_var.fill_(3),
        "through data": lambda m: m.conv.weight.data.mul_(0.5),
        "through an array": lambda m: assign(m.norm.running_mean.numpy()),
        "data exchanged": lambda m: setattr(m.conv.weight, "data", m.conv.weight.data * 2),
        "a parameter exchanged": lambda m: setattr(m.conv, "bias", nn.Parameter(minicnn.ones(4))),
        "a module exchanged": exchange,
        "a state loaded": lambda m: m.load_state_dict(randomised(Of(m.function), seed=7).state_dict()),
        "an optimiser's step": step,
        "a setting": lambda m: setattr(m.norm, "eps", 0.5),
        "a tensor that is no parameter": lambda m: m.table.add_(1),
        "a tensor that is no parameter exchanged": lambda m: setattr(m, "table", minicnn.ones(4, 1, 1) * 9),
        "a tensor in a list": lambda m: m.listed[0].add_(1),
        "a list": lambda m: m.listed.append(minicnn.ones(4, 1, 1)),
        "a module in a list": lambda m: m.hidden[0].weight.detach().add_(1),
        "another dtype and back": lambda m: (m.conv.weight.data.add_(1), m.double(), m.float()),
    }


@pytest.mark.parametrize("change", changes())
def test_a_change_of_the_model_is_noticed(change: str) -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.activation(m.norm(m.conv(x))) + m.table
        for item in m.listed:
            y = y + item
        return m.hidden[0](y)

    model = Of(forward)
    model.table = minicnn.ones(4, 1, 1)
    model.activation = nn.Tanh()
    model.listed = [minicnn.ones(4, 1, 1)]
    model.hidden = [nn.Conv2d(4, 2, 1)]
    model.hidden[0].eval()
    compiled = minicnn.compile(randomised(model))
    shapes = (2, 3, 6, 6), (1, 3, 4, 4)
    with compiling():
        before = [compiled(images(shape)).numpy() for shape in shapes]
        compiled.model.requires_grad_(False)
        changes()[change](compiled.model)
        for shape, old in zip(shapes, before, strict=True):
            assert_same(compiled, images(shape))
            assert abs(compiled(images(shape)).numpy() - old).max() > 1e-3
        plans = compiled.plans
        assert_same(compiled, images(shapes[0]))
        assert compiled.plans == plans  # and it is recorded once


def test_reading_the_model_does_not_record_it_again() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    compiled(images((1, 3, 32, 32)))
    plans = compiled.plans
    compiled.model.state_dict(), list(compiled.model.parameters()), repr(compiled)
    with minicnn.no_grad():
        compiled.model(images((1, 3, 32, 32)))
    compiled(images((1, 3, 32, 32)))
    assert compiled.plans == plans


def test_an_index_of_the_models_own() -> None:
    """Indexing takes the raw array of the index, at every recording; that does not make the other plans old."""
    model = Of(lambda m, x: m.conv(x)[:, m.order][:, m.listed[0]] * float(m.listed[1]))
    model.register_buffer("order", minicnn.tensor([2, 0, 1]))
    model.listed = [minicnn.tensor([1, 0]), minicnn.tensor(3.0)]
    compiled, x = minicnn.compile(model.eval()), images((1, 3, 4, 4))
    with compiling():
        for shape in ((1, 3, 4, 4), (2, 3, 4, 4), (1, 3, 5, 5)):
            compiled(images(shape))
        assert len(compiled.plans) == 3
        for tensor, index, value in ((model.listed[1], ..., 5.0), (model.listed[0], 1, 2), (model.order, 1, 3)):
            before = compiled(x).numpy()
            tensor[index] = value
            assert abs(compiled(x).numpy() - before).max() > 1e-3
            assert_same(compiled, x)
            compiled(x)


def test_hooks_run() -> None:
    compiled, x = of(lambda m, x: m.norm(m.conv(x))), images((2, 3, 6, 6))
    expected = compiled(x).numpy()
    with compiled.model.conv.register_forward_hook(lambda module, args, output: output * 0):
        assert_same(compiled, x)
        assert abs(compiled(x).numpy() - expected).max() > 0.1
    called = []
    with compiled.model.norm.register_forward_pre_hook(lambda module, args: called.append(module)):
        for _ in range(3):
            compiled(x)
    assert len(called) == 3
    np.testing.assert_array_equal(compiled(x).numpy(), expected)


def test_only_modules_are_compiled() -> None:
    with pytest.raises(TypeError, match="expected an nn.Module, got function"):
        minicnn.compile(lambda x: x)  # type: ignore[arg-type]


# ------------------------------------------------------------ recordings that would not hold


def write(tensor: Any, index: Any, value: Any) -> Any:
    tensor[index] = value
    return tensor


def add_into(target: Any, value: Any) -> Any:
    target += value
    return target


def keep(model: Any, value: Any) -> Any:
    model.kept = value
    return value


def with_gradients(m: Any, x: Any) -> Any:
    with minicnn.enable_grad():
        return add_into(m.conv(x) * 1, 1).detach()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.conv(x) if x.mean() > 0 else x[:, :2], "reads the numbers"),
        (lambda m, x: m.conv(x) * float(m.conv(x).max()), "reads the numbers"),
        (lambda m, x: m.conv(x) * m.conv(x).sum().item(), "reads the numbers"),
        (lambda m, x: minicnn.Tensor(np.sign(m.conv(x).detach().numpy())), "reads the numbers"),
        (lambda m, x: minicnn.Tensor(np.asarray(m.conv(x)) + 1), "reads the numbers"),
        (lambda m, x: minicnn.tensor(m.conv(x).tolist()), "reads the numbers"),
        (lambda m, x: m.conv(x) * len(repr(m.conv(x))), "reads the numbers"),
        (lambda m, x: m.conv(x).argmax(1), "reads the numbers"),
        (lambda m, x: m.conv(x).data * 2, "reads the numbers"),
        (lambda m, x: write(minicnn.zeros(2, 3, 6, 6), 0, x[0]), "not the model's own"),
        (lambda m, x: m.conv(x) + 0 * minicnn.randn(1), "random numbers"),
        (lambda m, x: add_into(x, 1), "writes into"),
        (lambda m, x: add_into(x[:, :], 1), "writes into"),
        (lambda m, x: m.conv(x) + add_into(m.norm.running_mean[:2], 1).sum(), "writes into"),
        (lambda m, x: keep(m, m.conv(x)), "changes the model"),
        (lambda m, x: add_into(m.conv(x), minicnn.ones(1, 4, 1, 1).double()), "another dtype"),
        (lambda m, x: (lambda c: x * c + write(c, 0, 5.0))(minicnn.ones(6)), "not the model's own"),
        (lambda m, x: (lambda y, v: add_into(y, 1) + v)(*(lambda y: (y, y[:, :]))(m.conv(x))), "a view of a tensor"),
        (lambda m, x: (lambda y: (add_into(y[:, 1:], 1), y)[1])(m.conv(x)), "a view of a tensor"),
        (with_gradients, "switches gradients on"),
        (lambda m, x: {1, 2}, "returns a set"),
        (lambda m, x: (x, iter(())), "returns a tuple_iterator"),
    ],
)
def test_a_recording_that_would_not_hold_is_not_used(function: Callable[..., Any], reason: str) -> None:
    """Then the model runs as it is, and says so once; its first run is not repeated, for it may have changed things."""
    compiled = of(function)
    twin = copy.deepcopy(compiled.model)
    warned = []
    for seed in range(4):
        x = images((2, 3, 6, 6), seed=seed) + (-1) ** seed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got = compiled(minicnn.Tensor(x.numpy().copy()))
        warned += [str(warning.message) for warning in caught]
        if "random" not in reason and "iterator" not in reason:
            assert_close(got, plainly(twin, x), 1e-5)
    assert len(warned) == 1 and "Of is not compiled for inputs of shape (2, 3, 6, 6)" in warned[0], warned
    assert reason in warned[0]
    assert not compiled.plans


def test_a_tensor_of_the_model_as_its_input() -> None:
    """Then the recording could not tell the two."""
    model = randomised(Of(lambda m, x: F.relu(m.conv(x)) + m.template.sum()))
    model.template = images((2, 3, 6, 6))
    compiled = minicnn.compile(model)
    with pytest.warns(UserWarning, match="its input is one of its own tensors"):
        assert_close(compiled(model.template), plainly(model, model.template), 1e-4)
    assert_same(compiled, images((2, 3, 6, 6), seed=1))


def test_writing_in_place_is_followed() -> None:
    """As public code writes a residual block, and where nothing else shows the memory any more."""

    def forward(m: Any, x: Any) -> Any:
        out = m.norm(m.conv(x))
        out += x[:, :1]
        early = out.mean()  # before the write, and a copy
        out[:, :].mean()  # a view that nobody uses afterwards
        out.clamp_(min=0)
        late = out[:, 1:]  # of what is there now
        return early, out * 2, late

    compiled = of(forward)
    with compiling():
        for seed in range(2):
            assert_same(compiled, images((2, 3, 6, 6), seed=seed))


def test_a_model_that_completes_itself_at_its_first_call_is_compiled_at_the_second() -> None:
    def forward(m: Any, x: Any) -> Any:
        if m.grid is None:
            m.grid = minicnn.arange(6.0)
        return m.conv(x) + m.grid

    model = Of(forward)
    model.grid = None
    compiled = minicnn.compile(randomised(model))
    with compiling():
        for _ in range(3):
            assert_same(compiled, images((2, 3, 6, 6)))
    assert len(compiled.plans) == 1


def test_errors_are_the_models_own() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    with pytest.raises(minicnn.errors.ShapeError, match="expected 3 input channels, got 4"):
        compiled(images((1, 4, 32, 32)))
    with compiling():
        assert_same(compiled, images((1, 3, 32, 32)))


# ------------------------------------------------------------ threads and memory


def test_threads_share_a_compiled_model() -> None:
    compiled = minicnn.compile(randomised(create_model("resnet20")))
    inputs = [images((1 + seed % 2, 3, 32, 32), seed=seed) for seed in range(8)]
    expected = [plainly(compiled.model, x) for x in inputs]
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for i in range(10):
                place = (first + i) % len(inputs)
                assert_close(compiled(inputs[place]), expected[place], 1e-4)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(compiled.plans) == 2


def test_a_call_needs_little_memory_and_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three values at a time: what a block is given, what it has made of it, and what becomes of both."""
    monkeypatch.setattr(memory, "LARGE", 1)  # count small arrays too
    monkeypatch.setattr(cpu, "allow_winograd", False)  # its transformed tiles are four times the image
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(12)]
    compiled, x = minicnn.compile(randomised(nn.Sequential(*layers))), images((4, 16, 32, 32))
    compiled(x)
    before = memory.statistics()
    monkeypatch.setattr(memory._pool, "peak", before["in_use"])
    for _ in range(20):
        compiled(x)
    after = memory.statistics()
    assert (after["in_use"], after["segments"]) == (before["in_use"], before["segments"])
    assert after["peak"] - before["in_use"] < 5 * x.numpy().nbytes


def test_a_model_whose_weights_another_thread_wrote_while_it_was_recorded_is_recorded_again() -> None:
    """It is left as it is for a few calls, not for good."""
    disturbed = [True]

    def forward(model: Any, x: Any) -> Any:
        if disturbed[0]:
            thread = threading.Thread(target=minicnn.no_grad()(lambda: model.conv.weight.mul_(1)))
            thread.start()
            thread.join()
        return model.conv(x)

    compiled, x = of(forward), images((2, 3, 6, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            compiled(x)
    assert not compiled.plans
    disturbed[0] = False
    for _ in range(6):
        assert_same(compiled, x)
    assert compiled.plans
