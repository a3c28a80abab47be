"""The GPU itself: every operation and edge of the tables, every primitive, and a whole training step, against the CPU.

``pytest -m gpu`` runs them where there is a GPU. Everywhere else ``tests/library/backend/cuda`` runs the same code on
stand-ins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import backend
from minicnn.backend.base import Window
from minicnn.backend.reference import fused as reference
from minicnn.backend.reference.fused import Line
from minicnn.errors import DeviceError
from minicnn.models import create_model
from minicnn.nn.functional import cross_entropy, dropout
from minicnn.optim import SGD, AdamW
from tests.library.support import peers
from tests.library.support.cases import CASES, examples_of
from tests.library.support.cases.edges import EDGES
from tests.library.support.cuda import short
from tests.library.support.cuda.agreement import windows
from tests.library.support.cuda.devices import assert_agrees, train_a_little
from tests.library.support.strategies import normal

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def cuda() -> Iterator[Any]:
    """The CUDA backend, computing float32 in float32."""
    try:
        gpu = backend.load("cuda")
    except DeviceError as error:
        pytest.skip(str(error))
    before = backend.cuda.allow_tf32_convolutions
    backend.cuda.allow_tf32_convolutions = False
    yield gpu
    backend.cuda.allow_tf32_convolutions = before


@pytest.fixture(params=["im2col", "cudnn"])
def convolution(cuda, request) -> Iterator[str]:
    """Who convolves."""
    if request.param == "cudnn":
        need_cudnn(cuda)
    backend.cuda.convolution = request.param
    yield request.param
    backend.cuda.convolution = "im2col"


def need_cudnn(cuda: Any) -> None:
    try:
        assert cuda.cudnn.module
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operation_agrees_with_the_cpu(case):
    dtypes = [np.float64] if case.name == "cast and back" else [np.float64, np.float32]
    for arrays, options in examples_of(case, 10):
        for dtype in dtypes:
            assert_agrees(case.run, arrays, options, "cuda", dtype)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_every_edge_agrees_with_the_cpu(name):
    run, *arrays = EDGES[name]
    assert_agrees(run, tuple(map(np.asarray, arrays)), {}, "cuda")


SAME = Window((3, 3), padding=((1, 1), (1, 1)))
HALVED = SAME._replace(stride=(2, 2))
# Sizes at which a kernel fills many blocks: (images, channels, filters, length, groups, window).
CONVOLUTIONS = {
    "ResNet's first": (4, 3, 64, 112, 1, Window((7, 7), (2, 2), ((3, 3), (3, 3)))),
    "3x3": (4, 64, 64, 56, 1, SAME),
    "1x1": (4, 64, 256, 28, 1, Window((1, 1))),
    "1x1, halved": (4, 64, 128, 28, 1, Window((1, 1), (2, 2))),
    "grouped": (4, 64, 64, 28, 8, HALVED),
    "depthwise": (4, 96, 96, 56, 96, HALVED),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_large_convolutions_agree_with_the_cpu(cuda, convolution, name):
    n, c, k, length, groups, window = CONVOLUTIONS[name]
    x, weight = normal((n, c, length, length), 0), normal((k, c // groups, *window.kernel_size), 1)
    dy = normal((n, k, *window.output_size((length, length))), 2)
    cpu = backend.load("cpu")
    for primitive, args in {
        "conv2d": (x, weight, window, groups),
        "conv2d_input_grad": (dy, weight, x.shape, window, groups),
        "conv2d_weight_grad": (dy, x, weight.shape, window, groups),
    }.items():
        want = getattr(cpu, primitive)(*args)
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
            given = [cuda.to_device(a.astype(dtype)) if isinstance(a, np.ndarray) else a for a in args]
            got = cuda.to_host(getattr(cuda, primitive)(*given))
            np.testing.assert_allclose(got, want, 0, tolerance * np.abs(want).max() * 10, err_msg=primitive)


def test_tf32_rounds_and_can_be_forbidden(cuda, convolution):
    """TensorFloat-32 has 10 bits: an error of some 1e-4, if the GPU has it (from Ampere on)."""
    if int(cuda.xp.cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no TensorFloat-32")
    x, weight = normal((4, 64, 28, 28), 0), normal((64, 64, 3, 3), 1)
    want = backend.load("cpu").conv2d(x, weight, SAME, 1)
    errors = {}
    for backend.cuda.allow_tf32_convolutions in (True, False):
        y = cuda.conv2d(cuda.to_device(x.astype("f4")), cuda.to_device(weight.astype("f4")), SAME, 1)
        errors[backend.cuda.allow_tf32_convolutions] = np.abs(cuda.to_host(y) - want).max() / np.abs(want).max()
    assert errors[False] < 1e-5 < errors[True] < 5e-3


@given(drawn=windows(), groups=st.integers(1, 3), per_group=st.integers(1, 3), images=st.integers(1, 3))
@settings(max_examples=25)
def test_cudnn_agrees_with_im2col(cuda, drawn, groups, per_group, images):
    """In every dtype, against im2col in float64."""
    need_cudnn(cuda)
    window, size = drawn
    arrays = (
        normal((images, groups * per_group, *size), 0),
        normal((2 * groups, per_group, *window.kernel_size), 1),
        normal((images, 2 * groups, *window.output_size(size)), 2),
    )
    for dtype, tolerance in {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}.items():
        rounded = [cuda.to_device(array).astype(dtype) for array in arrays]
        exact = [array.astype("float64") for array in rounded]
        for primitive in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
            found = []
            for backend.cuda.convolution, (x, weight, dy) in (("im2col", exact), ("cudnn", rounded)):
                args = {
                    "conv2d": (x, weight),
                    "conv2d_input_grad": (dy, weight, x.shape),
                    "conv2d_weight_grad": (dy, x, weight.shape),
                }
                found.append(cuda.to_host(getattr(cuda, primitive)(*args[primitive], window, groups).astype("float64")))
            backend.cuda.convolution = "im2col"
            largest = np.abs(found[0]).max()
            np.testing.assert_allclose(found[1], found[0], 0, 3 * tolerance * largest, err_msg=f"{primitive} {dtype}")


def test_a_training_step_by_cudnn_is_captured(cuda, monkeypatch):
    need_cudnn(cuda)
    monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
    for one, other in zip(train_a_little(), train_a_little(captured=True), strict=True):
        np.testing.assert_allclose(one, other, 1e-5, 1e-6)


def test_reductions_of_many_threads_agree_with_the_cpu(cuda):
    cpu = backend.load("cpu")
    x, dy, weight = normal((16, 8, 40, 40), 0), normal((16, 8, 40, 40), 1), normal((8,), 2)
    put = cuda.to_device
    want = cpu.batch_norm(x, weight, weight, 1e-5)
    got = cuda.batch_norm(put(x), put(weight), put(weight), 1e-5)
    _, mean, _, inv_std = want
    want += cpu.batch_norm_grad(dy, x, weight, mean, inv_std)
    got += cuda.batch_norm_grad(*map(put, (dy, x, weight, mean, inv_std)))
    line = Line(mean, inv_std, weight, weight)
    for activation in ("relu", "silu"):
        want += (reference.norm(x, weight, weight, 1e-5, dy, activation).y,)
        got += (cuda.fused["norm"](put(x), put(weight), put(weight), 1e-5, put(dy), activation)[0],)
        want += reference.norm_grad(dy, x, line, dy, activation)
        got += cuda.fused["norm_grad"](put(dy), put(x), Line(*map(put, line)), put(dy), activation)
    logits, targets = normal((300, 1000), 3), np.eye(1000)[:300]
    want += cpu.softmax_cross_entropy(logits, targets)
    got += cuda.softmax_cross_entropy(put(logits), put(targets))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(cuda.to_host(one), other, 1e-10, 1e-10)


@pytest.mark.parametrize("name", ["resnet20", "deformable_resnet18", "efficientnet_b0"])
def test_a_training_step_agrees_with_the_cpu(convolution, name):
    minicnn.manual_seed(0)
    here = create_model(name, num_classes=10).double()
    for module in here.modules():  # random masks differ between the devices
        if hasattr(module, "p"):
            module.p = 0.0
    there = copy.deepcopy(here).to("cuda")
    images, labels = normal((4, 3, 64, 64), 1), np.arange(4)
    found = []
    for model, device in ((here, "cpu"), (there, "cuda")):
        optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        if name == "efficientnet_b0":
            model.eval()  # stochastic depth
        loss = cross_entropy(model(minicnn.tensor(images, device=device)), minicnn.tensor(labels, device=device))
        loss.backward()
        optimizer.step()
        arrays = {"loss": loss, **model.state_dict()}
        found.append({key: value.detach().cpu().numpy() for key, value in arrays.items()})
    for key, want in found[0].items():
        np.testing.assert_allclose(found[1][key], want, 1e-6, 1e-7 * max(1.0, np.abs(want).max()), err_msg=key)


def test_training_learns(cuda):
    """Twenty steps on one batch in float32 with everything on: TF32, AdamW, dropout."""
    backend.cuda.allow_tf32_convolutions = True
    minicnn.manual_seed(0)
    model = create_model("resnet20", num_classes=10).to("cuda")
    images = minicnn.tensor(normal((32, 3, 32, 32), 0).astype("f4"), device="cuda")
    labels = minicnn.tensor(np.arange(32) % 10, device="cuda")
    optimizer, losses = AdamW(model.parameters(), lr=3e-3), []
    for _ in range(20):
        loss = cross_entropy(model(dropout(images, 0.1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    backend.cuda.allow_tf32_convolutions = False


def test_prefetched_batches_arrive_whole(cuda):
    from minicnn.backend.cuda.transfer import prefetch

    sent = [(np.full((64, 3, 128, 128), i, "f4"), np.full(64, i)) for i in range(8)]
    for number, (images, labels) in enumerate(prefetch(cuda, iter(sent))):
        busy = cuda.matmul(images.reshape(192, -1), images.reshape(192, -1).T)  # keep the GPU behind the host
        assert busy.shape == (192, 192)
        assert float(images.min()) == float(images.max()) == float(labels.min()) == number


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_kernel_updates_all_parameters(kind, dtype):
    """More of them than one launch takes, and one that takes many blocks."""
    shapes = [(3, 5)] * 150 + [(300, 1000), (0,), ()]
    found = []
    for device in ("cpu", "cuda"):
        weights = [normal(shape, i).astype(dtype) for i, shape in enumerate(shapes)]
        parameters = [minicnn.tensor(weight, device=device, requires_grad=True) for weight in weights]
        optimizer = AdamW(parameters, lr=0.1, amsgrad=True)
        if kind == "SGD":
            optimizer = SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
            for i, parameter in enumerate(parameters):
                gradient = normal(parameter.shape, 1000 * step + i).astype(dtype)
                parameter.grad = minicnn.tensor(gradient, device=device)
            norm = minicnn.nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
        found.append([norm.cpu().numpy(), *(parameter.detach().cpu().numpy() for parameter in parameters)])
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, *((1e-4, 1e-5) if dtype == np.float32 else (1e-6, 1e-10)))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_is_replayed_is_the_step(convolution, compiled):
    """With a learning rate that changes, step counts, dropout, and running statistics; by cuDNN."""
    if convolution != "cudnn":
        pytest.skip("CuPy lets no product by cuBLAS be captured")
    found = []
    for captured in (False, True):
        minicnn.manual_seed(0)
        model = create_model("resnet20", num_classes=10).to("cuda")
        network = minicnn.compile(model) if compiled else model
        optimizer, graph = AdamW(model.parameters(), lr=1e-3), minicnn.cuda.CUDAGraph()
        images = minicnn.tensor(normal((16, 3, 32, 32), 0).astype("f4"), device="cuda")
        labels = minicnn.tensor(np.arange(16) % 10, device="cuda")

        def step(network=network, optimizer=optimizer, images=images, labels=labels):
            optimizer.zero_grad()
            loss = cross_entropy(network(dropout(images, 0.1)), labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        losses = [step().item() for _ in range(3)]
        if captured:
            with minicnn.cuda.graph(graph):
                loss = step()
        for number in range(5):
            optimizer.param_groups[0]["lr"] = 1e-3 / (1 + number)
            if captured:
                graph.replay()
            losses.append((loss if captured else step()).item())
        state = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
        found.append((losses, state["bn1.running_mean"], minicnn.random.default_generator.get_state()))
    np.testing.assert_allclose(found[1][0], found[0][0], 1e-3)
    np.testing.assert_allclose(found[1][1], found[0][1], 1e-3, 1e-3)
    assert found[1][2] == found[0][2]


def test_what_a_graph_cannot_have_is_named(cuda):
    x = minicnn.ones(64, 64, device="cuda")
    (x.sum() * 2).item(), x @ x
    for function, message in ((lambda: x.sum().item(), "item"), (lambda: x @ x, "convolution = 'cudnn'")):
        with pytest.raises(RuntimeError, match=message), minicnn.cuda.graph(minicnn.cuda.CUDAGraph()):
            function()
        assert (x + 1).sum().item() == 2 * 64 * 64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_are_divided_as_numpy_does(dtype):
    values = np.array([*np.arange(-30, 31) / 10, np.inf, -np.inf, np.nan, -0.0], dtype)
    a, b = (x.ravel().copy() for x in np.meshgrid(values, values))
    x, y = (minicnn.tensor(array, device="cuda") for array in (a, b))
    with np.errstate(all="ignore"):
        for got, want in ((x // y, a // b), (x % y, a % b)):
            np.testing.assert_array_equal(got.cpu().numpy(), want)


def test_memory_is_counted():
    minicnn.cuda.reset_peak_memory_stats()
    before = minicnn.cuda.memory_allocated()
    x = minicnn.zeros(2**20, device="cuda")
    assert minicnn.cuda.memory_allocated() - before == x.array.nbytes
    del x
    assert minicnn.cuda.memory_allocated() == before
    assert minicnn.cuda.max_memory_allocated() - before == 2**22 <= minicnn.cuda.max_memory_reserved()


def test_memory_is_shared_with_pytorch():
    torch = peers.torch()
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    theirs = torch.arange(6.0, device="cuda").reshape(2, 3)
    ours = minicnn.from_dlpack(theirs)
    ours.add_(1)
    minicnn.cuda.synchronize()
    assert theirs.tolist() == [[1, 2, 3], [4, 5, 6]] and ours.device == "cuda:0"
    back = torch.from_dlpack(ours)
    assert back.data_ptr() == theirs.data_ptr()


def test_a_step_on_the_second_gpu_is_that_on_the_first():
    if minicnn.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    minicnn.manual_seed(0)
    model, found = create_model("resnet20", num_classes=10).double(), []
    for place in ("cuda:0", "cuda:1"):
        net = copy.deepcopy(model).to(place)
        loss = cross_entropy(net(minicnn.tensor(normal((4, 3, 32, 32), 1), device=place)), minicnn.arange(4).to(place))
        minicnn.ones(1, device="cuda:0")
        loss.backward()
        SGD(net.parameters(), lr=0.1).step()
        found.append([value.cpu().numpy() for value in net.to("cuda:0").state_dict().values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, 1e-9, 1e-12)


@pytest.mark.parametrize("dtype", short.DTYPES)
@pytest.mark.parametrize("primitive", short.PRIMITIVES)
def test_numbers_of_16_bits_are_rounded_once(cuda, convolution, primitive, dtype):
    short.assert_rounds_once(cuda, dtype, primitive, seed=0)


@pytest.mark.parametrize("dtype", short.DTYPES)
@pytest.mark.parametrize("name", short.OPERATIONS)
def test_operations_on_16_bits_give_16_bits(name, dtype):
    short.assert_keeps_its_dtype(name, dtype)


@pytest.mark.parametrize("dtype", short.DTYPES)
def test_training_in_16_bits_is_near_that_in_32(cuda, convolution, dtype):
    losses = []
    for kind in (None, dtype):
        minicnn.manual_seed(0)
        losses.append(short.training(kind, create_model("resnet20").to("cuda")))
    np.testing.assert_allclose(losses[1], losses[0], atol=0.1)
    assert losses[1] != losses[0]
