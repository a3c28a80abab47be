"""What data parallel training costs in communication: one step of training, simulated.

Each of n workers computes the gradients of its own images, layer by layer from the last one to the first. What it has
computed is gathered in *buckets*. A full bucket is *all-reduced*, so that all workers have the sum of all gradients,
while the backward pass goes on. The buckets follow each other on the link. The step ends when backward is through and
the last bucket has arrived; the time in between, when the worker has nothing to do but to wait, is *exposed*.

What a message costs is the usual model of two numbers: m bytes take ``latency + m / bandwidth`` seconds. All workers
are equally fast, each sends and receives at the same time, and neither takes time from the computation. docs/scaling.md
uses this module; ``benchmarks/scaling.py`` compares it with what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..nn import Module
from ..nn.summary import summary
from .buckets import FIRST, LARGEST, MEGABYTE

__all__ = [
    "Layer",
    "Link",
    "Step",
    "Transfer",
    "buckets",
    "halving_doubling",
    "layers_of",
    "ring",
    "simulate_step",
    "tree",
]

BUCKET_BYTES, FIRST_BYTES = LARGEST * MEGABYTE, FIRST * MEGABYTE  # as in DistributedDataParallel


class Layer(NamedTuple):
    """What one layer costs one worker in a step: seconds forward and backward, and the bytes of its gradients."""

    name: str
    forward: float
    backward: float
    gradient_bytes: int


class Link(NamedTuple):
    """How workers are connected: the seconds that each message takes, and bytes per second in each direction."""

    latency: float
    bandwidth: float


class Transfer(NamedTuple):
    """One bucket on the link: bytes, and the seconds of the step between which it is all-reduced."""

    gradient_bytes: int
    start: float
    end: float


class Step(NamedTuple):
    """A simulated step of training: the seconds of forward and backward, and every bucket that was sent."""

    computation: float
    transfers: tuple[Transfer, ...]

    @property
    def seconds(self) -> float:
        """How long the step takes."""
        return max([self.computation, *(transfer.end for transfer in self.transfers)])

    @property
    def communication(self) -> float:
        """The seconds for which the link is in use."""
        return sum(transfer.end - transfer.start for transfer in self.transfers)

    @property
    def exposed(self) -> float:
        """The seconds of communication that no computation hides."""
        return self.seconds - self.computation

    @property
    def efficiency(self) -> float:
        """Images per second of all workers, divided by what as many workers would do if communication took no time."""
        return self.computation / self.seconds if self.seconds else 1.0


# ---- all-reduce: (bytes, workers, link) -> seconds -----------------------------------------------------------------

AllReduce = Callable[[float, int, Link], float]


def ring(gradient_bytes: float, workers: int, link: Link) -> float:
    """Seconds of an all-reduce in which each worker sends to the next one only [Patarasuk and Yuan 2009].

    The bucket is cut into n parts. In n - 1 rounds the sums travel around, in n - 1 more the finished sums: 2 (n - 1)
    messages of 1/n of the bucket, one after the other. No algorithm sends fewer bytes, but the messages become many.
    """
    messages = 2 * (workers - 1)
    return messages * (link.latency + gradient_bytes / workers / link.bandwidth)


def halving_doubling(gradient_bytes: float, workers: int, link: Link) -> float:
    """Seconds of an all-reduce by recursive halving and doubling [Thakur, Rabenseifner and Gropp 2005].

    In each round a worker exchanges half of what it had before with one that is twice as far away, and then all of it
    on the way back: the ring's bytes in 2 log2 n messages. Exact where n is a power of two.
    """
    rounds = math.ceil(math.log2(workers))
    return 2 * (rounds * link.latency + (workers - 1) / workers * gradient_bytes / link.bandwidth)


def tree(gradient_bytes: float, workers: int, link: Link) -> float:
    """Seconds of a reduction along a binomial tree and a broadcast back: the whole bucket in 2 log2 n messages."""
    rounds = math.ceil(math.log2(workers))
    return 2 * rounds * (link.latency + gradient_bytes / link.bandwidth)


# ---- a step --------------------------------------------------------------------------------------------------------


def buckets(layers: Sequence[Layer], bucket_bytes: float = BUCKET_BYTES) -> list[tuple[float, int]]:
    """The buckets in the order in which they are filled: the second at which each one is full, and its bytes.

    A layer that would bring a bucket over ``bucket_bytes`` (the first one: 1 MiB, if that is less) begins another one.
    """
    found: list[tuple[float, int]] = []
    clock = sum(layer.forward for layer in layers)
    for layer in reversed(layers):
        clock += layer.backward
        if not layer.gradient_bytes:
            continue
        limit = bucket_bytes if len(found) > 1 else min(bucket_bytes, FIRST_BYTES)
        if found and found[-1][1] + layer.gradient_bytes <= limit:
            found[-1] = clock, found[-1][1] + layer.gradient_bytes
        else:
            found.append((clock, layer.gradient_bytes))
    return found


def simulate_step(
    layers: Sequence[Layer],
    workers: int,
    link: Link,
    *,
    bucket_bytes: float = BUCKET_BYTES,
    overlap: bool = True,
    all_reduce: AllReduce = ring,
) -> Step:
    """One step of training on ``workers`` workers.

    Args:
        layers: in the order of the forward pass, each with its times on one worker.
        workers: 1 has nothing to communicate.
        link: between a worker and each of its neighbours.
        bucket_bytes: how much is gathered before it is sent, at most.
        overlap: send a bucket as soon as it is full; otherwise all of them after the backward pass.
        all_reduce: ``ring``, ``halving_doubling``, ``tree`` or a function like them.

    Raises:
        ValueError: for less than one worker, a negative time or latency, or a bandwidth that is not positive.
    """
    if workers < 1:
        raise ValueError(f"expected 1 worker or more, got {workers}")
    if not (link.latency >= 0 and link.bandwidth > 0):
        raise ValueError(f"expected a latency of 0 or more and a bandwidth above 0, got {link}")
    if wrong := [layer for layer in layers if not (layer.forward >= 0 and layer.backward >= 0)]:
        raise ValueError(f"expected times of 0 or more, got {wrong[0]}")
    computation = sum(layer.forward + layer.backward for layer in layers)
    transfers: list[Transfer] = []
    free = 0.0  # from when on the link is free again
    for full, gradient_bytes in buckets(layers, bucket_bytes) if workers > 1 else ():
        start = max(free, full if overlap else computation)
        free = start + all_reduce(gradient_bytes, workers, link)
        transfers.append(Transfer(gradient_bytes, start, free))
    return Step(computation, tuple(transfers))


def layers_of(model: Module, input_shape: tuple[int, ...], batch_size: int, rate: float) -> list[Layer]:
    """The layers of a network, with times from their multiply-adds.

    A layer takes ``batch_size`` times its multiply-adds at ``rate`` for the forward pass, and twice that for the two
    gradients of the backward pass. Layers without multiply-adds (norms, activations, pooling) take no time. Parameters
    that only training uses (GoogLeNet's auxiliary classifiers) come last, so their gradients are sent first.

    Args:
        input_shape: (C, H, W) of one image.
        batch_size: images per worker.
        rate: multiply-adds per second of one worker.
    """
    unsent = {
        name: sum(p.numel() * p.element_size() for p in module.parameters(recurse=False) if p.requires_grad)
        for name, module in model.named_modules()
    }
    layers = []
    for row in summary(model, input_shape).rows:
        seconds = batch_size * row.multiply_adds / rate
        layers.append(Layer(row.name, seconds, 2 * seconds, unsent.pop(row.name, 0)))
    return [*layers, *(Layer(name, 0.0, 0.0, size) for name, size in unsent.items() if size)]
