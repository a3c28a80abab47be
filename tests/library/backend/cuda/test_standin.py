"""minicnn on the stand-in for CuPy: every operation, every layer, and whatever else touches arrays."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minicnn
from minicnn import nn
from tests.library.support.cases import CASES, examples_of
from tests.library.support.cases.edges import EDGES
from tests.library.support.cuda.devices import assert_agrees
from tests.library.support.cuda.streams import syncs

EXAMPLES = 3
# Single precision cannot pass through float32 and stay as exact as float64.
DTYPES = {case.name: [np.float64] if case.name == "cast and back" else [np.float64, np.float32] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operation_agrees_with_the_cpu(cuda, case):
    for arrays, options in examples_of(case, EXAMPLES):
        for dtype in DTYPES[case.name]:
            assert_agrees(case.run, arrays, options, "cuda", dtype)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_every_edge_agrees_with_the_cpu(cuda, name):
    run, *arrays = EDGES[name]
    assert_agrees(run, tuple(map(np.asarray, arrays)), {}, "cuda")


# --- what is not in the table of operations ----------------------------------------------------------------------

IMAGE, ROWS = (2, 4, 6, 6), (3, 8)
LAYERS = {
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), IMAGE),
    "Conv2d, depthwise": (lambda: nn.Conv2d(4, 8, 3, stride=2, groups=4), IMAGE),
    "DeformConv2d": (lambda: Deformed(), IMAGE),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(8), ROWS),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "BatchNorm2d, cumulative": (lambda: nn.BatchNorm2d(4, momentum=None), IMAGE),
    "BatchNorm2d, evaluated": (lambda: nn.BatchNorm2d(4).eval(), IMAGE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), IMAGE),
    "Linear": (lambda: nn.Linear(8, 5), ROWS),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1), IMAGE),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(4), IMAGE),
    "ReLU, SiLU, Sigmoid, Tanh, Softmax": (
        lambda: nn.Sequential(nn.ReLU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Softmax(1)),
        ROWS,
    ),
    "Flatten": (lambda: nn.Sequential(nn.Flatten(), nn.Identity()), IMAGE),
}


class Deformed(nn.Module):
    """A deformable convolution whose offsets another one predicts."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Conv2d(4, 2 * 9, 3, padding=1)
        self.conv = nn.DeformConv2d(4, 6, 3, padding=1)

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        return self.conv(x, self.offset(x))


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_agrees_with_the_cpu(cuda, name):
    make, shape = LAYERS[name]
    minicnn.manual_seed(0)
    here = make().double()
    there = copy.deepcopy(here).to("cuda")
    x = minicnn.randn(*shape, dtype=minicnn.float64)
    found = []
    for layer, device in ((here, "cpu"), (there, "cuda")):
        given = x.to(device).detach().requires_grad_()
        y = layer(given)
        (y * y).sum().backward()
        tensors = [y, given.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]
        found.append([tensor.detach().cpu().numpy() for tensor in tensors])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, 1e-6, 1e-9)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_the_expectation_and_the_seed(cuda, p, dtype):
    x = minicnn.ones(50, 401, dtype=dtype, device="cuda", requires_grad=True)
    minicnn.manual_seed(3)
    first, second = (nn.functional.dropout(x, p) for _ in range(2))
    minicnn.manual_seed(3)
    again = nn.functional.dropout(x, p)
    first.sum().backward()
    y, other = first.detach().cpu().numpy(), second.detach().cpu().numpy()
    np.testing.assert_array_equal(y, again.detach().cpu().numpy())
    np.testing.assert_array_equal(y, x.grad.cpu().numpy())
    kept = 0 if p == 1 else 1 / (1 - p)
    assert set(np.unique(y)) <= {0, dtype(kept)}
    assert abs((y == 0).mean() - p) < 0.02
    assert p in (0, 1) or (y != other).any()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clipping_agrees_with_the_cpu_and_does_not_wait(cuda, norm_type, max_norm):
    gradients = [np.random.default_rng(i).standard_normal((2, 3)) for i in range(3)]
    found = []
    for device in ("cpu", "cuda"):
        parameters = [minicnn.zeros(2, 3, dtype="float64", device=device) for _ in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = minicnn.tensor(gradient, device=device)
        with syncs.forbid():
            total = nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
        found.append([total.cpu().numpy(), *(p.grad.cpu().numpy() for p in parameters)])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, 1e-6)


def test_a_module_moves_there_and_back(cuda):
    minicnn.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    weight = net[0].weight
    before = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    net.to("cuda")
    assert net[0].weight is weight and {str(t.device) for t in net.state_dict().values()} == {"cuda:0"}
    np.testing.assert_array_equal(net.cuda().cpu()[0].weight.detach().numpy(), before["0.weight"])
    net.cuda().load_state_dict(before)
    nn.init.kaiming_normal_(net[0].weight)
    assert (net[0].weight.detach().cpu().numpy() != before["0.weight"]).all()
    net.load_state_dict({key: minicnn.tensor(value) for key, value in before.items()})
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.cpu().numpy(), before[key])


def test_gradients_travel_between_devices(cuda):
    x = minicnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x.to("cuda") * minicnn.tensor([2.0, 3.0, 4.0], device="cuda")).cpu()
    (y * y).sum().backward()
    assert str(y.device) == "cpu" and x.grad.tolist() == [8.0, 36.0, 96.0]
    with pytest.raises(minicnn.errors.DeviceError, match="one device"):
        x + x.to("cuda")


def test_writing_and_printing(cuda):
    x = minicnn.zeros(2, 3, device="cuda")
    assert x.device == minicnn.device("cuda:0") == x.to("cuda").device
    x[0] = [1.0, 2.0, 3.0]
    x[1] = np.array([4.0, 5.0, 6.0])
    x[:, 1] = minicnn.tensor([7.0, 8.0])
    assert x.tolist() == [[1, 7, 3], [4, 8, 6]] and repr(x).endswith("device='cuda:0')")
    assert minicnn.tensor(x, device="cpu").numpy().sum() == 29 and 8.0 in x
    with pytest.raises(TypeError, match=r"\.cpu\(\)"):
        x.numpy()
    x.normal_().uniform_(5, 6).clamp_(max=5.5)
    assert 5 <= x.cpu().numpy().min() <= x.cpu().numpy().max() <= 5.5


def test_a_wrong_label_makes_the_loss_nan(cuda):
    logits = minicnn.randn(3, 4, device="cuda", requires_grad=True)
    loss = nn.functional.cross_entropy(logits, minicnn.tensor([0, 4, 1], device="cuda"))
    assert np.isnan(loss.item())


def test_integers_are_refused_with_the_way_out(cuda):
    with pytest.raises(TypeError, match=r"float32, .*bfloat16, got int64: convert with \.float\(\)"):
        nn.functional.max_pool2d(minicnn.ones(1, 1, 4, 4, dtype="int64", device="cuda"), 2)
