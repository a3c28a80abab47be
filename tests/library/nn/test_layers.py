"""The layers: each equals its function and PyTorch's layer, prints like it, and checks its arguments."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.nn import functional as F
from tests.library.support import peers

IMAGE = (2, 4, 9, 8)

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


def numbers(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype) * 3


def shake(module: nn.Module) -> None:
    """Parameters and statistics that are not their defaults."""
    rng = np.random.default_rng(5)
    state = {
        key: rng.uniform(0.5, 1.5, tensor.shape) if tensor.dtype.kind == "f" else tensor
        for key, tensor in module.state_dict().items()
    }
    module.load_state_dict(state)


def twins(build):
    """The same layer with the same numbers, ours and PyTorch's, both float64."""
    torch = peers.torch()
    ours, theirs = build(nn).double(), build(torch.nn).double()
    shake(ours)
    theirs.load_state_dict({key: torch.tensor(t.numpy()) for key, t in ours.state_dict().items()})
    return torch, ours, theirs


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


def shared_arguments(ours, theirs) -> tuple[list[tuple[str, object]], list[tuple[str, object]]]:
    """Names and defaults, in order, of the arguments that both functions have."""
    mine, others = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    return [(p.name, p.default) for p in mine.values() if p.name in others], [
        (p.name, p.default) for p in others.values() if p.name in mine
    ]


LAYER_NAMES = sorted({type(build(nn)).__name__ for build, _ in LAYERS} | {"CrossEntropyLoss", "NLLLoss"})


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_constructors_take_pytorchs_arguments_with_its_defaults(name):
    ours, theirs = shared_arguments(getattr(nn, name), getattr(peers.torch().nn, name))
    assert ours == theirs
    assert len(ours) >= len(inspect.signature(getattr(nn, name)).parameters) - 1  # bias= is new to norms


# PyTorch compiles these, and compiled functions show no signature.
COMPILED = ("avg_pool2d", "conv2d", "linear", "max_pool2d", "one_hot")


@pytest.mark.parametrize("name", sorted(set(F.__all__) - {"deform_conv2d", *COMPILED}))
def test_functions_take_pytorchs_arguments_with_its_defaults(name):
    function = getattr(peers.torch().nn.functional, name)
    if inspect.isbuiltin(function):
        pytest.skip("PyTorch compiles this function, which then shows no signature")
    ours, theirs = shared_arguments(getattr(F, name), function)
    assert ours == theirs
    assert len(ours) == len(set(inspect.signature(getattr(F, name)).parameters) - {"generator"})


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


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax], ids=lambda f: f.__name__)
def test_softmax_in_another_dtype(function):
    x = minicnn.Tensor(numbers((3, 4), "float32"))
    assert str(function(x, 1).dtype) == "float32"
    wide = function(x, 1, dtype=minicnn.float64)
    assert str(wide.dtype) == "float64"
    assert np.array_equal(wide.numpy(), function(x.double(), 1).numpy())


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


# -------------------------------------------------------------------------------------- batch norm's statistics


def test_batch_norm_counts_batches_and_averages_them_without_momentum():
    norm = nn.BatchNorm2d(3, momentum=None)
    batches = [numbers((4, 3, 5, 5), "float32") + shift for shift in (0, 2, 7)]
    for batch in batches:
        norm(minicnn.Tensor(batch))
    assert norm.num_batches_tracked.item() == 3
    means = np.mean([batch.mean(axis=(0, 2, 3)) for batch in batches], axis=0)
    variances = np.mean([batch.var(axis=(0, 2, 3), ddof=1) for batch in batches], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), means, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), variances, rtol=1e-5)


def test_batch_norm_in_evaluation_keeps_its_statistics():
    norm = nn.BatchNorm2d(3).eval()
    before = {key: tensor.numpy().copy() for key, tensor in norm.state_dict().items()}
    norm(minicnn.Tensor(numbers((4, 3, 5, 5), "float32")))
    for key, tensor in norm.state_dict().items():
        assert np.array_equal(tensor.numpy(), before[key])


def test_batch_norm_can_stop_tracking():
    torch = peers.torch()
    x = numbers((4, 3, 5, 5))
    for training in (True, False):
        ours, theirs = nn.BatchNorm2d(3).double(), torch.nn.BatchNorm2d(3).double()
        for norm, batch in ((ours, minicnn.Tensor(x)), (theirs, torch.tensor(x))):
            norm(batch)
            norm.track_running_stats = False
            norm.train(training)
        np.testing.assert_allclose(
            ours(minicnn.Tensor(x + 1)).detach().numpy(), theirs(torch.tensor(x + 1)).detach().numpy()
        )
        for key, tensor in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key].numpy(), tensor.numpy(), err_msg=key)


def test_norm_layers_reset():
    norm = nn.BatchNorm2d(2)
    shake(norm)
    norm(minicnn.Tensor(numbers((4, 2, 3, 3), "float32")))
    norm.reset_parameters()
    assert [tensor.numpy().tolist() for tensor in norm.state_dict().values()] == [
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
        0,
    ]
    group = nn.GroupNorm(1, 2)
    shake(group)
    group.reset_parameters()
    assert group.weight.tolist() == [1, 1] and group.bias.tolist() == [0, 0]


def test_norm_layers_without_a_shift():
    for layer in (nn.BatchNorm2d(4, bias=False), nn.GroupNorm(2, 4, bias=False)):
        assert [name for name, _ in layer.named_parameters()] == ["weight"]
        assert "affine=True, bias=False" in repr(layer)
        layer(minicnn.Tensor(numbers(IMAGE, "float32")))


# ------------------------------------------------------------------------------------------------------ dropout


def test_dropout_zeroes_a_share_and_scales_the_rest():
    minicnn.manual_seed(0)
    x = minicnn.Tensor(np.ones((100, 100), np.float32))
    y = nn.Dropout(0.3)(x).numpy()
    assert np.allclose(np.unique(y), [0, 1 / 0.7])
    assert abs((y == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / y.size)
    assert nn.Dropout(0.3).eval()(x) is x or np.array_equal(nn.Dropout(0.3).eval()(x).numpy(), x.numpy())


def test_dropout2d_drops_whole_channels():
    minicnn.manual_seed(0)
    y = nn.Dropout2d(0.4)(minicnn.Tensor(np.ones((50, 20, 3, 3), np.float32))).numpy()
    maps = y.reshape(1000, 9)
    assert np.all(maps == maps[:, :1])
    assert abs((maps[:, 0] == 0).mean() - 0.4) < 5 * np.sqrt(0.4 * 0.6 / 1000)


def test_dropout_follows_the_seed():
    x = minicnn.Tensor(np.ones(50, np.float32))
    layer = nn.Dropout()
    minicnn.manual_seed(1)
    first = layer(x).numpy()
    minicnn.manual_seed(1)
    assert np.array_equal(layer(x).numpy(), first)
    assert not np.array_equal(layer(x).numpy(), first)


# ------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {"weight": [0.5, 1.0, 2.0, 1.5], "ignore_index": 2}),
        ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}),
        ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": [0.5, 1.0, 2.0, 1.5]}),
        ("NLLLoss", {}),
        ("NLLLoss", {"weight": [0.5, 1.0, 2.0, 1.5], "ignore_index": 0}),
        ("MSELoss", {}),
        ("L1Loss", {}),
    ],
)
def test_losses_equal_pytorch(name, options, reduction):
    torch = peers.torch()
    x = numbers((6, 4))
    target = np.array([0, 1, 2, 3, 1, 0]) if name in ("CrossEntropyLoss", "NLLLoss") else numbers((6, 4))[::-1]
    results = []
    for library, wrap in ((nn, minicnn.tensor), (torch.nn, torch.tensor)):
        kept = {k: wrap(np.array(v)) if k == "weight" else v for k, v in options.items()}
        loss = getattr(library, name)(reduction=reduction, **kept)
        assert list(loss.state_dict()) == (["weight"] if "weight" in options else [])
        tensor = wrap(x)
        tensor.requires_grad_()
        value = loss(tensor, wrap(target.copy()))
        (value * 3).sum().backward()
        results.append((value.detach().numpy(), tensor.grad.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"in_channels \(=3\) .* divisible by groups \(=2\)"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, r"out_channels \(=3\) .* by groups \(=2\)"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, r"groups \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(0, 4, 3), ValueError, r"in_channels \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, 0), ValueError, r"kernel_size \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3)), ValueError, r"pair .* as kernel_size, got \(3, 3, 3\)"),
        (lambda: nn.Conv2d(4, 4, 2.5), TypeError, "integer as kernel_size, got 2.5"),
        (lambda: nn.Conv2d(4, 4, 3, stride=(1, 0)), ValueError, r"stride \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, 3, padding=-1), ValueError, r"padding \(=-1\) to be at least 0"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "as padding, got 'full'"),
        (lambda: nn.Conv2d(4, 4, 3, 2, "same"), ValueError, r"needs stride 1: with stride=\(2, 2\)"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="reflect"), ValueError, "'zeros'.* got 'reflect'"),
        (lambda: nn.Linear("8", 2), TypeError, "integer as in_features, got '8'"),
        (lambda: nn.Linear(8, -2), ValueError, r"out_features \(=-2\)"),
        (lambda: nn.BatchNorm2d(0), ValueError, r"num_features \(=0\)"),
        (lambda: nn.GroupNorm(3, 4), ValueError, r"num_channels \(=4\) .* by num_groups \(=3\)"),
        (lambda: nn.LocalResponseNorm(0), ValueError, r"size \(=0\)"),
        (lambda: nn.MaxPool2d((2, 0)), ValueError, r"kernel_size \(=0\)"),
        (lambda: nn.MaxPool2d(2, dilation=0), ValueError, r"dilation \(=0\)"),
        (lambda: nn.MaxPool2d(2, padding=-1), ValueError, r"padding \(=-1\)"),
        (lambda: nn.AvgPool2d(2, stride=0), ValueError, r"stride \(=0\)"),
        (lambda: nn.AdaptiveAvgPool2d(-1), ValueError, r"output_size \(=-1\)"),
        (lambda: nn.Dropout(1.5), ValueError, r"p \(=1.5\) to be between 0 and 1"),
        (lambda: nn.Hardtanh(1.0, 1.0), ValueError, r"min_val \(=1.0\) to be below max_val \(=1.0\)"),
        (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "as reduction, got 'max'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, r"label_smoothing \(=2\)"),
        (lambda: nn.CrossEntropyLoss(None, 5), TypeError, "positional"),
    ],
)
def test_constructors_check_and_quote_their_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()


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


# -------------------------------------------------------------------------------------------------------- utils


def gradients_of(parameters):
    return np.concatenate([p.grad.numpy().ravel() for p in parameters])


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_clip_grad_norm_equals_pytorch(norm_type, max_norm):
    torch = peers.torch()
    x = numbers((5, 4))
    _, ours, theirs = twins(lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    ours(minicnn.Tensor(x)).sum().backward()
    theirs(torch.tensor(x)).sum().backward()
    norm = nn.utils.clip_grad_norm_(ours.parameters(), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm, norm_type)
    assert norm.item() == pytest.approx(expected.item())
    np.testing.assert_allclose(gradients_of(ours.parameters()), gradients_of(list(theirs.parameters())), rtol=1e-9)


def test_clip_grad_norm_without_gradients_and_with_nan():
    layer = nn.Linear(2, 2)
    assert nn.utils.clip_grad_norm_(layer.parameters(), 1.0).item() == 0
    assert nn.utils.clip_grad_norm_(layer.parameters(), 1.0, float("inf")).item() == 0
    layer.bias.grad = minicnn.Tensor(np.array([3, 4], np.float32))
    assert nn.utils.clip_grad_norm_(layer.parameters(), 10.0).item() == 5  # the Euclidean norm by default
    layer.weight.grad = minicnn.Tensor(np.array([[np.nan, 1], [1, 1]], np.float32))
    with pytest.raises(RuntimeError, match="finite gradient norm, got nan"):
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0, error_if_nonfinite=True)
    assert np.isnan(nn.utils.clip_grad_norm_(layer.weight, 1.0).item())
    assert np.isnan(layer.weight.grad.numpy()).all()


def test_parameters_to_vector_and_back():
    net, other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    vector.sum().backward()
    assert np.all(net[1].weight.grad.numpy() == 1)
    nn.utils.vector_to_parameters(vector, other.parameters())
    for mine, copied in zip(net.parameters(), other.parameters(), strict=True):
        assert np.array_equal(mine.detach().numpy(), copied.detach().numpy())
        assert copied.is_leaf and not np.shares_memory(mine.array, copied.array)
    before = other[0].weight.array.copy()
    with pytest.raises(ValueError, match=r"vector of 13 numbers for these parameters, got \(12,\)"):
        nn.utils.vector_to_parameters(vector[1:] + 1, other.parameters())
    assert np.array_equal(other[0].weight.array, before)
