"""ResNet inference and training on a GPU against PyTorch eager: images per second, and memory, in one run.

    python benchmarks/gpu.py                      # ResNet-18 and 50, batches of 32 and 128, float32 and TF32
    python benchmarks/gpu.py --models resnet18 --batches 32 --seconds 1

Both libraries get the same network and random images of 224 x 224 that are on the GPU already, and are measured one
after the other: a warm-up (kernels are compiled, memory pools filled), then steps for a while, waiting for the GPU
every five steps. "float32" forbids TensorFloat-32 everywhere; "tf32" allows it everywhere. A ratio above 1 says that
minicnn is faster. Memory is the most that was held.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import backend
from minicnn.errors import DeviceError

IMAGE = (3, 224, 224)


class Measured(NamedTuple):
    """What one library did in one setting."""

    images_per_second: float
    gibibytes: float


class Minicnn:
    """minicnn on CuPy."""

    name = "minicnn"

    def __init__(self, precision: str) -> None:
        self.gpu = backend.load("cuda")
        backend.cuda.allow_tf32_convolutions = backend.cuda.allow_tf32_matmuls = precision == "tf32"
        self.pool = self.gpu.xp.get_default_memory_pool()

    def work(self, model: str, batch: int, training: bool) -> Callable[[], None]:
        """One step: of inference, or of training by SGD with momentum."""
        net = minicnn.models.create_model(model, variant="torchvision").to("cuda").train(training)
        images, labels = (minicnn.tensor(array, device="cuda") for array in data(batch))
        optimizer = minicnn.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

        def infer() -> None:
            with minicnn.no_grad():
                net(images)

        def train() -> None:
            loss = minicnn.nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return train if training else infer

    def wait(self) -> None:
        """Until the GPU is done."""
        self.gpu.xp.cuda.get_current_stream().synchronize()

    def memory(self) -> int:
        """Bytes the pool holds: it was emptied before, and gives nothing back."""
        return self.pool.total_bytes()

    def clear(self) -> None:
        """Give memory back."""
        gc.collect()
        self.pool.free_all_blocks()


class Torch:
    """PyTorch eager, its convolutions tuned by cudnn.benchmark."""

    name = "torch"

    def __init__(self, precision: str) -> None:
        import torch

        self.torch = torch
        allowed = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True

    def work(self, model: str, batch: int, training: bool) -> Callable[[], None]:
        """As minicnn's."""
        torch = self.torch
        import torchvision

        net = getattr(torchvision.models, model)().cuda().train(training)
        images, labels = (torch.from_numpy(array).cuda() for array in data(batch))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

        def infer() -> None:
            with torch.no_grad():
                net(images)

        def train() -> None:
            loss = torch.nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return train if training else infer

    def wait(self) -> None:
        """Until the GPU is done."""
        self.torch.cuda.synchronize()

    def memory(self) -> int:
        """The most bytes reserved since ``clear``."""
        return self.torch.cuda.max_memory_reserved()

    def clear(self) -> None:
        """Give memory back and forget the peak."""
        gc.collect()
        self.torch.cuda.empty_cache()
        self.torch.cuda.reset_peak_memory_stats()


def data(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *IMAGE), dtype=np.float32), rng.integers(0, 1000, batch)


def measure(library: Any, model: str, batch: int, training: bool, seconds: float) -> Measured:
    """Images per second and memory of one library in one setting."""
    library.clear()
    step = library.work(model, batch, training)
    for _ in range(5):
        step()
    library.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(5):
            step()
        library.wait()
        steps += 5
    return Measured(steps * batch / (time.perf_counter() - start), library.memory() / 2**30)


def main() -> int:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], metavar="NAME")
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128], metavar="N")
    parser.add_argument("--precisions", nargs="+", default=["float32", "tf32"], choices=["float32", "tf32"])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each figure is measured")
    args = parser.parse_args()
    try:
        backend.load("cuda")
    except DeviceError as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
        return 1
    peers = [Minicnn, Torch] if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision") else []
    if not peers:
        print("PyTorch or torchvision is not installed: minicnn is measured alone", file=sys.stderr)
    print("| network | batch | precision | work | minicnn img/s | PyTorch img/s | ratio | minicnn GiB | PyTorch GiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model in args.models:
        for batch in args.batches:
            for precision in args.precisions:
                for training in (False, True):
                    ours, *theirs = (
                        measure(library(precision), model, batch, training, args.seconds)
                        for library in peers or [Minicnn]
                    )
                    cells = [model, batch, precision, "training" if training else "inference"]
                    cells += row(ours, theirs[0] if theirs else None)
                    print("|", " | ".join(map(str, cells)), "|", flush=True)
    return 0


def row(ours: Measured, theirs: Measured | None) -> list[str]:
    """The figures of one line."""
    if theirs is None:
        return [f"{ours.images_per_second:.0f}", "-", "-", f"{ours.gibibytes:.2f}", "-"]
    ratio = ours.images_per_second / theirs.images_per_second
    return [
        f"{ours.images_per_second:.0f}", f"{theirs.images_per_second:.0f}", f"{ratio:.2f}", f"{ours.gibibytes:.2f}",
        f"{theirs.gibibytes:.2f}",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
