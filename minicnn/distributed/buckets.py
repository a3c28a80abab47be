"""Gradients are averaged in buckets: many in one flat array, because a message costs time however short it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from .. import backend as backends
from ..tensors import Tensor
from . import group

MEGABYTE = 1 << 20
LARGEST = 25.0  # megabytes of a bucket, as PyTorch's
FIRST = 1.0  # megabytes of the first one: small, so that the first message leaves early


class Bucket:
    """The gradients of some parameters, one after the other in a flat array, and then one number for each of them: how
    many ranks have a gradient for it.
    """

    def __init__(self, parameters: Sequence[Tensor], communicator: Any) -> None:
        self.communicator = communicator
        self.parameters = list(parameters)
        ends = np.cumsum([0, *(prod(parameter.shape) for parameter in parameters)])
        self.slices = [slice(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]
        first = self.parameters[0]
        dtype = np.float32 if first.dtype.itemsize == 2 else first.dtype  # MPI knows no floats of 16 bits
        self.xp = backends.get(first.device).xp
        self.flat = self.xp.zeros(ends[-1] + len(parameters), dtype)
        self.counts = self.flat[ends[-1] :]
        self.work: Any = None
        self.filled = [False] * len(parameters)
        self.announced: dict[int, Any] = {}  # what a compiled model has said the gradient is, by the parameter's place

    @property
    def complete(self) -> bool:
        """Whether all gradients are there."""
        return all(self.filled)

    def fill(self, place: int, gradient: Any) -> None:
        """Copy the gradient of parameter ``place``."""
        if self.work is not None:
            raise RuntimeError("a gradient arrived twice in one backward pass: the first is already on its way")
        self.flat[self.slices[place]] = gradient.reshape(-1)
        self.filled[place] = True

    def send(self) -> None:
        """Begin to sum over all ranks. What did not get a gradient now sends what it had before, or zeros."""
        for place, parameter in enumerate(self.parameters):
            if not self.filled[place] and parameter.grad is not None:
                self.fill(place, parameter.grad.array)
            elif not self.filled[place]:
                self.flat[self.slices[place]] = 0
            self.counts[place] = self.filled[place]
        self.work = self.communicator.all_reduce(self.flat, "SUM")

    def receive(self) -> None:
        """Wait for the sums, and make ``.grad`` the mean over all ranks: None if no rank has a gradient."""
        self.work.wait()
        size = group.get_world_size()
        found = self.filled if self.complete else [bool(count) for count in self.counts]
        for parameter, where, used in zip(self.parameters, self.slices, found, strict=True):
            if not used:
                continue
            if parameter.grad is None:
                parameter.grad = Tensor.wrap(self.xp.empty(parameter.shape, parameter.dtype), parameter.device)
            self.xp.divide(self.flat[where].reshape(parameter.shape), size, out=parameter.grad.array)
            parameter.grad.mark_written()
        self.work, self.filled = None, [False] * len(self.parameters)


def buckets_of(parameters: Iterable[Tensor], megabytes: float) -> list[Bucket]:
    """The parameters in buckets, the last first: in this order backward usually finds their gradients.

    Every bucket has one dtype and device, and up to ``megabytes``; a larger parameter has its own.
    """
    parts = list(parts_of(parameters, megabytes))
    places = {str(part[0].device): part[0].device for part in parts}
    communicators = {name: group.for_device(place, new=True) for name, place in places.items()}
    return [Bucket(part, communicators[str(part[0].device)]) for part in parts]


def parts_of(parameters: Iterable[Tensor], megabytes: float) -> Iterator[list[Tensor]]:
    """The parameters of each bucket."""
    limit = min(FIRST, megabytes) * MEGABYTE
    open_ones: dict[Any, list[Tensor]] = {}
    for parameter in reversed(list(parameters)):
        kind = parameter.dtype, str(parameter.device)
        bucket = open_ones.setdefault(kind, [])
        if bucket and sum(p.array.nbytes for p in bucket) + parameter.array.nbytes > limit:
            yield open_ones.pop(kind)
            bucket = open_ones[kind] = []
            limit = megabytes * MEGABYTE
        bucket.append(parameter)
    yield from open_ones.values()
