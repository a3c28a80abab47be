"""Unusual input, operation by operation, beside PyTorch: dtypes, arrays instead of tensors, whole numbers, devices."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.nn import functional as F
from minicnn.ops import guards
from tests.library.support import peers

torch = peers.torch()

MATRIX = np.array([[4, 1, 1, 7, 3], [6, 2, 8, 0, 0], [5, 3, 4, 1, 2]])
IMAGES = np.random.default_rng(0).integers(0, 6, (2, 4, 5, 5))
DTYPES = ("bool", "uint8", "int8", "int64", "float16", "float32")


def functional(name, *args, **options):
    return lambda lib, x: getattr(lib.nn.functional, name)(x, *args, **options)


def method(name, *args, **options):
    return lambda lib, x: getattr(x, name)(*args, **options)


def filled(lib, shape, x, value=1):
    return lib.tensor(np.full(shape, value, str(x.dtype).removeprefix("torch.")))


def in_place(statement):
    """What is left in a tensor after ``statement`` about ``y``; it must be the same tensor."""

    def run(lib, x):
        y = x.clone()
        names = {"y": y, "lib": lib}
        exec(statement, names)
        assert names["y"] is y
        return y

    return run


ACTIVATIONS = "relu relu6 silu hardsigmoid hardswish leaky_relu sigmoid tanh"
METHODS = """exp log sqrt abs sin sign round floor ceil neg sum mean var std prod
    max amax argmax argmin all any norm isnan logical_not square"""
ALONG = "softmax log_softmax logsumexp cumsum all mean var"
ON_MATRICES = {
    **{name: functional(name) for name in ACTIVATIONS.split()},
    **{name: method(name) for name in METHODS.split()},
    **{f"{name}(1)": method(name, 1) for name in ALONG.split()},
    **{f"norm({p})": method("norm", p) for p in (0, 1, 3, float("inf"), -float("inf"))},
    "topk": lambda lib, x: x.topk(2)[0],
    "sorted": lambda lib, x: lib.sort(x, dim=1)[0],
    "sum of large": lambda lib, x: (x * 0 + 100).sum(0),
    "norm of large": lambda lib, x: (x * 50).norm(),
    "var of large": lambda lib, x: (x * 50).var(),
    "logsumexp of large": lambda lib, x: (x * 30).logsumexp(1),
    "hardtanh": functional("hardtanh"),
    "cross_entropy": lambda lib, x: lib.nn.functional.cross_entropy(x, lib.tensor([0, 2, 4])),
    "nll_loss": lambda lib, x: lib.nn.functional.nll_loss(x, lib.tensor([0, 2, 4])),
    "mse_loss": lambda lib, x: lib.nn.functional.mse_loss(x, x),
    "labels": lambda lib, x: lib.nn.functional.cross_entropy(lib.ones(3, 9), x[:, 0]),
    "one_hot": functional("one_hot"),
    "linear": lambda lib, x: lib.nn.functional.linear(x, filled(lib, (2, 5), x)),
    "matmul": lambda lib, x: x @ x.t(),
    "masked_fill(9)": lambda lib, x: x.masked_fill(x > 2, 9),
    "masked_fill(1.5)": lambda lib, x: x.masked_fill(x > 2, 1.5),
    "clamp(1, 3)": method("clamp", 1, 3),
    "clamp(1.5)": method("clamp", 1.5),
    "index_select": lambda lib, x: lib.arange(20).index_select(0, x[0]),
    **{
        text: eval(f"lambda lib, x: {text}")
        for text in (
            *("x + 1", "x + 300", "x * 2.5", "x * -1", "x - 1", "1 - x", "x - x", "x / 2", "x / 0", "x + True"),
            *(
                "x // 2",
                "x // -2",
                "x // 2.5",
                "x % 3",
                "x % -3",
                "x % 2.5",
                "7 // (x + 1)",
                "x // 0",
                "x % 0",
                "x // x",
            ),
            *("x ** 2", "x ** -1", "x ** 0.5", "2 ** x", "2.5 ** x", "x ** x"),
            *("~x", "x & x", "x & 3", "x | 3", "x ^ 3", "3 ^ x", "x << 2", "x >> 1"),
            *("x < 2.5", "x > -1", "x == 300", "x * 100 * 100 * 100"),
            *("lib.add(x, x, alpha=2.5)", "lib.isclose(x, x)", "x == x.float()", "lib.maximum(x, x)"),
        )
    },
    **{
        text: in_place(text)
        for text in (
            *("y += 1", "y += 1.5", "y -= 1", "y *= 2", "y *= 1.5", "y /= 2", "y //= 2", "y %= 2", "y **= 2"),
            *("y &= 1", "y |= 1", "y ^= 1", "y <<= 1", "y >>= 1", "y[0] = 1.5", "y.fill_(1.5)", "y.sqrt_()"),
            *(
                "y += lib.ones(3, 5)",
                "y += lib.ones(3, 5, dtype=lib.int64)",
                "y.masked_fill_(y > 2, 1.5)",
                "y.floor_()",
            ),
        )
    },
}
ON_IMAGES = {
    "batch_norm": functional("batch_norm", None, None, training=True),
    "batch_norm of large": lambda lib, x: lib.nn.functional.batch_norm(x * 100, None, None, training=True),
    "batch_norm, evaluation": lambda lib, x: lib.nn.functional.batch_norm(x, lib.zeros(4), lib.ones(4)),
    "group_norm": functional("group_norm", 2),
    "group_norm of large": lambda lib, x: lib.nn.functional.group_norm(x * 100, 2),
    "local_response_norm": functional("local_response_norm", 3),
    "max_pool2d": functional("max_pool2d", 2),
    "avg_pool2d": functional("avg_pool2d", 2),
    "adaptive_avg_pool2d": functional("adaptive_avg_pool2d", 2),
    "conv2d": lambda lib, x: lib.nn.functional.conv2d(x, filled(lib, (2, 4, 3, 3), x)),
    "conv2d, other weight": lambda lib, x: lib.nn.functional.conv2d(x, lib.ones(2, 4, 3, 3)),
}
CALLS = {**{k: (f, MATRIX) for k, f in ON_MATRICES.items()}, **{k: (f, IMAGES) for k, f in ON_IMAGES.items()}}

# What PyTorch computes and minicnn refuses, and the other way round: docs/differences.md gives the reasons.
WE_REFUSE = {
    *(("relu6", dtype) for dtype in ("uint8", "int8", "int64")),
    *(("hardtanh", dtype) for dtype in ("int8", "int64")),
    *(("avg_pool2d", "int64"), ("local_response_norm", "int64"), ("square", "bool"), ("sign", "bool")),
    *(("labels", "int8"),),
}
PYTORCH_REFUSES = {("local_response_norm", "float16"), ("labels", "int8")}


def outcome(lib, call, array):
    try:
        result = call(lib, lib.tensor(array))
    except (TypeError, ValueError, IndexError, RuntimeError, ZeroDivisionError) as error:
        return error
    return np.asarray(result.numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_every_dtype_means_what_it_means_in_pytorch(name, dtype):
    call, values = CALLS[name]
    array = (values % 2 if dtype == "bool" else values).astype(dtype)
    theirs, ours = outcome(torch, call, array), outcome(minicnn, call, array)
    if isinstance(ours, Exception):
        assert isinstance(theirs, Exception) or (name, dtype) in WE_REFUSE, ours
        return
    if isinstance(theirs, Exception):
        assert (name, dtype) in PYTORCH_REFUSES, f"PyTorch refuses: {theirs}"
        return
    assert (name, dtype) not in WE_REFUSE
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(ours.astype("f8"), theirs.astype("f8"), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(guards.KINDS))
def test_the_message_names_the_function_and_the_dtype(name):
    x = minicnn.ones(1, 4, 4, 4) > 0
    arguments = {"topk": (1,), "softmax": (1,), "log_softmax": (1,), "adaptive_avg_pool2d": (1,), "avg_pool2d": (2,)}
    arguments |= {"batch_norm": (None, None), "group_norm": (2,), "local_response_norm": (3,), "deform_conv2d": (x, x)}
    more = arguments.get(name, (x,) if name in ("cross_entropy", "nll_loss", "conv2d", "linear", "matmul") else ())
    with pytest.raises(TypeError, match=f"^{name}: expected .*, got bool"):
        getattr(minicnn.ops, name)(x, *more)


def test_half_precision_is_summed_in_float32_forward_and_backward():
    values = np.full(1000, 200, "float16")
    x = minicnn.tensor(values, requires_grad=True)
    y = x.norm()
    y.backward()
    assert (y.dtype, x.grad.dtype) == (minicnn.float16, minicnn.float16)
    np.testing.assert_allclose(y.item(), 200 * 1000**0.5, rtol=1e-3)
    np.testing.assert_allclose(x.grad.numpy(), 1000**-0.5, rtol=1e-3)
    assert x.sum(dtype=minicnn.float32).dtype == minicnn.float32


def test_dropout_of_integers_is_scaled_in_floats():
    minicnn.manual_seed(0)
    dropped = F.dropout(minicnn.ones(100, dtype=minicnn.int64))
    assert dropped.dtype == minicnn.float32
    assert set(dropped.tolist()) == {0.0, 2.0}


def test_numpys_numbers_are_pythons_numbers_in_operators():
    x = minicnn.tensor([1, 2])
    assert (x * np.float64(2.5)).dtype == minicnn.float32
    assert (minicnn.ones(2) * np.float64(2.5)).dtype == minicnn.float32
    assert (x + np.int8(3)).dtype == minicnn.int64


# ---- arrays and lists where a tensor is expected ----------------------------------------------------------------

ARRAY, IMAGE = np.ones((2, 3), "f4"), np.ones((1, 2, 4, 4), "f4")
T = minicnn.tensor
NOT_TENSORS = {
    "cross_entropy target": (lambda v: F.cross_entropy(T(ARRAY), v), np.array([1, 2])),
    "cross_entropy weight": (lambda v: F.cross_entropy(T(ARRAY), T([1, 2]), v), [1.0, 2.0, 3.0]),
    "nll_loss target": (lambda v: F.nll_loss(T(ARRAY), v), [1, 2]),
    "mse_loss target": (lambda v: F.mse_loss(T(ARRAY), v), ARRAY),
    "l1_loss input": (lambda v: F.l1_loss(v, T(ARRAY)), ARRAY),
    "conv2d input": (lambda v: nn.Conv2d(2, 3, 3)(v), IMAGE),
    "conv2d bias": (lambda v: F.conv2d(T(IMAGE), minicnn.ones(1, 2, 3, 3), v), np.ones(1, "f4")),
    "linear input": (lambda v: nn.Linear(3, 2)(v), ARRAY),
    "flatten input": (lambda v: nn.Flatten()(v), ARRAY),
    "batch_norm input": (lambda v: nn.BatchNorm2d(2)(v), IMAGE),
    "relu input": (lambda v: F.relu(v), [1.0]),
    "softmax input": (lambda v: minicnn.softmax(v, 0), [1.0]),
    "max_pool2d input": (lambda v: F.max_pool2d(input=v, kernel_size=2), IMAGE),
    "gather index": (lambda v: T(ARRAY).gather(1, v), np.zeros((2, 1), int)),
    "sum input": (lambda v: minicnn.sum(v), 3.0),
    "one_hot tensor": (lambda v: F.one_hot(v), [1, 2]),
    "equal other": (lambda v: minicnn.equal(T(ARRAY), v), ARRAY),
    "like input": (lambda v: minicnn.zeros_like(v), ARRAY),
}


@pytest.mark.parametrize("name", NOT_TENSORS)
def test_what_is_no_tensor_is_named(name):
    function, argument = name.split()
    call, value = NOT_TENSORS[name]
    with pytest.raises(TypeError, match=f"^{function}: expected a Tensor as '{argument}', got [a-z.]+: minicnn.tensor"):
        call(value)


def test_a_member_of_a_sequence_is_named_too():
    with pytest.raises(TypeError, match=r"cat: expected a Tensor as 'tensors\[1\]', got numpy.ndarray"):
        minicnn.cat([T(ARRAY), ARRAY])


# ---- whole numbers of every origin ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.narrow(0, 2, 2), IndexError),
        (lambda x: x.narrow(0, -4, 1), IndexError),
        (lambda x: x.narrow(0, 0, -1), ValueError),
        (lambda x: x.chunk(0), ValueError),
        (lambda x: x.chunk(-2), ValueError),
        (lambda x: x.split(0), ValueError),
        (lambda x: x.split(-1), ValueError),
        (lambda x: x.split([4, -1]), ShapeError),
        (lambda x: x.sum().chunk(1), ShapeError),
        (lambda x: x.unbind(2), IndexError),
        (lambda x: x.sort(3), IndexError),
        (lambda x: x.topk(1, 5), IndexError),
        (lambda x: x.softmax(2), IndexError),
        (lambda x: x.all(2), IndexError),
        (lambda x: x.cumsum(2), IndexError),
        (lambda x: minicnn.stack([x], 4), IndexError),
        (lambda x: x.gather(2, minicnn.zeros(3, 4, dtype=minicnn.int64)), IndexError),
        (lambda x: x.gather(0, minicnn.zeros(3, 5, dtype=minicnn.int64)), ShapeError),
        (lambda x: x.gather(0, minicnn.zeros(3, dtype=minicnn.int64)), ShapeError),
        (lambda x: x[:0].max(), ShapeError),
        (lambda x: x[:0].argmax(0), ShapeError),
        (lambda x: x[:0].norm(float("inf")), ShapeError),
        (lambda x: F.adaptive_avg_pool2d(x[None, None], (1, 1, 1)), ValueError),
        (lambda x: x[x.to(minicnn.uint8)], TypeError),
        (lambda x: 2.0 & x, TypeError),
    ],
)
def test_what_does_not_fit_is_one_clear_error(call, error):
    with pytest.raises(error) as caught:
        call(minicnn.ones(3, 4))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value.__context__, (ZeroDivisionError, AttributeError))


def test_a_single_number_has_a_running_sum_and_narrow_counts_from_the_end():
    assert minicnn.tensor(3).cumsum(0).item() == 3
    x = minicnn.arange(5)
    assert x.narrow(0, -2, 2).tolist() == torch.arange(5).narrow(0, -2, 2).tolist()


# ---- devices and dtypes by name ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mps", "gpu", "xpu", "cuda:x", "float65", -1, 3.5])
@pytest.mark.parametrize(
    "move",
    [
        lambda name: minicnn.zeros(2).to(name),
        lambda name: minicnn.zeros(2).to(device=name),
        lambda name: nn.Linear(2, 2).to(name),
        lambda name: minicnn.tensor([1.0], device=name),
        lambda name: minicnn.zeros(2, device=name),
        lambda name: minicnn.zeros_like(minicnn.zeros(2), device=name),
        lambda name: nn.Linear(2, 2, device=name),
    ],
)
def test_a_device_that_does_not_exist_is_named_as_one(move, name):
    with pytest.raises(ValueError, match="expected a device like 'cpu'"):
        move(name)


def test_the_arguments_of_to_are_told_apart():
    x = minicnn.ones(2)
    assert x.to("float64").dtype == x.to(np.float64).dtype == x.to("cpu", "float64").dtype == minicnn.float64
    assert minicnn.device(1) == minicnn.device("cuda:1")
    for dtype in ("complex64", "S3"):
        with pytest.raises(TypeError, match="expected numbers"):
            x.to(dtype=dtype)


# ---- targets of losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [("mse_loss", "mse_loss"), ("l1_loss", "l1_loss")])
def test_broadcast_targets_warn_as_in_pytorch(ours, theirs):
    input, target = np.random.default_rng(0).random((8, 1)), np.random.default_rng(1).random(8)
    with pytest.warns(UserWarning, match="this is likely a mistake") as caught:
        got = getattr(F, ours)(T(input), T(target))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(torch.nn.functional, theirs)(torch.tensor(input), torch.tensor(target))
    np.testing.assert_allclose(got.item(), expected.item())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(F, ours)(T(input), T(input))


SCORES = [(4, 3), (3,), (0, 3), (4, 3, 2), (2, 3, 4, 4), (4, 1)]
LABELS = [(4,), (), (1,), (3,), (5,), (4, 1), (2, 2), (0,), (4, 2), (2, 4, 4), (2, 4, 5), (4, 4)]
VALUES = [[0, 1, 2, 0], [0, 1, 5, 0], [0, 1, -1, 0], [0, 1, -100, 0], [-100] * 4]
OPTIONS = [
    {},
    {"weight": [0.5, 2.0, 1.0]},
    {"weight": [0.0, 0.0, 0.0]},
    {"weight": [0.0, 1.0, 1.0]},
    {"weight": [1.0, 1.0]},
    {"ignore_index": 0},
    {"ignore_index": 5},
    {"reduction": "sum"},
    {"reduction": "none"},
]


def loss_and_gradient(lib, name, scores, target, options):
    x = lib.tensor(scores, requires_grad=True)
    options = {k: lib.tensor(v, dtype=lib.float64) if k == "weight" else v for k, v in options.items()}
    try:
        loss = getattr(lib.nn.functional, name)(x, lib.tensor(target), **options)
        loss.sum().backward()
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # one PyTorch notices in backward only
        return error
    return loss.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("shape", SCORES)
def test_losses_take_and_refuse_what_pytorch_does(name, shape, options):
    scores = np.random.default_rng(0).standard_normal(shape)
    targets = [np.zeros(labels, "int64") for labels in LABELS] + [np.array(values) for values in VALUES]
    for target in [*targets, np.array([1.0, 0, 1, 0]), np.array([True] * 4), np.abs(scores)]:
        theirs = loss_and_gradient(torch, name, scores, target, options)
        ours = loss_and_gradient(minicnn, name, scores, target, options)
        if isinstance(theirs, Exception):
            assert isinstance(ours, (ShapeError, TypeError, ValueError, IndexError)), (target, ours)
            continue
        assert not isinstance(ours, Exception), (target, ours)
        for got, expected in zip(ours, theirs, strict=True):
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, err_msg=str(target))


# ---- nothing ----------------------------------------------------------------------------------------------------

EMPTY = {
    "Conv2d": (lambda nn: nn.Conv2d(4, 8, 3, padding=1), (0, 4, 6, 6)),
    "Conv2d, 1 x 1": (lambda nn: nn.Conv2d(4, 8, 1), (0, 4, 6, 6)),
    "Conv2d, depthwise": (lambda nn: nn.Conv2d(4, 4, 3, stride=2, groups=4), (0, 4, 6, 6)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4), (0, 4, 6, 6)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(4), (0, 4)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), (0, 4, 6, 6)),
    "GroupNorm, one value": (lambda nn: nn.GroupNorm(4, 4), (1, 4, 1, 1)),
    "GroupNorm, one value each": (lambda nn: nn.GroupNorm(4, 4), (2, 4)),
    "BatchNorm2d, one value": (lambda nn: nn.BatchNorm2d(4), (1, 4, 1, 1)),
    "LocalResponseNorm": (lambda nn: nn.LocalResponseNorm(3), (0, 4, 6, 6)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (0, 4, 6, 6)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(2), (0, 4, 6, 6)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((2, None)), (0, 4, 6, 6)),
    "AdaptiveAvgPool2d, no rows": (lambda nn: nn.AdaptiveAvgPool2d(1), (2, 4, 0, 6)),
    "Linear": (lambda nn: nn.Linear(5, 3), (2, 0, 5)),
    "Linear, no features": (lambda nn: nn.Linear(0, 3), (2, 0)),
    "Linear, no outputs": (lambda nn: nn.Linear(3, 0), (2, 3)),
    "Flatten": (lambda nn: nn.Flatten(), (0, 4, 6, 6)),
    "Softmax": (lambda nn: nn.Softmax(0), (0, 3)),
    "LogSoftmax": (lambda nn: nn.LogSoftmax(1), (2, 0)),
    "Dropout2d": (lambda nn: nn.Dropout2d(), (0, 4, 6, 6)),
    "SiLU": (lambda nn: nn.SiLU(), (0, 4)),
}


def pass_through(lib, make, shape, training):
    layer = make(lib.nn).train(training)
    x = lib.zeros(*shape).requires_grad_()
    try:
        y = layer(x)
    except (ValueError, RuntimeError) as error:
        return type(error) in (ShapeError, ValueError, RuntimeError)
    y.sum().backward()
    state = {key: value.tolist() for key, value in layer.state_dict().items() if "running" in key or "tracked" in key}
    gradients = [tuple(p.grad.shape) for p in layer.parameters()]
    return (
        tuple(y.shape),
        y.detach().numpy().tolist() if "Norm" in str(layer) else None,
        tuple(x.grad.shape),
        gradients,
        state,
    )


@pytest.mark.filterwarnings("ignore:Initializing zero-element", "ignore:Mean of empty slice")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", EMPTY)
def test_empty_batches_pass_where_they_pass_in_pytorch(name, training):
    assert pass_through(minicnn, *EMPTY[name], training) == pass_through(torch, *EMPTY[name], training)


def test_deformable_convolution_and_a_whole_network_take_an_empty_batch():
    layer = nn.DeformConv2d(4, 3, 3)
    x = minicnn.zeros(0, 4, 6, 6, requires_grad=True)
    layer(x, minicnn.zeros(0, 18, 4, 4), minicnn.zeros(0, 9, 4, 4)).sum().backward()
    assert x.grad.shape == (0, 4, 6, 6) and layer.weight.grad.numpy().sum() == 0
    assert minicnn.models.resnet20().eval()(minicnn.zeros(0, 3, 32, 32)).shape == (0, 10)


def test_the_sum_of_no_exponentials():
    x = minicnn.zeros(0, 3, requires_grad=True)
    y = x.logsumexp(0)
    assert y.tolist() == [-np.inf] * 3
    y.sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2, dtype=minicnn.float64), nn.GroupNorm(2, 2, dtype=minicnn.float64)])
def test_a_channel_of_equal_values_gives_the_bias_and_no_gradient(layer):
    layer.bias.data.fill_(3)
    x = minicnn.full((2, 2, 4, 4), 0.7, dtype=minicnn.float64, requires_grad=True)
    y = layer(x)
    (y * minicnn.randn(2, 2, 4, 4, dtype=minicnn.float64)).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), 3, atol=1e-9)
    sums = x.grad.numpy().sum((0, 2, 3)) if isinstance(layer, nn.BatchNorm2d) else x.grad.numpy().sum((2, 3))
    np.testing.assert_allclose(sums, 0, atol=1e-8)


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "sign"])
def test_steps_have_gradient_zero(name):
    for lib in (minicnn, torch):
        x = lib.tensor([-1.5, 0.0, 2.5], requires_grad=True)
        y = getattr(x, name)()
        assert y.requires_grad
        y.sum().backward()
        assert x.grad.tolist() == [0, 0, 0]
