"""Numbers of 16 bits on the GPU: the kernels beside the reference, autocast beside PyTorch's, whole training steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import models, nn
from minicnn.autograd import topological_order
from minicnn.nn import functional as F
from tests.library.support import peers
from tests.library.support.cuda.short import (
    BATCH,
    DTYPES,
    EPSILON,
    OPERATIONS,
    PRIMITIVES,
    assert_keeps_its_dtype,
    assert_rounds_once,
    on_gpu,
    training,
)
from tests.library.support.cuda.streams import syncs
from tests.library.support.strategies import normal

pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", PRIMITIVES)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_kernels_round_once(cuda, dtype, primitive, seed):
    assert_rounds_once(cuda, dtype, primitive, seed)


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    bad=st.sampled_from([None, np.nan, np.inf, -np.inf]),
    data=st.data(),
)
def test_gradients_are_unscaled_and_looked_at(cuda, sizes, bad, data):
    arrays = [normal((size, 3), i).astype("float32") for i, size in enumerate(sizes)]
    chosen = data.draw(st.integers(0, len(sizes) - 1))
    if bad is not None and sizes[chosen]:
        arrays[chosen].flat[data.draw(st.integers(0, 3 * sizes[chosen] - 1))] = bad
    expected = [array * np.float32(0.25) for array in arrays]
    strided = data.draw(st.booleans())
    given_arrays = [cuda.to_device(a.T.copy()).T if strided else cuda.to_device(a) for a in arrays]
    with syncs.forbid():
        found = cuda.unscale(given_arrays, 0.25)
    assert bool(cuda.to_host(found)) == any(not np.isfinite(a).all() for a in arrays)
    for got, want in zip(given_arrays, expected, strict=True):
        np.testing.assert_array_equal(cuda.to_host(got), want)


# ---- tensors of bfloat16 -----------------------------------------------------------------------------------------


def test_bfloat16_tensors(cuda):
    x = minicnn.tensor([[1.5, -2.0], [3.25, 1e-3]], dtype=minicnn.bfloat16, device="cuda", requires_grad=True)
    assert x.dtype == minicnn.bfloat16 and x.is_floating_point() and x.element_size() == 2
    assert "1.5000" in repr(x) and "dtype=bfloat16" in repr(x)
    assert x.float().dtype == minicnn.float32 and x.bfloat16() is x and x.half().dtype == minicnn.float16
    assert x.detach().cpu().numpy().dtype == "bfloat16" and x.detach().tolist()[0] == [1.5, -2.0]
    for other, dtype in (
        (2, "bfloat16"), (2.5, "bfloat16"), (minicnn.ones(2, device="cuda"), "float32"), (x.half(), "float32"),
        (minicnn.ones(2, device="cuda", dtype="float64"), "float64"), (minicnn.arange(2, device="cuda"), "bfloat16"),
        (minicnn.tensor(2.0, device="cuda"), "bfloat16"),
    ):  # fmt: skip
        assert (x * other).dtype == dtype == minicnn.cat([x, x * other]).dtype
    assert minicnn.zeros(2, dtype="bfloat16", device="cuda").dtype == minicnn.empty(3).to("cuda", "bfloat16").dtype
    (x.relu() * 0.5 + 1).sum().backward()
    assert x.grad.dtype == minicnn.bfloat16 and x.grad.tolist() == [[0.5, 0], [0.5, 0.5]]
    assert nn.Linear(2, 2).to("cuda").to(minicnn.bfloat16)(x).dtype == minicnn.bfloat16


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_give_what_they_are_given(cuda, name, dtype):
    assert_keeps_its_dtype(name, dtype)


# ---- autocast ----------------------------------------------------------------------------------------------------

SHORT, LABELS = normal((4, 3, 6, 6), 0), np.arange(4) % 3
# PyTorch's lists for the CPU, with which these are compared, leave these in 16 bits; those for CUDA do not.
ONLY_ON_CUDA = {"exp", "log", "square", "power", "sum", "softmax", "log_softmax", "logsumexp", "group_norm", "cumsum"}
FUNCTIONS = {
    "conv2d": lambda lib, f, x, t: f.conv2d(x, x[:2]),
    "linear": lambda lib, f, x, t: f.linear(x, x[0, 0]),
    "matmul": lambda lib, f, x, t: x @ x,
    "mm": lambda lib, f, x, t: lib.mm(x[0, 0], x[0, 1]),
    "bmm": lambda lib, f, x, t: x[0].bmm(x[1]),
    "exp": lambda lib, f, x, t: lib.exp(x),
    "log": lambda lib, f, x, t: x.abs().log(),
    "square": lambda lib, f, x, t: lib.square(x),
    "power": lambda lib, f, x, t: x**2,
    "sum": lambda lib, f, x, t: x.sum(1),
    "cumsum": lambda lib, f, x, t: lib.cumsum(x, 1),
    "prod": lambda lib, f, x, t: lib.prod(x, 1),
    "mean": lambda lib, f, x, t: x.mean(1),
    "softmax": lambda lib, f, x, t: f.softmax(x, 1),
    "log_softmax": lambda lib, f, x, t: f.log_softmax(x, dim=1),
    "logsumexp": lambda lib, f, x, t: lib.logsumexp(x, 1),
    "group_norm": lambda lib, f, x, t: f.group_norm(x, 3),
    "batch_norm": lambda lib, f, x, t: f.batch_norm(x, None, None, training=True),
    "cross_entropy": lambda lib, f, x, t: f.cross_entropy(x[:, :, 0, 0], t),
    "nll_loss": lambda lib, f, x, t: f.nll_loss(x[:, :, 0, 0], t),
    "mse_loss": lambda lib, f, x, t: f.mse_loss(x, x * 2),
    "l1_loss": lambda lib, f, x, t: f.l1_loss(x, x * 2),
    "relu": lambda lib, f, x, t: f.relu(x),
    "sigmoid": lambda lib, f, x, t: lib.sigmoid(x),
    "add": lambda lib, f, x, t: x + x,
    "mixed add": lambda lib, f, x, t: x.float() + f.relu(x),
    "mixed cat": lambda lib, f, x, t: lib.cat([x.float(), x]),
    "mixed stack": lambda lib, f, x, t: lib.stack([x.float(), x]),
    "max_pool2d": lambda lib, f, x, t: f.max_pool2d(x, 2),
    "avg_pool2d": lambda lib, f, x, t: f.avg_pool2d(x, 2),
    "adaptive": lambda lib, f, x, t: f.adaptive_avg_pool2d(x, 1),
    "dropout": lambda lib, f, x, t: f.dropout(x),
}


@pytest.mark.parametrize("given_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_dtypes_are_pytorchs(cuda, name, given_dtype):
    torch = peers.torch()
    x, labels = torch.tensor(SHORT, dtype=getattr(torch, given_dtype)), torch.tensor(LABELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = str(FUNCTIONS[name](torch, torch.nn.functional, x, labels).dtype).removeprefix("torch.")
    with minicnn.autocast("cuda", dtype=minicnn.bfloat16):
        y = FUNCTIONS[name](minicnn, F, on_gpu(SHORT).to(given_dtype), minicnn.tensor(LABELS, device="cuda"))
    assert y.dtype == ("float32" if name in ONLY_ON_CUDA else expected)


def test_resnet_learns_as_in_float32_and_only_the_scaler_waits(cuda):
    found = {}
    for dtype in (None, *DTYPES):
        minicnn.manual_seed(0)
        found[dtype] = training(dtype, models.create_model("resnet20").to("cuda"))
    for dtype in DTYPES:
        assert found[dtype] != found[None]
        np.testing.assert_allclose(found[dtype], found[None], atol=0.1)
    assert found[None][-1] < found[None][0]


def saved_bytes(loss: minicnn.Tensor) -> int:
    """Bytes of the images and maps that are kept for backward."""
    owners = {}
    for node in topological_order([loss.grad_fn]):
        for array in getattr(node, "_saved", ()):
            if hasattr(array, "host") and array.ndim == 4 and len(array) == BATCH:
                owner = array if array.base is None else array.base
                owners[id(owner)] = owner.nbytes
    return sum(owners.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_kept_for_backward_halves(cuda, dtype):
    network, images = models.create_model("resnet20").to("cuda"), on_gpu(normal((BATCH, 3, 16, 16), 0))
    sizes = []
    for enabled in (False, True):
        with minicnn.autocast("cuda", dtype=dtype, enabled=enabled):
            sizes.append(saved_bytes(network(images).sum()))
    assert sizes[1] == sizes[0] / 2


class WithNumbers(nn.Module):
    """Python numbers between layers, which make float32 of bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 10, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.second(F.leaky_relu(self.norm(self.first(x) * 0.5).relu() + 1.25, 0.1)).mean((2, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_models_compute_the_same(cuda, dtype):
    minicnn.manual_seed(0)
    model, images = WithNumbers().to("cuda"), on_gpu(normal((BATCH, 3, 8, 8), 0))
    compiled = minicnn.compile(model)
    for training_mode in (True, False):
        results = []
        for run in (model.train(training_mode), compiled, compiled):
            model.zero_grad()
            with minicnn.autocast("cuda", dtype=dtype):
                y = run(images)
            y.float().square().sum().backward()
            results.append([y.detach().float().cpu().numpy(), *(p.grad.cpu().numpy() for p in model.parameters())])
        for other in results[1:]:
            for got, want in zip(other, results[0], strict=True):
                np.testing.assert_allclose(
                    got, want, atol=8 * EPSILON[dtype] * np.abs(want).max()
                )  # eager sums in dtype
        assert y.dtype == dtype
        with minicnn.no_grad():
            model.first.weight.mul_(0.5)
    assert len(compiled.plans) == 2 and all(plan.holds() for plan in compiled.plans.values())
    assert all("BatchNorm + ReLU" in str(plan) or "FixedNorm + ReLU" in str(plan) for plan in compiled.plans.values())
