"""What ``gpu.py`` measures: the same networks and steps in minicnn and in PyTorch, in every setting."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import backend

DEFORMABLE = "deform_conv2d"  # instead of a network: sampling 256 channels of 28 x 28 pixels, and the product
CHANNELS, SIDE = 256, 28


class Setting(NamedTuple):
    """One row of the table. ``way`` and ``convolution`` are minicnn's; PyTorch is always eager, with cuDNN."""

    model: str
    batch: int
    size: int
    precision: str
    training: bool
    way: str = "eager"
    convolution: str = "im2col"


def data(setting: Setting) -> tuple[np.ndarray, ...]:
    """Random images and labels; for the deformable convolution images, offsets, filters and the cotangent."""
    rng = np.random.default_rng(0)
    n = setting.batch
    if setting.model != DEFORMABLE:
        images = rng.standard_normal((n, 3, setting.size, setting.size), dtype=np.float32)
        return images, rng.integers(0, 10, n)
    image = (n, CHANNELS, SIDE, SIDE)
    shapes = (image, (n, 18, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3), image)
    return tuple(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)


def network(model: str) -> Any:
    """minicnn's network, always with the same weights; its ResNets are torchvision's."""
    minicnn.manual_seed(0)
    return minicnn.models.create_model(model, **({"variant": "torchvision"} if model.startswith("resnet") else {}))


class Minicnn:
    """minicnn on CuPy."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.gpu: Any = backend.load("cuda")
        backend.cuda.allow_tf32_convolutions = backend.cuda.allow_tf32_matmuls = setting.precision == "tf32"
        backend.cuda.convolution = setting.convolution

    def step(self) -> Callable[[], Any]:
        """The work of one step. A graph is captured here, after some steps that it needs to be warm.

        ``self.output`` then has what the network gives before any step, as a NumPy array.

        Raises:
            whatever says that minicnn cannot do it in this setting.
        """
        tensors = [minicnn.tensor(array, device="cuda") for array in data(self.setting)]
        if self.setting.model == DEFORMABLE:
            return self._captured(self._deformable(*tensors), minicnn.no_grad)
        images, labels = tensors
        net = network(self.setting.model).to("cuda").train(self.setting.training)
        optimizer = minicnn.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        run = net if self.setting.way == "eager" else minicnn.compile(net)

        def infer() -> Any:
            with minicnn.no_grad(), self._precision():
                return run(images)

        self.output = infer().cpu().float().numpy()

        def train() -> None:
            with self._precision():
                loss = minicnn.nn.functional.cross_entropy(run(images), labels)
            loss.backward()
            optimizer.step()

        return self._captured(train if self.setting.training else infer, optimizer.zero_grad)

    def _precision(self) -> Any:
        """The context that chooses it: float32 and TF32 are switches."""
        if self.setting.precision in ("float32", "tf32"):
            return nullcontext()
        return minicnn.autocast("cuda", dtype=self.setting.precision)  # type: ignore[attr-defined]

    def _deformable(self, *tensors: Any) -> Callable[[], Any]:
        image, offset, weight = (x.requires_grad_(self.setting.training) for x in tensors[:3])

        def sample() -> Any:
            with self._precision():
                return minicnn.nn.functional.deform_conv2d(image, offset, weight, padding=1)

        def run() -> None:
            y = sample()
            if self.setting.training:
                for x in (image, offset, weight):
                    x.grad = None
                y.backward(tensors[3])

        self.output = sample().detach().cpu().float().numpy()
        return run

    def _captured(self, work: Callable[[], Any], before: Callable[[], Any]) -> Callable[[], Any]:
        """``before`` and then ``work``, or a graph of it."""

        def step() -> None:
            before()
            work()

        if self.setting.way != "graph":
            return step
        for _ in range(3):
            step()
        before()
        graph = minicnn.cuda.CUDAGraph()
        with minicnn.cuda.graph(graph):
            work()
        return graph.replay

    def wait(self) -> None:
        """Until the GPU is done."""
        minicnn.cuda.synchronize()

    def used(self) -> int:
        """Bytes of the GPU that somebody holds, as the driver counts them."""
        free, total = self.gpu.xp.cuda.runtime.memGetInfo()
        return total - free

    def clear(self) -> None:
        """Give memory back."""
        gc.collect()
        minicnn.cuda.empty_cache()


class Torch:
    """PyTorch eager, its convolutions tuned by cudnn.benchmark; in bfloat16 channels last."""

    def __init__(self, setting: Setting) -> None:
        import torch

        self.setting, self.torch = setting, torch
        allowed = setting.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True

    def step(self) -> Callable[[], Any]:
        """As minicnn's."""
        torch, setting = self.torch, self.setting
        import torchvision

        tensors = [torch.from_numpy(array).cuda() for array in data(setting)]
        if setting.model == DEFORMABLE:
            return self._deformable(torchvision.ops.deform_conv2d, *tensors)
        images, labels = tensors
        net = getattr(torchvision.models, setting.model)()
        net.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in network(setting.model).state_dict().items()})
        net = net.cuda().train(setting.training)
        if setting.precision == "bfloat16":
            net, images = (x.to(memory_format=torch.channels_last) for x in (net, images))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

        def infer() -> Any:
            with torch.no_grad(), self._precision():
                return net(images)

        self.output = infer().float().cpu().numpy()

        def train() -> None:
            optimizer.zero_grad()
            with self._precision():
                loss = torch.nn.functional.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()

        return train if setting.training else infer

    def _precision(self) -> Any:
        return self.torch.autocast("cuda", self.torch.bfloat16, enabled=self.setting.precision == "bfloat16")

    def _deformable(self, operation: Any, *tensors: Any) -> Callable[[], Any]:
        image, offset, weight = (x.requires_grad_(self.setting.training) for x in tensors[:3])

        def sample() -> Any:
            with self._precision():
                return operation(image, offset, weight, padding=1)

        def run() -> None:
            y = sample()
            if self.setting.training:
                image.grad = offset.grad = weight.grad = None
                y.backward(tensors[3].to(y.dtype))

        self.output = sample().detach().float().cpu().numpy()
        return run

    def wait(self) -> None:
        """Until the GPU is done."""
        self.torch.cuda.synchronize()

    def used(self) -> int:
        """As minicnn's."""
        free, total = self.torch.cuda.mem_get_info()
        return total - free

    def clear(self) -> None:
        """Give memory back."""
        gc.collect()
        self.torch.cuda.empty_cache()


def peer() -> type[Torch] | None:
    """PyTorch, if it and torchvision are here and it sees the GPU."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "torchvision")):
        return None
    import torch

    return Torch if torch.cuda.is_available() else None


def launches(step: Callable[[], Any], wait: Callable[[], Any]) -> int | None:
    """Kernels and copies that the GPU does in a step, counted by PyTorch's profiler, which sees the whole process.

    ``None`` without it.
    """
    if peer() is None:
        return None
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        wait()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events()) or None
