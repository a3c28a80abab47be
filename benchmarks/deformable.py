"""Deformable convolution, forward and backward, against PyTorch's ``grid_sample``: ``python benchmarks/deformable.py``.

PyTorch has no deformable convolution of its own. What its users write without torchvision's compiled operator is a
composition: one ``grid_sample`` at all taps of all windows, then a matrix product. Both sides compute the same: images
(8, 256, 28, 28), 256 filters of 3x3, offsets drawn from N(0, 1), gradients at image, offsets and weight, in float32.

Each side has a process of its own, which waits while the other one works. They are timed in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
STEPS = ("forward", "backward")
Shape = tuple[int, int, int, int]


def problem(shape: Shape) -> dict[str, np.ndarray]:
    """Image, offsets, weight and cotangent, the same in every process."""
    n, channels, h, w = shape
    rng = np.random.default_rng(0)
    shapes = {
        "input": shape,
        "offset": (n, 18, h, w),
        "weight": (channels, channels, 3, 3),
        "cotangent": (n, channels, h, w),
    }
    return {name: rng.standard_normal(size, dtype=np.float32) for name, size in shapes.items()}


def multiply_adds(shape: Shape) -> int:
    """Of the forward pass's matrix product; backward has two more of that size. Sampling is not counted."""
    n, channels, h, w = shape
    return n * channels * channels * 9 * h * w


# ---- the two sides: each returns forward() -> y and backward(y), which leaves gradients in the tensors ------------


def ours(arrays: dict[str, np.ndarray]) -> tuple[Callable[[], Any], Callable[[Any], None], dict[str, Any]]:
    """``minicnn.nn.functional.deform_conv2d``."""
    import minicnn
    from minicnn.nn import functional as F

    tensors = {k: minicnn.tensor(a, requires_grad=True) for k, a in arrays.items() if k != "cotangent"}
    cotangent = minicnn.tensor(arrays["cotangent"])
    return lambda: F.deform_conv2d(**tensors, padding=1), lambda y: y.backward(cotangent), tensors


def peer(arrays: dict[str, np.ndarray]) -> tuple[Callable[[], Any], Callable[[Any], None], dict[str, Any]]:
    """``torch.nn.functional.grid_sample`` at all taps at once, then one product."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    tensors = {k: torch.tensor(a, requires_grad=True) for k, a in arrays.items() if k != "cotangent"}
    cotangent = torch.tensor(arrays["cotangent"])
    n, channels, h, w = tensors["input"].shape
    taps = torch.arange(3) - 1
    rows = taps.repeat_interleave(3)[:, None, None] + torch.arange(h)[:, None]  # (9, H, 1)
    columns = taps.repeat(3)[:, None, None] + torch.arange(w)  # (9, 1, W)

    def forward() -> Any:
        offset = tensors["offset"].reshape(n, 9, 2, h, w)
        y = (rows + offset[:, :, 0]) * (2 / (h - 1)) - 1  # grid_sample's coordinates run from -1 to 1
        x = (columns + offset[:, :, 1]) * (2 / (w - 1)) - 1
        grid = torch.stack([x, y], -1).reshape(n, 9 * h, w, 2)
        samples = torch.nn.functional.grid_sample(tensors["input"], grid, align_corners=True)  # (N, C, 9 * H, W)
        weight = tensors["weight"].reshape(-1, channels * 9)
        return (weight @ samples.reshape(n, channels * 9, h * w)).reshape(n, -1, h, w)

    return forward, lambda y: y.backward(cotangent), tensors


# ---- one process a side ------------------------------------------------------------------------------------------


def serve(side: Callable[..., Any], shape: Shape, line: Connection) -> None:
    """Answer "results" with value and gradients, and "time" with the seconds of one forward and one backward."""
    arrays = problem(shape)
    forward, backward, tensors = side(arrays)
    while (request := line.recv()) != "stop":
        for tensor in tensors.values():
            tensor.grad = None
        times = [time.perf_counter()]
        y = forward()
        times.append(time.perf_counter())
        backward(y)
        times.append(time.perf_counter())
        if request == "results":
            gradients = {f"gradient at {k}": t.grad.numpy() for k, t in tensors.items()}
            line.send({"output": y.detach().numpy(), **gradients})
        else:
            line.send([end - start for start, end in zip(times, times[1:], strict=False)])


def ask(line: Connection, request: str) -> Any:
    """The other process's answer."""
    line.send(request)
    return line.recv()


def check(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """The largest difference, relative to the largest number of its array.

    Raises:
        SystemExit: if it is more than rounding in float32.
    """
    worst = 0.0
    for name, expected in theirs.items():
        difference = np.abs(mine[name] - expected) / np.abs(expected).max()
        # A sample within a rounding error of a grid line may get one slope here and the other one there: few do.
        share = 0.9999 if name == "gradient at offset" else 1.0
        worst = max(worst, float(np.quantile(difference, share)))
    if worst > 1e-3:
        sys.exit(f"the two sides disagree: relative difference {worst:.1e}")
    return worst


def main() -> None:
    """Check, time in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--shape", type=int, nargs=4, default=(8, 256, 28, 28), metavar=("N", "C", "H", "W"))
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="measurements of each side (default: 7)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each side (default: 1)")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        sys.exit("this benchmark compares with PyTorch, which is not installed: pip install torch")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(args.threads)  # the processes to come inherit them before they import NumPy
    shape = tuple(args.shape)

    context = multiprocessing.get_context("spawn")
    lines, processes = [], []
    for side in (ours, peer):
        here, there = context.Pipe()
        processes.append(context.Process(target=serve, args=(side, shape, there), daemon=True))
        processes[-1].start()
        lines.append(here)
    worst = check(*(ask(line, "results") for line in lines))  # also compiles and warms up
    print(f"shape {shape}, 3x3, {args.threads} thread(s); same results to {worst:.0e} of the largest")

    # rounds x 2 sides x 2 steps
    seconds = np.array([[ask(line, "time") for line in lines] for _ in range(args.rounds)])
    for line, process in zip(lines, processes, strict=True):
        line.send("stop")
        process.join()
    work = multiply_adds(shape)
    print(f"{'':9} {'minicnn':>10} {'PyTorch':>10} {'ratio':>6}  {'quartiles':>11}  minicnn's multiply-adds")
    for i, (step, products) in enumerate(zip((*STEPS, "both"), (1, 2, 3), strict=True)):
        times = seconds.sum(axis=2) if step == "both" else seconds[:, :, i]
        mine, theirs = (statistics.median(column) for column in times.T)
        low, high = np.quantile(times[:, 0] / times[:, 1], (0.25, 0.75))
        print(
            f"{step:9} {1e3 * mine:7.0f} ms {1e3 * theirs:7.0f} ms {mine / theirs:6.2f}  {low:5.2f}-{high:.2f}  "
            f"{products * work / mine / 1e9:5.1f} G/s"
        )
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; below 1 is faster")


if __name__ == "__main__":
    main()
