"""CUDA graphs on the stand-in for CuPy: a replayed step is the step itself, whatever the host decides in between."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import backend, nn
from minicnn.cuda import CUDAGraph, graph
from minicnn.nn import functional as F
from minicnn.optim import SGD, Adam, AdamW
from tests.library.support.cuda import fakecudnn, fakecupy
from tests.library.support.strategies import normal


class Net(nn.Module):
    """Layers that need no product: depthwise convolution, norm, pooling, dropout."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.norm = nn.BatchNorm2d(3)
        self.p = p

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        """(N, 3, H, W) -> (N, 3)."""
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return F.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1), self.p, training=self.training)


OPTIMIZERS = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "adam": lambda p: Adam(p, lr=0.05, amsgrad=True),
    "adamw": lambda p: AdamW(p, lr=0.05),
}


def training(steps: int, captured: bool, name: str, p: float = 0.0, compiled: bool = False, clip: bool = False):
    """Losses and state after training with a learning rate that changes in every step."""
    minicnn.manual_seed(0)
    model = Net(p).to("cuda")
    network = minicnn.compile(model) if compiled else model
    optimizer = OPTIMIZERS[name](model.parameters())
    images, labels = minicnn.zeros(4, 3, 6, 6, device="cuda"), minicnn.zeros(4, device="cuda", dtype=minicnn.int64)
    losses, g = [], CUDAGraph()

    def step() -> minicnn.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss.detach()

    for number in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
        batch = minicnn.tensor(normal((4, 3, 6, 6), number).astype("f4"), device="cuda")
        images[...] = batch
        labels[...] = minicnn.tensor(np.arange(4) % 3, device="cuda")
        if not captured or number < 2:
            loss = step()
        else:
            if not g.captured:
                with graph(g):
                    loss = step()
            g.replay()
        losses.append(loss.item())
    state = {key: value.cpu().numpy() for key, value in model.state_dict().items()}
    moments = optimizer.state_dict()["state"]
    return losses, state, moments, optimizer.steps_taken, minicnn.random.default_generator.get_state(), model


@given(st.sampled_from(list(OPTIMIZERS)), st.sampled_from([0.0, 0.5]), st.booleans(), st.booleans())
@settings(max_examples=8)
def test_replayed_training_is_eager_training(cuda, name, p, compiled, clip):
    """To the bit: losses, weights, averages and their step counts, running statistics, and the random numbers."""
    eager, replayed = (training(5, captured, name, p, compiled, clip) for captured in (False, True))
    assert replayed[0] == eager[0]
    for key, want in eager[1].items():
        np.testing.assert_array_equal(replayed[1][key], want, err_msg=key)
    for index, entry in eager[2].items():
        for key, want in entry.items():
            got = replayed[2][index][key]
            if key == "step":
                assert got == want == 5
            else:
                np.testing.assert_array_equal(got.cpu().numpy(), want.cpu().numpy())
    assert replayed[3:5] == eager[3:5]


class Plain(Net):
    """With a convolution and a linear layer: products."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        """(N, 3, H, W) -> (N, 3)."""
        return self.linear(F.relu(super().forward(x)))


@pytest.mark.parametrize("compiled", [False, True])
def test_convolutions_and_linear_layers_are_captured_with_cudnn(cuda, monkeypatch, compiled):
    with fakecudnn.installed():
        monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
        results = []
        for captured in (False, True):
            minicnn.manual_seed(0)
            model = Plain().to("cuda")
            network = minicnn.compile(model) if compiled else model
            optimizer, g = SGD(model.parameters(), lr=0.1, momentum=0.9), CUDAGraph()
            images = minicnn.tensor(normal((4, 3, 6, 6), 0).astype("f4"), device="cuda")
            labels = minicnn.tensor(np.arange(4) % 3, device="cuda")

            def step(network=network, optimizer=optimizer, images=images, labels=labels):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images), labels)
                loss.backward()
                optimizer.step()
                return loss.detach()

            losses = [step().item() for _ in range(2)]
            if captured:
                with graph(g):
                    loss = step()
            for _ in range(2):
                if captured:
                    g.replay()
                losses.append((loss if captured else step()).item())
            results.append(losses)
    assert results[0] == results[1]


def test_a_capture_computes_nothing(cuda):
    x, y = minicnn.ones(3, device="cuda"), minicnn.zeros(3, device="cuda")
    g = CUDAGraph()
    with graph(g):
        y += 2 * x
    assert y.tolist() == [0, 0, 0]
    gc.collect()  # the graph alone has the memory of 2 * x
    g.replay()
    g.replay()
    assert y.tolist() == [4, 4, 4]
    x[...] = 10.0
    g.replay()
    assert y.tolist() == [24, 24, 24]


def test_a_graph_is_launched_on_the_gpu_that_it_was_captured_on():
    with fakecupy.installed(devices=2):
        g, x = CUDAGraph(), minicnn.ones(3, device="cuda:1")
        with minicnn.cuda.device(1), graph(g):
            x += 1
        minicnn.zeros(3, device="cuda:0")
        g.replay()
        assert x.tolist() == [2, 2, 2] and minicnn.cuda.current_device() == 0


def test_capturing_leaves_the_host_as_it_was(cuda):
    minicnn.manual_seed(0)
    x = minicnn.ones(3, device="cuda", requires_grad=True)
    optimizer = Adam([x], lr=0.1)
    x.grad = minicnn.ones(3, device="cuda")
    optimizer.step()
    before = minicnn.random.default_generator.get_state()
    with graph(CUDAGraph()):
        F.dropout(x, 0.5)
        optimizer.step()
    assert optimizer.state[x]["step"] == 1 and optimizer.steps_taken == 1
    assert minicnn.random.default_generator.get_state() == before


def test_every_replay_drops_others(cuda):
    minicnn.manual_seed(0)
    g, x = CUDAGraph(), minicnn.ones(1000, device="cuda")
    with graph(g):
        y = F.dropout(x, 0.5)
    seen = []
    for _ in range(3):
        g.replay()
        seen.append(y.cpu().numpy().copy())
    minicnn.manual_seed(0)
    for got in seen:
        np.testing.assert_array_equal(got, F.dropout(x, 0.5).cpu().numpy())


def test_memory_of_a_graph_is_its_own(cuda):
    """What is allocated between two replays is not overwritten by the next."""
    g, x = CUDAGraph(), minicnn.ones(1000, device="cuda")
    with graph(g):
        y = (x + 1) * 2
    others = [minicnn.full((1000,), 7.0, device="cuda") for _ in range(10)]
    g.replay()
    assert (y.cpu().numpy() == 4).all() and all((other.cpu().numpy() == 7).all() for other in others)


def test_writes_of_a_replay_are_noticed(cuda):
    """Folded filters of a compiled model are folded again after a replay has changed the running statistics."""
    model = Net().to("cuda")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    compiled, x = minicnn.compile(model), minicnn.tensor(normal((4, 3, 6, 6), 0).astype("f4"), device="cuda")
    g = CUDAGraph()
    compiled(x)
    with graph(g):
        compiled(x)
    model.eval()
    compiled(x)
    g.replay()
    np.testing.assert_allclose(compiled(x).cpu().numpy(), model(x).cpu().numpy(), 1e-5, 1e-6)


def test_casts_of_autocast_follow_the_parameters(cuda, monkeypatch):
    """Although those of the steps before are kept until the block of autocast ends."""
    with fakecudnn.installed(), minicnn.autocast("cuda", dtype="bfloat16"):
        monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
        weight = minicnn.ones(3, 3, device="cuda").requires_grad_()
        x, g = minicnn.ones(2, 3, device="cuda"), CUDAGraph()
        F.linear(x, weight)
        with graph(g):
            y = F.linear(x, weight)
        with minicnn.no_grad():
            weight *= 2
        g.replay()
        assert y.float().tolist() == [[6.0] * 3] * 2


def test_what_cannot_be_captured_is_named(cuda):
    x = minicnn.ones(3, device="cuda", requires_grad=True)
    square = minicnn.ones(3, 3, device="cuda")

    def capturing(function):
        g = CUDAGraph()
        with pytest.raises(RuntimeError) as caught, graph(g):
            function()
        assert not g.captured and not cuda.xp.cuda.get_current_stream().is_capturing()
        (x * 2).sum().item()  # and then all is as before
        return str(caught.value)

    host = "cannot be captured: the host cannot read or write numbers"
    assert "item()" in (message := capturing(lambda: x.sum().item())) and host in message
    assert "tolist()" in (message := capturing(lambda: x.tolist())) and host in message
    assert "to_host()" in (message := capturing(lambda: x.detach().cpu())) and host in message
    assert host in capturing(lambda: minicnn.tensor([1.0, 2.0], device="cuda"))
    assert host in capturing(cuda.xp.cuda.get_current_stream().synchronize)
    assert "minicnn.backend.cuda.convolution = 'cudnn'" in capturing(lambda: square @ square)
    x.grad = minicnn.ones(3, device="cuda")
    assert "first step" in capturing(Adam([x], lr=0.1).step)
    assert "cannot be captured" in capturing(lambda: Simple([x], {"lr": 0.1}).step())
    assert "first call cannot be captured" in capturing(lambda: minicnn.compile(nn.ReLU())(x))
    with pytest.raises(KeyError), graph(CUDAGraph()):
        raise KeyError("an error of another kind")


class Simple(minicnn.optim.Optimizer):
    """Computes by operations, with numbers of the host."""

    def update(self, param, grad, group):
        param.array -= group["lr"] * grad.array


def test_a_graph_is_captured_once_and_can_be_reset(cuda):
    g, x = CUDAGraph(), minicnn.zeros(3, device="cuda")
    with pytest.raises(RuntimeError, match="nothing has been captured"):
        g.replay()
    with graph(g):
        x += 1
    with pytest.raises(RuntimeError, match="captured already"), graph(g):
        pass
    g.reset()
    with graph(g):
        x += 2
    g.replay()
    assert x.tolist() == [2, 2, 2]


def test_captures_do_not_nest(cuda):
    """What the host does after an inner block would otherwise be missing at the replay of the outer one."""
    inner, outer, x = CUDAGraph(), CUDAGraph(), minicnn.ones(1000, device="cuda")
    with graph(inner):
        x += 1
    with graph(outer):
        with pytest.raises(RuntimeError, match="end the block that captures another graph first"), graph(CUDAGraph()):
            pass
        with pytest.raises(RuntimeError, match="end the block that captures a graph first"):
            inner.replay()
        y = F.dropout(x, 0.5)
    outer.replay()
    first = y.tolist()
    outer.replay()
    assert y.tolist() != first and x.tolist() == [1] * 1000


@pytest.mark.parametrize("name", ["plain", *OPTIMIZERS])
def test_a_model_that_was_moved_is_noticed(cuda, name):
    model = Net().to("cuda")
    for parameter in model.parameters():
        parameter.grad = minicnn.ones_like(parameter)
    optimizer, g = {"plain": lambda p: SGD(p, lr=0.1), **OPTIMIZERS}[name](model.parameters()), CUDAGraph()
    optimizer.step()
    with graph(g):
        optimizer.step()
    before = model.to("cpu").conv.bias.tolist()
    with pytest.raises(RuntimeError, match="replaced since the capture"):
        g.replay()
    assert model.conv.bias.tolist() == before


def test_a_compiled_model_that_runs_eagerly_is_not_captured(cuda):
    """What forward does in Python would be done once, at the capture."""
    model = nn.ReLU()
    model.register_forward_hook(lambda module, inputs, output: None)
    compiled, x = minicnn.compile(model), minicnn.ones(3, device="cuda")
    compiled(x)
    with pytest.raises(RuntimeError, match="runs eagerly cannot be captured"), graph(CUDAGraph()):
        compiled(x)
    with graph(CUDAGraph()):
        model(x)


def test_options_that_a_graph_does_not_follow_are_noticed(cuda):
    x = minicnn.ones(3, device="cuda", requires_grad=True)
    x.grad = minicnn.ones(3, device="cuda")
    optimizer, g = SGD([x], lr=0.1, momentum=0.9), CUDAGraph()
    optimizer.step()
    with graph(g):
        optimizer.step()
    optimizer.param_groups[0]["nesterov"] = True
    with pytest.raises(RuntimeError, match="options have been replaced since the capture"):
        g.replay()


def test_replaced_averages_are_noticed(cuda):
    x = minicnn.ones(3, device="cuda", requires_grad=True)
    x.grad = minicnn.ones(3, device="cuda")
    optimizer, g = Adam([x], lr=0.1), CUDAGraph()
    optimizer.step()
    with graph(g):
        optimizer.step()
    g.replay()
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match="replaced since the capture"):
        g.replay()


def test_the_standin_frees_a_graphs_memory_with_its_pool(cuda):
    xp = cuda.xp
    stream, pool = xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
    x = xp.ones(3)
    with xp.cuda.using_allocator(pool.malloc), stream:
        stream.begin_capture()
        y = x + 1
        captured = stream.end_capture()
    assert np.isnan(cuda.to_host(y)).all()
    captured.launch()
    assert (cuda.to_host(y) == 2).all()
    del x
    captured.launch()
    assert np.isnan(cuda.to_host(y)).all()  # the graph has the address alone
    del y, pool
    stream.synchronize()
    gc.collect()
    with pytest.raises(AssertionError, match="freed with its pool"):
        captured.launch()
    with stream:
        stream.begin_capture()
        with pytest.raises(AssertionError, match="pool of its own"):
            xp.ones(3)
        with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureUnsupported"):
            stream.synchronize()
        with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()
    with pytest.raises(RuntimeError, match="default"):
        xp.cuda.get_current_stream().begin_capture()
