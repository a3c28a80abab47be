"""The layers: each equals its function and PyTorch's layer, and prints like it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.nn import functional as F
from tests.library.support import peers
from tests.library.support.modules import IMAGE, numbers, shake, shared_arguments, twins

# (how to build it from either library's nn, the shape of its input)
LAYERS = [
    (lambda nn: nn.Conv2d(4, 6, 3), IMAGE),
    (lambda nn: nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), bias=False), IMAGE),
    (lambda nn: nn.Conv2d(4, 8, 3, 1, 2, 2, 4), IMAGE),
    (lambda nn: nn.Conv2d(4, 6, 4, padding="same", dilation=2), IMAGE),
    (lambda nn: nn.Conv2d(4, 6, 3, padding="valid"), IMAGE),
    (lambda nn: nn.Conv2d(4, 6, 3), IMAGE[1:]),
    (lambda nn: nn.Linear(8, 3), IMAGE),
    (lambda nn: nn.Linear(8, 3, bias=False), (8,)),
    (lambda nn: nn.Identity(54, unused=True), IMAGE),
    (lambda nn: nn.Flatten(), IMAGE),
    (lambda nn: nn.Flatten(0, 2), IMAGE),
    (lambda nn: nn.Unflatten(1, (2, 2)), IMAGE),
    (lambda nn: nn.BatchNorm2d(4), IMAGE),
    (lambda nn: nn.BatchNorm2d(4, eps=1e-3, momentum=None, affine=False), IMAGE),
    (lambda nn: nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    (lambda nn: nn.BatchNorm1d(4), (5, 4)),
    (lambda nn: nn.BatchNorm1d(4, momentum=0.3), (5, 4, 3)),
    (lambda nn: nn.GroupNorm(2, 4), IMAGE),
    (lambda nn: nn.GroupNorm(4, 4, eps=1e-2, affine=False), IMAGE),
    (lambda nn: nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0), IMAGE),
    (lambda nn: nn.LocalResponseNorm(2), IMAGE),
    (lambda nn: nn.MaxPool2d(3), IMAGE),
    (lambda nn: nn.MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True), IMAGE),
    (lambda nn: nn.MaxPool2d(2, stride=1, dilation=2), IMAGE),
    (lambda nn: nn.AvgPool2d(3), IMAGE),
    (lambda nn: nn.AvgPool2d((3, 2), 2, 1, True, False), IMAGE),
    (lambda nn: nn.AvgPool2d(2, divisor_override=3), IMAGE),
    (lambda nn: nn.AdaptiveAvgPool2d(1), IMAGE),
    (lambda nn: nn.AdaptiveAvgPool2d((None, 3)), IMAGE),
    (lambda nn: nn.AdaptiveAvgPool2d((5, 12)), IMAGE),
    (lambda nn: nn.ReLU(), IMAGE),
    (lambda nn: nn.ReLU(inplace=True), IMAGE),
    (lambda nn: nn.LeakyReLU(), IMAGE),
    (lambda nn: nn.LeakyReLU(0.3, True), IMAGE),
    (lambda nn: nn.ReLU6(), IMAGE),
    (lambda nn: nn.ReLU6(True), IMAGE),
    (lambda nn: nn.SiLU(), IMAGE),
    (lambda nn: nn.SiLU(inplace=True), IMAGE),
    (lambda nn: nn.Hardtanh(), IMAGE),
    (lambda nn: nn.Hardtanh(-0.5, 2, inplace=True), IMAGE),
    (lambda nn: nn.Hardswish(), IMAGE),
    (lambda nn: nn.Hardsigmoid(), IMAGE),
    (lambda nn: nn.Sigmoid(), IMAGE),
    (lambda nn: nn.Tanh(), IMAGE),
    (lambda nn: nn.Softmax(dim=1), IMAGE),
    (lambda nn: nn.Softmax(), (3, 4)),
    (lambda nn: nn.LogSoftmax(-1), IMAGE),
    (lambda nn: nn.LogSoftmax(), IMAGE[1:]),
    (lambda nn: nn.Dropout(), IMAGE),
    (lambda nn: nn.Dropout2d(0.3, inplace=True), IMAGE),
]
IDS = [f"{repr(build(nn))}-{len(shape)}d" for build, shape in LAYERS]


@pytest.mark.filterwarnings("ignore:Implicit dimension choice", "ignore:Using padding='same'")
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=IDS)
def test_outputs_gradients_and_state_equal_pytorch(build, shape, training):
    torch, ours, theirs = twins(build)
    if "Dropout" in repr(ours):  # the libraries draw different masks; test_dropout_* checks ours
        ours.p = theirs.p = 0.0
    ours.train(training), theirs.train(training)
    for _ in range(2):  # the second batch meets running statistics that have moved
        x = numbers(shape)
        our_x = minicnn.Tensor(x, requires_grad=True)
        their_x = torch.tensor(x, requires_grad=True)
        our_y, their_y = ours(our_x), theirs(their_x * 1)  # * 1: an in-place layer may not write into a leaf
        np.testing.assert_allclose(our_y.detach().numpy(), their_y.detach().numpy(), rtol=1e-9, atol=1e-10)
    cotangent = np.random.default_rng(4).standard_normal(our_y.shape)
    our_y.backward(minicnn.Tensor(cotangent))
    their_y.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(our_x.grad.numpy(), their_x.grad.numpy(), rtol=1e-7, atol=1e-9)
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), other.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=name)
    for key, tensor in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), tensor.numpy(), rtol=1e-9, err_msg=key)


@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=IDS)
def test_repr_and_state_dict_equal_pytorch(build, shape):
    torch = peers.torch()
    ours, theirs = build(nn), build(torch.nn)
    text = repr(ours)
    if "bias" not in inspect.signature(torch.nn.GroupNorm).parameters and "Norm" in text:
        text = text.replace(", bias=True", "").replace(", bias=False", "")
    assert text == repr(theirs)
    assert {key: tuple(t.shape) for key, t in ours.state_dict().items()} == {
        key: tuple(t.shape) for key, t in theirs.state_dict().items()
    }


LAYER_NAMES = sorted({type(build(nn)).__name__ for build, _ in LAYERS} | {"CrossEntropyLoss", "NLLLoss"})


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_constructors_take_pytorchs_arguments_with_its_defaults(name):
    ours, theirs = shared_arguments(getattr(nn, name), getattr(peers.torch().nn, name))
    assert ours == theirs
    assert len(ours) >= len(inspect.signature(getattr(nn, name)).parameters) - 1  # bias= is new to norms


def functional_form(layer: nn.Module, x: minicnn.Tensor) -> minicnn.Tensor:
    """What a layer in evaluation computes, written with ``nn.functional``."""
    s = layer
    forms = {
        nn.Conv2d: lambda: F.conv2d(x, s.weight, s.bias, s.stride, s.padding, s.dilation, s.groups),
        nn.Linear: lambda: F.linear(x, s.weight, s.bias),
        nn.Identity: lambda: x,
        nn.Flatten: lambda: x.flatten(s.start_dim, s.end_dim),
        nn.Unflatten: lambda: x.reshape(2, 2, 2, 9, 8),
        nn.BatchNorm1d: lambda: norm(),
        nn.BatchNorm2d: lambda: norm(),
        nn.GroupNorm: lambda: F.group_norm(x, s.num_groups, s.weight, s.bias, s.eps),
        nn.LocalResponseNorm: lambda: F.local_response_norm(x, s.size, s.alpha, s.beta, s.k),
        nn.MaxPool2d: lambda: F.max_pool2d(x, s.kernel_size, s.stride, s.padding, s.dilation, ceil_mode=s.ceil_mode),
        nn.AvgPool2d: lambda: F.avg_pool2d(
            x,
            s.kernel_size,
            s.stride,
            s.padding,
            ceil_mode=s.ceil_mode,
            count_include_pad=s.count_include_pad,
            divisor_override=s.divisor_override,
        ),
        nn.AdaptiveAvgPool2d: lambda: F.adaptive_avg_pool2d(x, s.output_size),
        nn.ReLU: lambda: F.relu(x, inplace=True),
        nn.LeakyReLU: lambda: F.leaky_relu(x, s.negative_slope, inplace=True),
        nn.ReLU6: lambda: F.relu6(x, inplace=True),
        nn.SiLU: lambda: F.silu(x, inplace=True),
        nn.Hardtanh: lambda: F.hardtanh(x, s.min_val, s.max_val, inplace=True),
        nn.Hardswish: lambda: F.hardswish(x, inplace=True),
        nn.Hardsigmoid: lambda: F.hardsigmoid(x, inplace=True),
        nn.Sigmoid: lambda: F.sigmoid(x),
        nn.Tanh: lambda: F.tanh(x),
        nn.Softmax: lambda: F.softmax(x, dim=s.dim),
        nn.LogSoftmax: lambda: F.log_softmax(x, dim=s.dim),
        nn.Dropout: lambda: F.dropout(x, s.p, training=False),
        nn.Dropout2d: lambda: F.dropout2d(x, s.p, training=False),
    }

    def norm() -> minicnn.Tensor:
        return F.batch_norm(
            x,
            s.running_mean,
            s.running_var,
            s.weight,
            s.bias,
            training=s.running_mean is None,
            eps=s.eps,
        )

    return forms[type(layer)]()


@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=IDS)
def test_a_layer_is_its_function(build, shape):
    layer = build(nn).eval()
    shake(layer)
    x = minicnn.Tensor(numbers(shape, "float32"))
    before = x.numpy().copy()
    with minicnn.no_grad():
        y = layer(x)
        assert np.array_equal(y.numpy(), functional_form(layer, x).numpy())
    assert str(y.dtype) == "float32"
    assert np.array_equal(x.numpy(), before)  # inplace=True computes out of place


def test_dtype_of_a_layer():
    assert {str(p.dtype) for p in nn.Conv2d(2, 2, 1, dtype=minicnn.float64).parameters()} == {"float64"}
    norm = nn.BatchNorm2d(2, dtype=minicnn.float64, device="cpu")
    assert [str(t.dtype) for t in norm.state_dict().values()] == ["float64"] * 4 + ["int64"]
    before = minicnn.get_default_dtype()
    try:
        minicnn.set_default_dtype(minicnn.float64)
        assert str(nn.Linear(2, 2).weight.dtype) == "float64"
        assert str(nn.GroupNorm(1, 2).weight.dtype) == "float64"
    finally:
        minicnn.set_default_dtype(before)


def test_the_smallest_layers_there_are():
    one_pixel = minicnn.Tensor(np.ones((2, 1, 1, 1), np.float32))
    for layer in (nn.Conv2d(1, 1, 1), nn.LocalResponseNorm(1), nn.GroupNorm(1, 1), nn.MaxPool2d(1)):
        assert layer(one_pixel).shape == (2, 1, 1, 1)
    assert nn.BatchNorm2d(1)(one_pixel).shape == (2, 1, 1, 1)
    empty, nothing = nn.Linear(0, 2), nn.Linear(2, 0)
    assert np.array_equal(empty(minicnn.zeros(3, 0)).detach().numpy(), np.tile(empty.bias.array, (3, 1)))
    assert nothing(minicnn.zeros(3, 2)).shape == (3, 0)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Conv2d(3, 4, 3), (1, 4, 8, 8), "expected 3 input channels, got 4"),
        (nn.Conv2d(3, 4, 3), (8, 8), "Conv2d: "),
        (nn.Conv2d(3, 4, 9), (1, 3, 8, 8), "Conv2d: "),
        (nn.Linear(3, 4), (1, 4), "expected 3 input features, got 4"),
        (nn.BatchNorm2d(3), (1, 3), r"expected a 4-D \(N, C, H, W\) input, got shape \(1, 3\)"),
        (nn.BatchNorm2d(3), (2, 4, 5, 5), "BatchNorm2d: .*3.*4"),
        (nn.BatchNorm1d(3), (2, 3, 5, 5), r"expected a 2-D \(N, C\) or 3-D \(N, C, L\) input"),
        (nn.GroupNorm(2, 4), (2, 6, 5, 5), "GroupNorm: .*6"),
        (nn.MaxPool2d(3), (1, 3, 2, 2), "MaxPool2d: "),
        (nn.AvgPool2d(3), (5,), "AvgPool2d: "),
        (nn.AdaptiveAvgPool2d(1), (5,), "AdaptiveAvgPool2d: "),
    ],
    ids=repr,
)
def test_wrong_inputs_are_shape_errors_with_the_layers_name(layer, shape, message):
    with pytest.raises(ShapeError, match=message) as caught:
        layer(minicnn.Tensor(np.zeros(shape, np.float32)))
    assert str(caught.value).startswith(f"{type(layer).__name__}: ")
    assert str(shape) in str(caught.value)
