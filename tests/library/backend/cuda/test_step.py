"""A whole training step of a ResNet on the stand-in: equal to the CPU's, and the host never waits for the GPU."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import backend
from minicnn.data import DataLoader, TensorDataset
from minicnn.models import create_model
from minicnn.nn import functional as F
from minicnn.nn.functional import cross_entropy
from minicnn.optim import SGD, lr_scheduler
from minicnn.training import Trainer, TrainingDiverged
from minicnn.training import graphed as graphing
from minicnn.training.loop import WALL_CLOCK
from tests.library.support.cuda import fakecudnn, fakecupy, fakegraph, fakeraw
from tests.library.support.cuda.streams import syncs

TOLERANCE = {"float64": (1e-6, 1e-9), "float32": (2e-3, 2e-4)}  # relative to the largest entry


def resnet(dtype: str) -> minicnn.nn.Module:
    """The CIFAR ResNet of 20 layers with random weights."""
    minicnn.manual_seed(0)
    return create_model("resnet20", num_classes=10).to(dtype=np.dtype(dtype))


def batch(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Eight random images and labels."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 3, 16, 16)).astype(dtype), rng.integers(0, 10, 8)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_step_agrees_with_the_cpu_and_never_waits(cuda, dtype):
    here = resnet(dtype)
    there = copy.deepcopy(here).to("cuda")
    found = []
    for model, device in ((here, "cpu"), (there, "cuda")):
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
        images, labels = (minicnn.tensor(array, device=device) for array in batch(dtype))
        before = syncs.count
        with syncs.forbid():
            loss = cross_entropy(model(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert syncs.count == before
        arrays = {"loss": loss, **model.state_dict()}
        arrays |= {f"grad of {name}": p.grad for name, p in model.named_parameters()}
        found.append({name: array.detach().cpu().numpy() for name, array in arrays.items()})
    rtol, atol = TOLERANCE[dtype]
    for name, want in found[0].items():
        got = found[1][name]
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol, atol * max(1.0, np.abs(want).max()), err_msg=name)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_compiled_step_agrees_with_eager_and_never_waits(cuda, dtype):
    """With the fused norm, forward and backward: its kernels run through the plan."""
    eager = resnet(dtype).to("cuda")
    model = copy.deepcopy(eager)
    compiled = minicnn.compile(model)
    images, labels = (minicnn.tensor(array, device="cuda") for array in batch(dtype))
    rtol, atol = TOLERANCE[dtype]
    for step in range(2):
        losses = []
        for forward in (eager, compiled):
            before = syncs.count
            with syncs.forbid():
                loss = cross_entropy(forward(images), labels)
                loss.backward()
            assert syncs.count == before
            losses.append(loss.item())
        assert losses[1] == pytest.approx(losses[0], rel=1e-4 if dtype == "float32" else 1e-9)
        for (name, a), b in zip(eager.named_parameters(), model.parameters(), strict=True):
            want, got = a.grad.cpu().numpy(), b.grad.cpu().numpy()
            np.testing.assert_allclose(got, want, rtol, atol * max(1.0, np.abs(want).max()), err_msg=f"{name}, {step}")
    (plan,) = compiled.plans.values()
    names = [call.name for call in plan.calls]
    assert names.count("BatchNorm + Add + ReLU") == 9 and names.count("BatchNorm + ReLU") == 10
    kernels = {kernel for call in plan.calls for kernel in call.kernels}
    assert kernels == {"norm", "norm_grad", "conv2d", "conv2d_input_grad", "channel_sums", "linear"}


class Mixed(minicnn.nn.Module):
    """Everything that a plan fuses on a GPU and that a ResNet does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = minicnn.nn.Conv2d(3, 6, 3, padding=1)
        self.gate = minicnn.nn.Conv2d(6, 6, 1)
        self.last = minicnn.nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = minicnn.nn.BatchNorm2d(6)
        self.hidden, self.out = minicnn.nn.Linear(6, 8), minicnn.nn.Linear(8, 3)

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        """(N, 3, H, W) -> (N, 3)."""
        x = F.relu(self.first(x))
        x = F.silu(x) * F.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        x = F.relu(self.norm(self.last(x)) + x)
        return self.out(F.relu(self.hidden(F.relu(F.adaptive_avg_pool2d(x, 1).flatten(1)))))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_what_a_plan_fuses_is_what_eager_computes(cuda, dtype):
    minicnn.manual_seed(0)
    eager = Mixed().to("cuda", dtype=np.dtype(dtype))
    model = copy.deepcopy(eager)
    compiled = minicnn.compile(model)
    images = minicnn.tensor(batch(dtype)[0], device="cuda")
    labels = minicnn.tensor(np.arange(8) % 3, device="cuda")
    rtol, atol = TOLERANCE[dtype]
    for forward in (eager, compiled):
        with syncs.forbid():
            cross_entropy(forward(images), labels).backward()
    for (name, a), b in zip(eager.named_parameters(), model.parameters(), strict=True):
        want, got = a.grad.cpu().numpy(), b.grad.cpu().numpy()
        np.testing.assert_allclose(got, want, rtol, atol * max(1.0, np.abs(want).max()), err_msg=name)
    (plan,) = compiled.plans.values()
    assert {call.name for call in plan.calls if call.kernels} == {
        "Conv2d + ReLU", "Conv2d", "SiLU", "Mul", "BatchNorm + Add + ReLU", "ReLU", "Linear + ReLU", "Linear",
    }  # fmt: skip
    eager.eval(), compiled.eval()
    with minicnn.no_grad():
        want, got = eager(images).cpu().numpy(), compiled(images).cpu().numpy()
    np.testing.assert_allclose(got, want, rtol, atol * max(1.0, np.abs(want).max()))
    assert "Conv2d + FixedNorm + Add + ReLU" in [call.name for call in list(compiled.plans.values())[-1].calls]


# --- the loop ----------------------------------------------------------------------------------------------------


def trainer(device: str, batches: int = 5, poison: bool = False, **options: Any) -> Trainer:
    """A small network on random images with fixed labels, everything seeded."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4 * batches, 3, 6, 6)).astype("float32")
    if poison:
        images[0] = np.inf
    data = TensorDataset(minicnn.tensor(images), minicnn.tensor(rng.integers(0, 2, 4 * batches)))
    minicnn.manual_seed(0)
    model = minicnn.nn.Sequential(
        minicnn.nn.Conv2d(3, 4, 3), minicnn.nn.BatchNorm2d(4), minicnn.nn.ReLU(), minicnn.nn.Flatten(),
        minicnn.nn.Linear(64, 2),
    ).to(device)  # fmt: skip
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = lr_scheduler.StepLR(optimizer, 100)
    train, validation = DataLoader(data, 4, shuffle=True, seed=0), DataLoader(data, 4, seed=0)
    return Trainer(model, optimizer, schedule, train, validation, num_classes=2, device=device, **options)


def test_training_agrees_with_the_cpu(cuda):
    lines = [trainer(device).fit(2) for device in ("cpu", "cuda")]
    for here, there in zip(*lines, strict=True):
        for name in ("train_loss", "train_top1", "validation_loss", "validation_top1"):
            assert there[name] == pytest.approx(here[name], rel=1e-4), name


def test_an_epoch_waits_only_to_read_the_metrics(cuda):
    """Once per 50 batches: loss, logits and labels of each."""
    on_gpu = trainer("cuda", batches=6)
    on_gpu.read_every = 3
    waits: list[int] = []
    before = syncs.count
    on_gpu.train_epoch(lambda metrics: waits.append(syncs.count - before))
    per_batch = 3
    assert waits == [0, 0, 3 * per_batch, 3 * per_batch, 3 * per_batch, 6 * per_batch]
    assert trainer("cuda").read_every == 50 and trainer("cpu").read_every == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_divergence_is_noticed_everywhere(cuda, device):
    with pytest.raises(TrainingDiverged):
        trainer(device, poison=True).fit(1)


# --- the loop by a CUDA graph ----------------------------------------------------------------------------------------


@pytest.fixture
def cudnn(monkeypatch):
    """Convolution by cuDNN, which a graph needs."""
    monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
    with fakecudnn.installed() as library:
        yield library


def launches_of_graphs(monkeypatch) -> list[int]:
    """Grows by one for each launch of a graph."""
    seen: list[int] = []
    launch = fakegraph.Graph.launch
    monkeypatch.setattr(fakegraph.Graph, "launch", lambda self, *args: (seen.append(1), launch(self, *args))[1])
    return seen


def assert_same_training(one: Trainer, other: Trainer) -> None:
    """The same history and the same state, to the bit."""
    for a, b in zip(one.history, other.history, strict=True):
        assert {k: v for k, v in a.items() if k not in WALL_CLOCK} == {
            k: v for k, v in b.items() if k not in WALL_CLOCK
        }
    for key, want in one.model.state_dict().items():
        np.testing.assert_array_equal(other.model.state_dict()[key].cpu().numpy(), want.cpu().numpy(), err_msg=key)
    assert one.state_dict()["random"] == other.state_dict()["random"]


@pytest.mark.parametrize("autocast", [None, "bfloat16"])
def test_training_is_captured_after_some_steps(cuda, cudnn, monkeypatch, autocast):
    """And gives what it gives without; a batch that is not full, and the validation, run normally."""
    launched = launches_of_graphs(monkeypatch)
    graphed, plain = (trainer("cuda", batches=6, compiled=True, autocast=autocast) for _ in range(2))
    for training in (graphed, plain):
        training.train_loader.dataset.tensors = tuple(t[:22] for t in training.train_loader.dataset.tensors)
        training.scheduler.step_size = 2
    graphed.fit(2)
    assert len(launched) == 2 + 5
    monkeypatch.setattr(graphing, "WARM_UP", 100)
    plain.fit(2)
    assert len(launched) == 7
    assert graphed.optimizer.steps_taken == plain.optimizer.steps_taken == 12
    assert_same_training(graphed, plain)


def test_a_resumed_training_is_captured_again(cuda, cudnn, monkeypatch):
    launched = launches_of_graphs(monkeypatch)
    whole, first, resumed = (trainer("cuda", compiled=True) for _ in range(3))
    whole.fit(2)
    first.fit(1)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    resumed.fit(2)
    assert_same_training(whole, resumed)
    first.load_state_dict(resumed.state_dict())  # other averages: the graph of before must not be used
    first.fit(3)
    assert len(launched) == (2 + 5) + 2 + 2 + 2


def test_a_changed_model_is_captured_again(cuda, cudnn, monkeypatch):
    launched = launches_of_graphs(monkeypatch)
    training = trainer("cuda", compiled=True)
    training.fit(1)
    next(training.model.parameters()).requires_grad_(False)
    frozen = next(training.model.parameters()).cpu().numpy()
    training.fit(2)
    assert len(launched) == 2 + 2
    np.testing.assert_array_equal(next(training.model.parameters()).cpu().numpy(), frozen)


def _replace_averages(training: Trainer) -> None:
    training.optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))


def _replace_optimizer(training: Trainer) -> None:
    training.optimizer = SGD(training.model.parameters(), lr=0.01)


def _hook_gradient(training: Trainer) -> None:
    next(training.model.parameters()).register_hook(lambda gradient: gradient * 0)


def _hook_forward(training: Trainer) -> None:
    training.model[0].register_forward_hook(lambda module, inputs, output: output * 2)


CHANGES = {
    "autocast": lambda training: setattr(training, "autocast", "bfloat16"),
    "label smoothing": lambda training: setattr(training, "label_smoothing", 0.3),
    "option": lambda training: training.optimizer.param_groups[0].update(nesterov=True),
    "rounding": lambda training: setattr(backend.cuda, "allow_tf32_convolutions", False),
    "averages": _replace_averages,
    "optimizer": _replace_optimizer,
    "hook on a gradient": _hook_gradient,
    "hook on a layer": _hook_forward,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:the training step is not captured")
def test_a_changed_step_is_captured_again_or_not_at_all(cuda, cudnn, monkeypatch, change):
    """A graph would go on with the step of before."""
    monkeypatch.setattr(backend.cuda, "allow_tf32_convolutions", True)
    launched = launches_of_graphs(monkeypatch)
    graphed, plain = trainer("cuda", compiled=True), trainer("cuda", compiled=True)
    plain.step.refused = True
    graphed.fit(1), plain.fit(1)
    for training in (graphed, plain):
        CHANGES[change](training)
    graphed.fit(2), plain.fit(2)
    assert len(launched) == (2 if "hook" in change else 2 + 2)
    assert_same_training(graphed, plain)


def test_what_cannot_be_captured_trains_as_before(cuda, cudnn, monkeypatch, recwarn):
    launched = launches_of_graphs(monkeypatch)
    monkeypatch.setattr(Trainer, "update", _reading_update)
    reading = trainer("cuda", compiled=True)
    with pytest.warns(UserWarning, match=r"not captured \(.*item.*cannot be captured.*it runs as before"):
        reading.fit(1)
    monkeypatch.undo()
    launched = launches_of_graphs(monkeypatch)
    eager = trainer("cuda", compiled=False)
    eager.fit(1)
    trainer("cuda", compiled=True).fit(1)  # by im2col
    monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
    trainer("cuda", compiled=True, autocast="float16").fit(1)  # the scaler reads whether gradients are finite
    assert not launched and not recwarn.list
    for line in reading.history:
        assert line["train_loss"] == pytest.approx(eager.history[0]["train_loss"], rel=1e-4)


def _reading_update(self: Trainer, loss: minicnn.Tensor, weight: Any) -> None:
    assert loss.item() < 100  # the host waits
    self.optimizer.zero_grad()
    loss.backward(weight)
    self.optimizer.step()


def test_a_batch_that_is_not_full_is_not_what_is_captured(cuda, cudnn, monkeypatch):
    """Although it comes when three steps have been taken."""
    launched = launches_of_graphs(monkeypatch)
    training = trainer("cuda", batches=4, compiled=True)
    training.train_loader.dataset.tensors = tuple(t[:14] for t in training.train_loader.dataset.tensors)
    training.fit(2)
    assert len(launched) == 3


def test_a_second_gpu_captures_its_own_steps(monkeypatch):
    if fakeraw.COMPILER is None:
        pytest.skip("g++ compiles the CUDA kernels for the CPU, and there is none")
    with fakecupy.installed(devices=2), fakecudnn.installed():
        monkeypatch.setattr(backend.cuda, "convolution", "cudnn")
        launched = launches_of_graphs(monkeypatch)
        first, second = (trainer(device, compiled=True) for device in ("cuda:0", "cuda:1"))
        first.fit(1), second.fit(2), first.fit(2)
        assert len(launched) == 2 * (2 + 5)
        assert minicnn.cuda.current_device() == 0
    for one, other in zip(first.history, second.history, strict=True):
        assert one["train_loss"] == other["train_loss"]
