"""The two sides of ``cpu.py``, and what runs in their processes: each imports its own framework and no other.

A process is a ``Worker``: it builds a network, then answers requests one at a time, and sleeps in between. All
frameworks get the network that ``prepare`` wrote, with its weights, and do the same step.
"""

from __future__ import annotations

import importlib.util
import inspect
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")  # minicnn sees to OpenBLAS itself
OPTIMISER = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4}
AUXILIARY_WEIGHT = 0.3  # of GoogLeNet's other two losses


class Work(NamedTuple):
    """What every framework is to do."""

    model: str
    batch: int
    size: int
    classes: int
    training: bool
    threads: int
    weights: str | None = None  # a .pth, with an .onnx beside it for inference; None: random ones
    before: str | None = None  # another checkout of minicnn to compare with

    @property
    def name(self) -> str:
        """``"training"`` or ``"inference"``."""
        return "training" if self.training else "inference"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Random images and labels, the same in every process."""
        rng = np.random.default_rng(0)
        images = rng.standard_normal((self.batch, 3, self.size, self.size), dtype=np.float32)
        return images, rng.integers(0, self.classes, self.batch)


class Side(NamedTuple):
    """One framework, ready. In training ``step`` returns the loss."""

    logits: Callable[[], np.ndarray]
    step: Callable[[], Any]


# ---- minicnn -----------------------------------------------------------------------------------------------------


def minicnn_side(work: Work, compiled: bool = True) -> Side:
    """minicnn on its CPU backend. ``compiled``: by ``minicnn.compile`` in training; inference always is."""
    import minicnn
    from minicnn.bench.networks import inference, training
    from minicnn.models import create_model

    model = create_model(work.model, variant="torchvision", weights=work.weights)
    images, labels = map(minicnn.tensor, work.data())

    def logits() -> np.ndarray:
        was = model.training
        with minicnn.no_grad():
            result = model.eval()(images).numpy()
        model.train(was)
        return result

    if work.training:
        return Side(logits, training(model, images, labels, **({"compiled": True} if compiled else {})))
    infer = inference(model, images)
    return Side(infer, infer)


def minicnn_eager(work: Work) -> Side:
    """minicnn without its compiler."""
    return minicnn_side(work, compiled=False)


def minicnn_before(work: Work) -> Side:
    """The minicnn of another checkout; its training is compiled if its benchmark knows how."""
    assert work.before is not None
    sys.path.insert(0, work.before)
    import minicnn
    from minicnn.bench.networks import training

    if not Path(minicnn.__file__).resolve().is_relative_to(work.before):
        raise ImportError(f"there is no minicnn in {work.before}: this is {minicnn.__file__}")
    return minicnn_side(work, compiled="compiled" in inspect.signature(training).parameters)


def rehearse(work: Work) -> None:
    """Let minicnn compile what it needs: a process that finds it on disk does not carry the compiler's memory."""
    side = minicnn_before(work) if work.before else minicnn_eager(work)
    side.logits()
    side.step()


def roof(threads: int, tries: int = 5, quiet: float = 0.06) -> dict[str, Any]:
    """What this machine can do at most: measured again while other processes use more than ``quiet`` of a core."""
    from minicnn.bench.machine import machine, using_threads
    from minicnn.bench.measuring import foreign_cores, usage

    found = []
    with using_threads(threads):
        for _ in range(tries):
            before = usage([os.getpid()])
            found.append(machine())
            if (foreign_cores([(before, usage([os.getpid()]))]) or 0) <= quiet:
                break
            time.sleep(1)
    return max(found, key=lambda measured: measured.peak)._asdict()


# ---- PyTorch -----------------------------------------------------------------------------------------------------


def import_torchvision() -> Any:
    """torchvision, also where its compiled operators do not fit PyTorch's build: the networks do not need them."""
    import torch

    try:
        import torchvision
    except RuntimeError:  # "operator torchvision::nms does not exist"
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision.declared = library  # what was declared ends with this object
    return torchvision


def torch_network(name: str) -> Any:
    """The network called ``name``, with random weights."""
    models = import_torchvision().models
    if name.startswith("seresnet"):
        import timm

        return timm.create_model(name)
    if name == "resnet20":
        return cifar_resnet20()
    return getattr(models, name)(**{"init_weights": True} if name == "googlenet" else {})


def cifar_resnet20() -> Any:
    """ResNet-20 for 32 x 32 images [He et al. 2015, section 4.2], shortcuts of option A: torchvision has none."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Shortcut(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))

    class CifarResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = import_torchvision().models.resnet.BasicBlock
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            self.layer1 = nn.Sequential(*[block(16, 16) for _ in range(3)])
            self.layer2 = nn.Sequential(block(16, 32, 2, Shortcut()), *[block(32, 32) for _ in range(2)])
            self.layer3 = nn.Sequential(block(32, 64, 2, Shortcut()), *[block(64, 64) for _ in range(2)])
            self.fc = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            x = F.relu(self.bn1(self.conv1(x)), inplace=True)
            x = self.layer3(self.layer2(self.layer1(x)))
            return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))

    return CifarResNet()


def torch_side(work: Work, channels_last: bool = False, frozen: bool = False, compiled: bool = False) -> Side:
    """PyTorch eager in one of its two layouts, scripted and frozen, or compiled by ``torch.compile``."""
    if compiled:
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # or processes that compile stay, and wait for more
    import torch

    torch.set_num_threads(work.threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = torch_network(work.model)
    network.load_state_dict(torch.load(work.weights))
    network = network.to(memory_format=layout).train(work.training)
    images, labels = map(torch.from_numpy, work.data())
    images = images.contiguous(memory_format=layout)

    def logits() -> np.ndarray:
        was = network.training
        with torch.no_grad():
            result = network.eval()(images).numpy()
        network.train(was)
        return result

    if not work.training:
        if frozen:
            warnings.simplefilter("ignore")  # torch.jit's, about itself
            with torch.no_grad():
                network = torch.jit.optimize_for_inference(torch.jit.trace(network, images))
        run = torch.compile(network, options={"freezing": True}) if compiled else network

        def infer() -> np.ndarray:
            with torch.no_grad():
                return run(images).numpy()

        return Side(infer, infer)

    optimizer = torch.optim.SGD(network.parameters(), **OPTIMISER)
    cross_entropy = torch.nn.functional.cross_entropy
    run = torch.compile(network) if compiled else network

    def step() -> float:
        optimizer.zero_grad()
        outputs = run(images)
        main, *others = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = cross_entropy(main, labels)
        for other in others:
            loss = loss + AUXILIARY_WEIGHT * cross_entropy(other, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Side(logits, step)


def torch_channels_last(work: Work) -> Side:
    """PyTorch eager, channels last."""
    return torch_side(work, channels_last=True)


def torch_compiled(work: Work) -> Side:
    """``torch.compile``, channels last: TorchInductor, which needs a C++ compiler."""
    return torch_side(work, channels_last=True, compiled=True)


def torch_frozen(work: Work) -> Side:
    """torch.jit, frozen and optimised for inference."""
    return torch_side(work, frozen=True)


def onnxruntime_side(work: Work) -> Side:
    """ONNX Runtime on what PyTorch exported."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = work.threads, 1
    path = str(onnx_file(work))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: work.data()[0]}

    def infer() -> np.ndarray:
        return session.run(None, feed)[0]

    return Side(infer, infer)


def onnx_file(work: Work) -> Path:
    """Where ``prepare`` exports to: the batch size is part of what ONNX Runtime optimises."""
    assert work.weights is not None
    return Path(work.weights).with_suffix(f".{work.batch}.onnx")


def prepare(work: Work) -> str:
    """Write weights and, for inference, an ONNX file. Returns why there is no such file, or "" if there is."""
    import torch

    warnings.simplefilter("ignore")  # the exporter's, about itself
    path = Path(work.weights or "")
    network = torch_network(work.model)
    if path.exists():
        network.load_state_dict(torch.load(path))
    else:
        torch.manual_seed(0)
        fit_norms(network, work)
        torch.save(network.state_dict(), path)
    if work.training or not installed("onnx", "onnxruntime"):
        return "" if work.training else "onnx or onnxruntime is not installed"
    try:
        images = torch.from_numpy(work.data()[0])
        torch.onnx.export(network.eval(), (images,), str(onnx_file(work)), dynamo=False, verbose=False)
    except Exception as error:  # the exporter raises what it likes, and the other frameworks can still be compared
        return f"PyTorch cannot export it: {str(error).splitlines()[0]}"
    return ""


def fit_norms(network: Any, work: Work) -> None:
    """Give batch norms the statistics of one batch, so that numbers neither vanish nor explode in evaluation."""
    import torch

    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(work._replace(batch=8).data()[0]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


# ---- processes ---------------------------------------------------------------------------------------------------


class Framework(NamedTuple):
    """One column of the table."""

    title: str
    build: Callable[[Work], Side]
    needs: tuple[str, ...]
    does: tuple[str, ...] = ("training", "inference")


TORCH = ("torch", "torchvision")
FRAMEWORKS = {
    "minicnn": Framework("minicnn", minicnn_side, ("minicnn",)),
    "minicnn-eager": Framework("eager", minicnn_eager, ("minicnn",), ("training",)),
    "before": Framework("before", minicnn_before, ("minicnn",)),
    "torch": Framework("PyTorch", torch_side, TORCH),
    "torch-cl": Framework("PyTorch c.l.", torch_channels_last, TORCH),
    "torch-compile": Framework("t.compile", torch_compiled, TORCH),
    "torch-jit": Framework("torch.jit", torch_frozen, TORCH, ("inference",)),
    "onnxruntime": Framework("ONNX Rt.", onnxruntime_side, (*TORCH, "onnx", "onnxruntime"), ("inference",)),
}
OURS = ("minicnn", "minicnn-eager", "before")


def installed(*modules: str) -> bool:
    """Whether all of them are there."""
    return all(importlib.util.find_spec(module) for module in modules)


def taking_part(work: Work) -> list[str]:
    """The frameworks that are installed here and can do this work, minicnn first."""
    able = [name for name, f in FRAMEWORKS.items() if installed(*f.needs) and work.name in f.does]
    if work.before is None:
        able.remove("before")
    if work.model.startswith("seresnet") and not installed("timm"):  # the others have no such network
        return [name for name in able if name in OURS]
    return able


class WorkerError(Exception):
    """A framework failed, or its process ended."""


class Worker:
    """A process that builds a ``Side``, and uses it on request."""

    def __init__(self, name: str, build: Callable[[Work], Side], work: Work) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.line, there = context.Pipe()
        self.process = context.Process(target=serve, args=(build, work, there), daemon=True)
        self.process.start()
        there.close()  # so that the end of the process is the end of the line
        self._receive()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def ask(self, *request: Any) -> Any:
        """The answer to ``("logits",)``; ``("loss",)``, after one step; ``("time", steps)``, the seconds of each.

        Raises WorkerError if it fails.
        """
        return self._receive(request)

    def _receive(self, request: tuple[Any, ...] = ()) -> Any:
        try:
            if request:
                self.line.send(request)
            fine, answer = self.line.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise WorkerError(
                f"the process of {self.name} ended with status {self.process.exitcode} (out of memory?)"
            ) from error
        if not fine:
            raise WorkerError(f"{self.name}: {answer}")
        return answer

    def stop(self) -> None:
        """End the process."""
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self.line.close()


def serve(build: Callable[[Work], Side], work: Work, line: Connection) -> None:
    """A worker's life."""
    try:
        side = build(work)
        line.send((True, "ready"))
        while True:
            line.send((True, answer(side, *line.recv())))
    except EOFError:
        pass
    except Exception as error:  # to be told by the parent in one line
        line.send((False, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"))


def answer(side: Side, request: str, repeats: int = 1) -> Any:
    """What is sent back."""
    if request == "logits":
        return side.logits()
    if request == "loss":
        return side.step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        side.step()
        times.append(time.perf_counter() - start)
    return times


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, computed in a process of its own, which ends with it.

    Raises WorkerError if it fails.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except Exception as error:  # also BrokenProcessPool: the process was killed
            raise WorkerError(f"{function.__name__}: {type(error).__name__}: {error}") from error


def set_threads(count: int) -> None:
    """For the processes to come, which inherit it before they import anything."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(count)
