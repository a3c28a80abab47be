"""Several GPUs: tensors live and are computed where they were put, and ``minicnn.cuda`` tells about each."""

from __future__ import annotations

import copy
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import backend, cli, cuda
from minicnn.backend.cuda import transfer
from minicnn.cuda import CUDAGraph
from minicnn.errors import DeviceError
from minicnn.models import create_model
from minicnn.nn import functional as F
from minicnn.nn.functional import cross_entropy, dropout
from minicnn.optim import SGD, AdamW
from tests.library.backend.cuda.test_step import trainer
from tests.library.support.cuda import fakearray, fakecudnn, fakecupy, fakeraw, streams
from tests.library.support.tiny_training import register_tinynet


@pytest.fixture(autouse=True)
def gpus() -> Iterator[Any]:
    """A machine with two GPUs that cannot read each other's memory."""
    if fakeraw.COMPILER is None:
        pytest.skip("g++ compiles the CUDA kernels for the CPU, and there is none")
    with fakecupy.installed(devices=2) as gpu:
        yield gpu
        cuda.set_device(0)


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Eight random images and labels."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 3, 16, 16)).astype("f4"), rng.integers(0, 10, 8)


def test_tensors_live_on_their_gpu():
    x = minicnn.tensor([1.0, 2.0], device="cuda:1")
    assert x.device == "cuda:1" and x.array.device.id == 1
    y = minicnn.tensor([3.0, 4.0], device="cuda:0")
    assert (y + y).array.device.id == 0 and (x * x).array.device.id == 1  # whichever was used last
    assert minicnn.tensor(x.array).device == minicnn.tensor(x).device == x.clone().device == "cuda:1"
    assert copy.deepcopy(x).array.device.id == 1 and (y + 1).device == "cuda:0"


@pytest.mark.parametrize(("source", "target"), [("cuda:0", "cuda:1"), ("cuda:1", "cuda:0"), ("cuda:1", "cpu")])
def test_to_copies_between_devices_and_gradients_travel_back(source, target):
    x = minicnn.tensor([[1.0, 2.0], [3.0, 4.0]], device=source, requires_grad=True)
    y = x.T.to(target)
    assert y.device == target
    (x.to(target) * y + (x * x).to(target)).sum().backward()
    assert x.grad.device == source
    np.testing.assert_array_equal(y.detach().cpu().numpy(), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(x.grad.cpu().numpy(), [[4, 10], [10, 16]])
    (g,) = minicnn.autograd.grad((x * x).to(target).sum(), x)
    assert g.device == source and g.cpu().numpy().tolist() == [[2, 4], [6, 8]]


def test_a_copy_between_gpus_comes_after_what_computes_it_and_before_its_memory_is_used_again(gpus):
    stream = gpus.xp.cuda.Stream(non_blocking=True)
    with gpus.xp.cuda.Device(0), stream:
        x = gpus.xp.empty(4, "f4")
        x.set(np.arange(4, dtype="f4"), stream=stream)
        with gpus.xp.cuda.Device(1):
            copied = gpus.copied(x)
    assert copied.get().tolist() == [0, 1, 2, 3]


def test_the_default_streams_of_two_gpus_wait_for_each_other(gpus, monkeypatch):
    """That of the GPU that is current; and what is copied between GPUs already lies together."""
    log = []

    def logged(method):
        original = getattr(streams.Stream, method)

        def run(self, *args):
            log.append((method, gpus.xp.cuda.runtime.getDevice()))
            return original(self, *args)

        monkeypatch.setattr(streams.Stream, method, run)

    logged("record")
    logged("wait_event")
    copy_array = fakearray.FakeArray.copy

    def copied_together(self, *args):
        assert self.flags.c_contiguous
        return copy_array(self, *args)

    monkeypatch.setattr(fakearray.FakeArray, "copy", copied_together)
    x = minicnn.tensor([[1.0, 2.0], [3.0, 4.0]], device="cuda:0").array.T
    gpus.make_current(1)
    assert gpus.copied(x).get().tolist() == [[1, 3], [2, 4]]
    assert log == [("record", 0), ("wait_event", 1), ("record", 1), ("wait_event", 0)]


def test_every_prefetched_batch_is_waited_for_by_the_gpu_that_it_is_for(gpus, monkeypatch):
    waiting, wait = [], streams.Stream.wait_event

    def logged_wait(self, event):
        waiting.append(gpus.xp.cuda.runtime.getDevice())
        wait(self, event)

    monkeypatch.setattr(streams.Stream, "wait_event", logged_wait)
    for _ in transfer.prefetch(gpus, iter([(np.ones(2, "f4"),)] * 3), device=1):
        gpus.make_current(0)
    assert waiting == [1] * 6


def test_devices_are_not_mixed():
    x, y = minicnn.ones(2, device="cuda:0"), minicnn.ones(2, device="cuda:1")
    with pytest.raises(DeviceError, match="Add: expected all tensors on one device, got cuda:0 and cuda:1"):
        x + y
    with pytest.raises(DeviceError, match=r"expected one of cuda:0 ... cuda:1, got cuda:3"):
        x.to("cuda:3")
    with fakecupy.installed(), pytest.raises(DeviceError, match="expected cuda:0, the only GPU, got cuda:1"):
        minicnn.ones(2, device="cuda:1")


@pytest.mark.parametrize("index", [-1, 1.5, True, "1"])
def test_a_device_has_a_natural_number(index):
    with pytest.raises(ValueError, match="expected the number of a device, 0 or more"):
        minicnn.device("cuda", index)
    assert minicnn.device("cuda", np.int64(1)) == "cuda:1"


def test_gradients_and_comparisons_stay_on_their_device():
    x, y = minicnn.ones(2, device="cuda:1", requires_grad=True), minicnn.ones(2, device="cuda:0")
    for other in (y, y.cpu()):
        with pytest.raises(DeviceError, match="backward: expected all tensors on one device"):
            (x * 2).backward(other)
        with pytest.raises(DeviceError, match="grad: expected all tensors on one device"):
            x.grad = other
        with pytest.raises(DeviceError, match="isclose: expected all tensors on one device"):
            minicnn.allclose(x, other)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_labels_that_were_left_on_the_host_are_named(name):
    x, labels, weight = minicnn.ones(2, 3, device="cuda:1"), minicnn.tensor([0, 1]), minicnn.ones(3)
    with pytest.raises(DeviceError, match=f"{name}: expected all tensors on one device, got cuda:1 and cpu"):
        getattr(F, name)(x, labels)
    with pytest.raises(DeviceError, match=f"{name}: expected all tensors on one device, got cuda:1 and cpu"):
        getattr(F, name)(x, labels.to("cuda:1"), weight)


def test_indices_may_come_from_the_host():
    x = minicnn.tensor([[1.0, 2.0], [3.0, 4.0]], device="cuda:1", requires_grad=True)
    rows, mask = minicnn.tensor([1, 0, 1]), minicnn.tensor([True, False])
    assert x[rows].tolist() == [[3, 4], [1, 2], [3, 4]] and x[mask].tolist() == [[1, 2]]
    assert minicnn.index_select(x, 1, rows).device == "cuda:1"
    x[rows].sum().backward()
    assert x.grad.tolist() == [[1, 1], [2, 2]]
    with minicnn.no_grad():
        x[mask] = 0
    assert x.tolist() == [[0, 0], [3, 4]]
    for data, index in ((x, rows.to("cuda:0")), (x.cpu(), rows.to("cuda:1"))):
        with pytest.raises(DeviceError, match="index: expected all tensors on one device"):
            data[index]
    with pytest.raises(DeviceError, match="gather: expected all tensors on one device"):
        x.gather(0, minicnn.tensor([[0, 0]]))


def test_cuda_without_a_number_is_the_current_gpu_of_the_thread():
    cuda.set_device("cuda:1")
    assert cuda.current_device() == 1 and minicnn.ones(1, device="cuda").device == "cuda:1"
    with cuda.device(0):
        assert minicnn.ones(1).cuda().device == "cuda:0"
        minicnn.ones(1, device="cuda:1")
        assert cuda.current_device() == 0
    seen = []
    thread = threading.Thread(target=lambda: seen.append((cuda.current_device(), minicnn.ones(1, device="cuda"))))
    thread.start()
    thread.join()
    assert cuda.current_device() == 1 and seen[0][0] == 0 and seen[0][1].device == "cuda:0"
    with pytest.raises(DeviceError, match="got cuda:2"):
        cuda.set_device(2)
    with pytest.raises(DeviceError, match="expected a GPU such as 'cuda:0', got cpu"):
        cuda.synchronize("cpu")


@pytest.mark.parametrize("way", ["eager", "compiled", "bfloat16", "cudnn"])
def test_a_training_step_on_the_second_gpu_is_that_on_the_first(monkeypatch, way):
    monkeypatch.setattr(backend.cuda, "convolution", "cudnn" if way == "cudnn" else "im2col")
    precision = minicnn.autocast("cuda", dtype="bfloat16", enabled=way == "bfloat16")
    minicnn.manual_seed(0)
    net, found = create_model("resnet20", num_classes=10), []
    for place in ("cuda:0", "cuda:1"):
        minicnn.manual_seed(1)
        model = copy.deepcopy(net).to(place)
        images, labels = (minicnn.tensor(array, device=place) for array in batch())
        optimizers = SGD(model.parameters(), lr=0.1, momentum=0.9), AdamW(model.parameters(), lr=1e-3)
        cuda.set_device(0)
        run = minicnn.compile(model) if way == "compiled" else model
        with fakecudnn.installed(), precision:
            loss = cross_entropy(run(dropout(images, 0.2)), labels)
        minicnn.ones(1, device="cuda:0")  # another GPU is current
        with fakecudnn.installed():
            loss.backward()
        minicnn.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            minicnn.ones(1, device="cuda:0")
            optimizer.step()
        optimizers[0].zero_grad(set_to_none=False)
        assert {p.array.device.id for p in model.parameters()} == {int(place[-1])}
        found.append([value.detach().cpu().numpy() for value in (loss, *model.state_dict().values())])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_may_be_spread_over_the_gpus():
    minicnn.manual_seed(0)
    halves = minicnn.nn.Linear(6, 5), minicnn.nn.Linear(5, 4)
    x = minicnn.randn(3, 6)
    spread = [copy.deepcopy(half).to(f"cuda:{i}") for i, half in enumerate(halves)]
    halves[1](halves[0](x).relu()).square().sum().backward()
    hidden = spread[0](x.to("cuda:0")).relu()
    spread[1](hidden.to("cuda:1")).square().sum().backward()
    optimizer = SGD([p for half in spread for p in half.parameters()], lr=0.1)
    for here, there in zip(halves, spread, strict=True):
        np.testing.assert_allclose(there.weight.grad.cpu().numpy(), here.weight.grad.numpy(), 1e-5, 1e-6)
    optimizer.step()
    with pytest.raises(DeviceError, match="clip_grad_norm_"):
        minicnn.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)


def test_a_trainer_goes_on_from_its_checkpoint_on_the_second_gpu():
    first, second = trainer("cuda:1"), trainer("cuda:1")
    first.fit(1)
    state = first.state_dict()
    assert {value.array.device.id for value in state["model"].values()} == {1}
    second.load_state_dict(state)
    assert second.fit(2)[-1]["train_loss"] == first.fit(2)[-1]["train_loss"] < first.fit(1)[0]["train_loss"]


@pytest.mark.slow(seconds=4)
def test_the_command_trains_on_the_second_gpu(tmp_path, capsys):
    register_tinynet()
    arguments = ["train", "tinynet", "--epochs", "1", "--batch-size", "256", "--quiet", "--out", str(tmp_path / "run")]
    assert cli.main([*arguments, "--device", "cuda:1"]) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["device"] == "cuda:1"
    capsys.readouterr()
    assert cli.main([*arguments[:-1], str(tmp_path / "other"), "--device", "cuda:3"]) == 2
    assert capsys.readouterr().err == "minicnn: error: expected one of cuda:0 ... cuda:1, got cuda:3\n"


def test_the_command_trains_by_cudnn(tmp_path, capsys, monkeypatch):
    """And repeats the step as a graph, of which it says nothing: it is the same run."""
    register_tinynet()
    arguments = ["train", "tinynet", "--epochs", "1", "--batch-size", "128", "--quiet", "--device", "cuda"]
    replays: list[int] = []
    replay = CUDAGraph.replay
    monkeypatch.setattr(CUDAGraph, "replay", lambda graph: replays.append(1) or replay(graph))
    with fakecudnn.installed():
        assert cli.main([*arguments, "--cudnn", "--out", str(tmp_path / "one")]) == 0
    assert replays and backend.cuda.convolution == "im2col"
    captured = len(replays)
    assert cli.main([*arguments, "--out", str(tmp_path / "other")]) == 0
    assert len(replays) == captured
    losses = [json.loads((tmp_path / run / "result.json").read_text())["test_loss"] for run in ("one", "other")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
    ("device", "message"),
    [("cpu", "minicnn: error: --cudnn: expected a GPU, as by --device cuda, got cpu"), ("cuda", "needs cuDNN")],
)
def test_cudnn_that_cannot_be_had_is_told_in_one_line(tmp_path, capsys, monkeypatch, device, message):
    monkeypatch.setitem(sys.modules, "cudnn", None)
    register_tinynet()
    assert cli.main(["train", "tinynet", "--cudnn", "--device", device, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and not (tmp_path / "run").exists()


def test_a_graph_is_of_one_gpu():
    x, g = minicnn.ones(3, device="cuda:1"), cuda.CUDAGraph()
    advice = r"a graph is of one GPU: put minicnn.cuda.device\(1\) around its block"
    with pytest.raises(RuntimeError, match=advice), cuda.graph(g):
        x * 2
    with cuda.device(1), cuda.graph(g):
        y = x * 2
    g.replay()
    assert y.tolist() == [2, 2, 2]


def test_the_most_memory_is_no_less_than_what_is_in_use():
    cuda.reset_peak_memory_stats(1)
    kept = []
    thread = threading.Thread(target=lambda: kept.append(minicnn.zeros(100_000, device="cuda:1")))
    thread.start(), thread.join()
    assert cuda.max_memory_allocated(1) >= cuda.memory_allocated(1) >= 400_000


def test_the_second_gpu_is_named_and_waited_for(gpus):
    assert cuda.is_available() and cuda.device_count() == 2
    assert cuda.get_device_name(1) == cuda.get_device_name() == "the stand-in"
    stream = gpus.xp.cuda.Stream(non_blocking=True)
    x = gpus.xp.empty(1, "f4")
    x.set(np.ones(1, "f4"), stream=stream)
    cuda.synchronize()
    assert x.item() == 1


def test_without_a_gpu(monkeypatch):
    with fakecupy.in_place_of_cupy(None):
        assert not cuda.is_available() and cuda.device_count() == 0
        for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
            assert getattr(cuda, name)() == 0
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()
        for ask in (cuda.synchronize, cuda.current_device, cuda.get_device_name, lambda: cuda.set_device(0)):
            with pytest.raises(DeviceError, match="CuPy"):
                ask()
    assert backend.get("cuda").name == "cuda"
