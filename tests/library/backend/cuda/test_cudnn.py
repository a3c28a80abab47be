"""Convolution by cuDNN, on a stand-in for it, against the reference."""

from __future__ import annotations

import sys
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.backend import cuda as switches
from minicnn.backend.base import Window
from minicnn.backend.cuda import cudnn as module
from minicnn.cuda import CUDAGraph, graph
from minicnn.errors import DeviceError
from tests.library.support.cuda import fakecudnn, fakecupy
from tests.library.support.cuda.agreement import DTYPES, REFERENCE, compare, windows
from tests.library.support.cuda.devices import train_a_little
from tests.library.support.cuda.fakecudnn import Kernel
from tests.library.support.cuda.streams import Stream, syncs
from tests.library.support.strategies import SEEDS, normal

SAME = Window((3, 3), padding=((1, 1), (1, 1)))


@pytest.fixture(scope="module", autouse=True)
def chosen():
    """cuDNN convolves."""
    before, switches.convolution = switches.convolution, "cudnn"
    yield
    switches.convolution = before


@pytest.fixture(scope="module")
def library(cuda):
    """The stand-in, for hypothesis."""
    with fakecudnn.installed() as found:
        cuda.cudnn = module.Cudnn(cuda.xp)
        yield found


@pytest.fixture
def cudnn(cuda):
    """The stand-in, with nothing planned yet."""
    with fakecudnn.installed() as found:
        before, cuda.cudnn = cuda.cudnn, module.Cudnn(cuda.xp)
        yield found
        cuda.cudnn = before


def convolve(cuda, dtype="float32", length=5):
    """One convolution of each kind."""
    x, weight = (cuda.to_device(normal(shape, 0).astype(dtype)) for shape in ((2, 4, length, length), (6, 4, 3, 3)))
    y = cuda.conv2d(x, weight, SAME, 1)
    return y, cuda.conv2d_input_grad(y, weight, x.shape, SAME, 1), cuda.conv2d_weight_grad(y, x, weight.shape, SAME, 1)


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setattr(switches, "allow_tf32_convolutions", False)


@given(data=st.data())
def test_convolution(cuda, library, data):
    window, size = data.draw(windows())
    groups, per_group, multiplier = (data.draw(st.integers(1, 3)) for _ in range(3))
    dtype, seed, n = data.draw(DTYPES), data.draw(SEEDS), data.draw(st.integers(0, 3))
    x = normal((n, groups * per_group, *size), seed).astype(dtype)
    weight = normal((groups * multiplier, per_group, *window.kernel_size), seed + 1).astype(dtype)
    dy = normal((n, groups * multiplier, *window.output_size(size)), seed + 2).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switches, "allow_tf32_convolutions", False)
        compare(cuda, "conv2d", x, weight, window, groups)
        compare(cuda, "conv2d_input_grad", dy, weight, x.shape, window, groups)
        compare(cuda, "conv2d_weight_grad", dy, x, weight.shape, window, groups)
    assert n == 0 or dtype == "float64" or library.executed[-1] == "with workspace"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_of_16_bits_are_added_up_in_float32(cuda, cudnn, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    y, dx, d_weight = convolve(cuda, dtype)
    assert y.dtype == dx.dtype == d_weight.dtype == dtype
    assert {graph.adds_up_in.name for graph in cudnn.graphs} == {"FLOAT"}
    x, weight = (normal(shape, 0).astype(dtype).astype("f4") for shape in ((2, 4, 5, 5), (6, 4, 3, 3)))
    np.testing.assert_allclose(y.get().astype("f4"), REFERENCE.conv2d(x, weight, SAME, 1), rtol=2**-7, atol=1e-6)


@given(
    m=st.integers(1, 5), length=st.integers(1, 5), n=st.integers(1, 5), swapped=st.sampled_from(["", "a", "b", "ab"])
)
def test_products_of_matrices(cuda, library, m, length, n, swapped):
    a, b = normal((m, length), 0), normal((length, n), 1)
    put = [
        cuda.to_device(x.T.copy()).T if name in swapped else cuda.to_device(x) for name, x in {"a": a, "b": b}.items()
    ]
    found = cuda.matmul(*put)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(cuda.to_host(found), a @ b, 1e-12, 1e-12)


def test_a_linear_layer_is_one_operation_of_each_kind(cuda, cudnn):
    x, weight, dy = (cuda.to_device(normal(shape, 0)) for shape in ((2, 4), (3, 4), (2, 3)))
    for a, b in ((x, weight.T), (dy, weight), (dy.T, x)):
        cuda.matmul(a, b)
    assert [geometry.operation for _, geometry in cuda.cudnn.plans] == ["conv_fprop", "conv_dgrad", "conv_wgrad"]


def test_the_fastest_plan_is_chosen_once_for_each_geometry(cuda, cudnn):
    """Of those that can be built, need no more workspace than allowed and do not round."""
    convolve(cuda)
    timed = (1 + module.TIMED_RUNS) * ["on tensor cores"] + (1 + module.TIMED_RUNS) * ["with workspace"]
    timed += (1 + module.TIMED_RUNS) * ["for everything"] + ["on tensor cores"]
    assert cudnn.executed == 3 * timed and len(cudnn.graphs) == len(cuda.cudnn.plans) == 3
    cudnn.executed.clear()
    convolve(cuda)
    assert cudnn.executed == ["on tensor cores"] * 3 and len(cudnn.graphs) == 3
    convolve(cuda, length=6)
    convolve(cuda, dtype="float64")
    assert len(cudnn.graphs) == 9


def test_only_the_first_plans_are_timed(cuda, cudnn):
    cudnn.kernels["A"] = [Kernel(str(i), 100 - i) for i in range(2 * module.TIMED_PLANS)]
    convolve(cuda)
    assert cudnn.executed[-1] == str(module.TIMED_PLANS - 1)


def test_tf32_only_where_allowed(cuda, cudnn, monkeypatch):
    convolve(cuda)
    assert cudnn.executed[-1] == "on tensor cores"
    monkeypatch.setattr(switches, "allow_tf32_convolutions", False)
    cudnn.executed.clear()
    convolve(cuda)
    assert "on tensor cores" not in cudnn.executed and len(cudnn.graphs) == 6
    a = cuda.to_device(normal((2, 2), 0).astype("f4"))
    cuda.matmul(a, a)
    assert cudnn.executed[-1] == "with workspace"
    monkeypatch.setattr(switches, "allow_tf32_matmuls", True)
    cuda.matmul(a, a)
    assert cudnn.executed[-1] == "on tensor cores"


def test_nothing_waits_once_there_are_plans(cuda, cudnn):
    convolve(cuda)
    with syncs.forbid():
        convolve(cuda)


UNSUPPORTED = {
    "no engine": {"A": [], "FALLBACK": []},
    "none that can be built": {"A": [Kernel("", 1, builds=False)], "FALLBACK": []},
    "only rounding": {"A": [Kernel("", 1, notes=("TENSOR_CORE",))], "FALLBACK": []},
    "only greedy": {"A": [Kernel("", 1, workspace=2**40)], "FALLBACK": []},
    "only failing": {"A": [Kernel("", 1, fails=RuntimeError)], "FALLBACK": [Kernel("", 1, fails=MemoryError)]},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cudnn_cannot_is_left_to_im2col_and_not_asked_again(cuda, cudnn, strict, name):
    cudnn.kernels = UNSUPPORTED[name]
    found = convolve(cuda)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switches, "convolution", "im2col")
        for one, other in zip(found, convolve(cuda), strict=True):
            np.testing.assert_array_equal(cuda.to_host(one), cuda.to_host(other))
    convolve(cuda)
    assert not cudnn.executed and len(cudnn.graphs) == 3
    a = cuda.to_device(normal((2, 2), 0).astype("f4"))
    np.testing.assert_allclose(cuda.to_host(cuda.matmul(a, a)), a.host @ a.host, 1e-5)
    assert not cudnn.executed


def test_too_many_elements_are_left_to_im2col(cuda, cudnn, monkeypatch):
    monkeypatch.setattr(module, "INDEXABLE", 100)
    convolve(cuda)
    assert not cudnn.graphs


def test_shapes_that_do_not_fit_are_refused(cudnn):
    good = module.Geometry("conv_fprop", (2, 4, 5, 5), (6, 4, 3, 3), (2, 6, 5, 5), SAME, "float32")
    module.operation_graph(cudnn, good, handle=cudnn.create_handle())
    for bad in ({"weight": (6, 3, 3, 3)}, {"y": (2, 6, 5, 4)}, {"y": (2, 5, 5, 5)}):
        for operation in module.OPERATIONS:
            with pytest.raises(RuntimeError, match="BAD_PARAM"):
                module.operation_graph(cudnn, good._replace(operation=operation, **bad), handle=cudnn.create_handle())


def test_strided_and_misaligned_arrays_are_copied(cuda, cudnn, strict):
    """A plan takes for granted that rows follow each other and that addresses are multiples of 16 bytes."""
    x = normal((3, 3, 5, 5), 0).astype("f4")
    on_device, weight = cuda.to_device(x), normal((2, 3, 3, 3), 1).astype("f4")
    for view, want in ((on_device[1:], x[1:]), (on_device[:, :, ::2], x[:, :, ::2])):
        y = cuda.conv2d(view, cuda.to_device(weight), SAME, 1)
        np.testing.assert_allclose(cuda.to_host(y), REFERENCE.conv2d(want, weight, SAME, 1), 1e-5, 1e-5)


def test_a_handle_for_each_thread_on_the_current_stream(cuda, cudnn):
    convolve(cuda)
    with Stream() as stream:
        convolve(cuda)
        assert [handle.stream for handle in cudnn.handles] == [stream.ptr]
    thread = Thread(target=convolve, args=(cuda,))
    thread.start()
    thread.join()
    assert len(cudnn.handles) == 2 and len(cudnn.graphs) == 3


def test_a_plan_and_a_handle_for_each_gpu():
    with fakecudnn.installed() as cudnn, fakecupy.in_place_of_cupy(fakecupy.FakeCupy(devices=2)):
        for device in ("cuda:0", "cuda:1"):
            cuda = minicnn.backend.get(device)
            found = convolve(cuda)
            assert {array.device.id for array in found} == {int(device[-1])}
        assert [handle.device for handle in cudnn.handles] == [0, 1] and len(cudnn.graphs) == 6


def test_a_plan_must_exist_before_a_graph_is_captured(cuda, cudnn):
    """During a capture nothing is computed, and so nothing could be timed."""
    x, weight = cuda.to_device(normal((2, 4, 6, 6), 0)), cuda.to_device(normal((6, 4, 3, 3), 0))
    expected = r"no plan yet for .*conv_fprop.*\(2, 4, 6, 6\).*before a CUDA graph"
    with pytest.raises(RuntimeError, match=expected), graph(CUDAGraph()):
        cuda.conv2d(x, weight, SAME, 1)
    assert not cudnn.executed


def test_a_training_step_is_captured(cuda, cudnn):
    for one, other in zip(train_a_little(), train_a_little(captured=True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_wrong_choice_is_named(cuda, cudnn, monkeypatch):
    monkeypatch.setattr(switches, "convolution", "cuDNN")
    with pytest.raises(ValueError, match="convolution: expected 'im2col' or 'cudnn', got 'cuDNN'"):
        convolve(cuda)


def without_library():
    raise RuntimeError("Unable to find symbol cudnnGetVersion")


@pytest.mark.parametrize("missing", ["the module", "the library"])
def test_missing_parts_are_named_with_what_mends_it(cuda, cudnn, monkeypatch, missing):
    if missing == "the module":
        monkeypatch.setitem(sys.modules, "cudnn", None)
    else:
        monkeypatch.setattr(cudnn, "backend_version", without_library, raising=False)
    with pytest.raises(DeviceError, match="which does not load .*pip install .*nvidia-cudnn-cu13") as error:
        convolve(cuda)
    assert "\n" not in str(error.value)


def test_a_network_trains_by_it(cuda, cudnn, strict):
    """The same gradients as on the CPU, of a plain, a strided and a depthwise convolution."""
    minicnn.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, 2),
        nn.Conv2d(4, 8, 3, groups=4),
    ]
    model = nn.Sequential(*layers).double()
    found = []
    for device in ("cpu", "cuda"):
        model = model.to(device)
        model.zero_grad()
        x = minicnn.tensor(normal((2, 3, 9, 9), 0), device=device, requires_grad=True)
        (model(x) ** 2).sum().backward()
        found.append([p.grad.cpu().numpy() for p in (x, *model.parameters())])
    assert len(cudnn.graphs) == 9
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, 1e-10, 1e-10)
