"""A training on several processes, the ranks: rank 0 leads, and alone reads and writes the run folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import distributed
from ..devices import device
from ..nn import Module
from ..random import manual_seed
from ..tensors import Tensor
from .metrics import ClassificationMetrics

Result = TypeVar("Result")
THREADS = "NUMBA_NUM_THREADS"


def ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this process reads and writes the run folder, and shows what happens."""
    return ranks() == 1 or distributed.get_rank() == 0


def on_machine(images: int) -> int:
    """How many of the images of a step the ranks of this machine compute, at most."""
    return images if ranks() == 1 else -(-images // ranks()) * distributed.get_local_size()


def require_weighable(loader: Any) -> None:
    """Raise ValueError unless ``weight_of`` knows the images of every batch, and each rank has at least one of them."""
    images = len(loader.dataset)
    full = loader.drop_last or images <= loader.batch_size
    if not full or min(loader.batch_size, images) < ranks():
        raise ValueError(
            f"{ranks()} ranks need a training loader whose batches are all full (drop_last=True), or have the whole "
            f"data set, with an image for each rank at least; got {images} images in batches of {loader.batch_size}"
        )


def by_leader(function: Callable[[], Result]) -> Result:
    """What ``function()`` returns on rank 0, which alone calls it. It is pickled on the way to the others."""
    if ranks() == 1:
        return function()
    found = [function() if leads() else None]
    distributed.broadcast_object_list(found)
    return found[0]  # type: ignore[return-value]


def share_cores() -> None:
    """Compute with this rank's share of the machine's cores, unless NUMBA_NUM_THREADS says how many threads."""
    import numba

    able = hasattr(os, "sched_getaffinity")
    cores = frozenset(os.sched_getaffinity(0)) if able else frozenset(range(os.cpu_count() or 1))
    own = socket.gethostname(), cores
    everyone: list[Any] = []
    distributed.all_gather_object(everyone, own)
    if THREADS not in os.environ:
        numba.set_num_threads(max(1, min(numba.get_num_threads(), len(cores) // everyone.count(own))))


def enter_device(name: str) -> None:
    """Before a rank computes on ``"cuda"``: give it a GPU of its own, and NCCL."""
    if ranks() > 1 and device(name).type == "cuda":
        distributed.enter_gpu()


def seed_epoch(loader: Any, epoch: int) -> None:
    """Start this rank's random numbers of an epoch, such as those of dropout: others on each rank."""
    if ranks() > 1:
        state = np.random.SeedSequence([loader.seed, epoch, distributed.get_rank()]).generate_state(1, np.uint64)
        manual_seed(int(state[0]))


def add_up(metrics: ClassificationMetrics) -> ClassificationMetrics:
    """Make ``metrics`` those of the images of all ranks."""
    if ranks() > 1:
        means = [metrics.loss, *metrics.topk.values()]
        sums = Tensor.wrap(np.array([[mean.total, mean.count] for mean in means]))
        distributed.all_reduce(sums)
        for mean, (total, count) in zip(means, sums.numpy(), strict=True):
            mean.total, mean.count = float(total), int(count)
    return metrics


def weight_of(images: int, loader: Any) -> np.ndarray | None:
    """The weight of this rank's mean loss, so that the mean over all ranks is that over all images; None for 1.

    Args:
        images: how many this rank has in the batch.
        loader: of the training, whose batches are all full, or the whole data set.
    """
    if ranks() == 1 or images * ranks() == (everyone := min(loader.batch_size, len(loader.dataset))):
        return None
    return np.array(images * ranks() / everyone)


def agree_on_buffers(model: Module) -> None:
    """Make the running statistics of batch norm the means over all ranks."""
    if ranks() > 1:
        distributed.average_buffers(model)
