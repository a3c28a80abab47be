"""Data parallel training: every rank has the whole network, and a part of each batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

from .. import backend as backends
from ..autograd import Function, is_grad_enabled
from ..autograd.modes import SWITCHES
from ..nn import Module
from ..tensors import Tensor
from . import group
from .agreement import require_agreement
from .buckets import LARGEST, Bucket, buckets_of


class DistributedDataParallel(Module):
    """The network ``module``, whose gradients after ``backward`` are the means over all ranks.

    If each rank's loss is a mean over as many images, the gradients are those of one process with all of these images.
    Gradients are summed in buckets, those of the last layers first, while backward still computes those before.

    When it is made, all ranks get the parameters and buffers of rank 0. Buffers are not exchanged after that (PyTorch's
    sends those of rank 0 before each forward): ``average_buffers`` does it when it is wanted, or use ``SyncBatchNorm``.
    A parameter without a gradient on some ranks counts as zero there; on all, it has none, as in one process.

    Args:
        module: the network on this rank's device, or what ``minicnn.compile`` makes of it. What is to be frozen must be
            frozen before.
        bucket_cap_mb: the largest size of a bucket in megabytes; the first one has at most one.

    Raises:
        RuntimeError: without a process group.
        DisagreementError: if the ranks differ in minicnn's version, or in the network's shapes and dtypes.
    """

    def __init__(self, module: Any, *, bucket_cap_mb: float = LARGEST) -> None:
        super().__init__()
        self.compiled = None if isinstance(module, Module) else module
        self.module: Module = module if isinstance(module, Module) else module.model
        self.require_backward_grad_sync = True
        require_agreement({"the network": shapes_of(self.module), "bucket_cap_mb": bucket_cap_mb})
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            group.broadcast(tensor, 0)
        parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        several = group.get_world_size() > 1
        self._reducer = _Reducer(parameters, bucket_cap_mb, self) if several and parameters else None

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the network returns."""
        if SWITCHES.recorder is not None:
            SWITCHES.recorder.give_up("it communicates: write DistributedDataParallel(minicnn.compile(model))")
        output = (self.compiled or self.module)(*inputs, **kwargs)
        if self._reducer is None or not (self.require_backward_grad_sync and is_grad_enabled()):
            return output
        return _mapped(partial(_watched, self._reducer, self._reducer.mark()), output)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Forward and backward in this block only add to the gradients of this rank.

        The first backward after it averages what all of them have added.
        """
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before


class _Watched(Function):
    """The identity, whose gradient also goes to ``mark``, a leaf. With its backward that of the network begins."""

    @staticmethod
    def forward(ctx: Any, mark: Any, x: Any, begin: Callable[[], None]) -> Any:
        ctx.mark, ctx.begin = mark, begin
        return x.view()

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        ctx.begin()
        return ctx.mark, cotangent, None


def _watched(reducer: _Reducer, mark: Tensor, output: Tensor) -> Tensor:
    """``output``, from whose graph backward reaches ``mark`` last of all: then all other gradients are there."""
    output = _Watched.apply(mark, output, partial(reducer.running.add, id(mark)))
    output.grad_fn.edges[0][0].created = -1  # older than all others: backward goes from new to old
    return output


class _Reducer:
    """Sends each bucket when its gradients are there, all ranks in the same order, and receives them all at the end."""

    def __init__(self, parameters: list[Tensor], megabytes: float, owner: DistributedDataParallel) -> None:
        self.owner = weakref.proxy(owner)
        self.buckets = buckets_of(parameters, megabytes)
        self.sent = 0
        self.waiting: dict[int, weakref.ref[Tensor]] = {}  # the marks of forward passes before their backward
        self.running: set[int] = set()  # the marks of those whose backward has begun
        for bucket in self.buckets:
            for place, parameter in enumerate(bucket.parameters):
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, bucket, place))
                parameter._announce = partial(self._announced, bucket, place, weakref.proxy(parameter))

    def mark(self) -> Tensor:
        """A leaf for the graph of one forward pass; the end of its backward calls ``_finish``."""
        if self.running:
            raise RuntimeError(
                "the last backward pass through this network did not end: gradients are averaged only by backward() "
                "of all parameters, not by backward(inputs=...) and autograd.grad"
            )
        place = self.buckets[0].parameters[0].device
        mark = Tensor.wrap(backends.get(place).xp.zeros(()), place).requires_grad_()
        mark.register_post_accumulate_grad_hook(self._finish)
        key = id(mark)
        self.waiting[key] = weakref.ref(mark, lambda _: self.waiting.pop(key, None))
        return mark

    @property
    def active(self) -> bool:
        return bool(self.running) and self.owner.require_backward_grad_sync

    def _announced(self, bucket: Bucket, place: int, parameter: Tensor, gradient: Any) -> None:
        """A compiled model has a gradient; that it is all of ``.grad`` shows only when backward is over.

        If it ran several times, it is not.
        """
        if self.active and parameter.grad is None and len(self.running | self.waiting.keys()) == 1:
            bucket.announced[place] = gradient
            self._fill(bucket, place, gradient)

    def _arrived(self, bucket: Bucket, place: int, parameter: Tensor) -> None:
        """The ``.grad`` of a parameter is there."""
        if not self.active:
            return
        assert parameter.grad is not None
        gradient, announced = parameter.grad.array, bucket.announced.pop(place, None)
        if announced is None:
            self._fill(bucket, place, gradient)
        elif gradient is not announced and not bucket.xp.array_equal(gradient, announced, equal_nan=True):
            raise RuntimeError(
                f"a parameter of shape {parameter.shape} has a hook, or is used outside of the compiled model too: "
                "give DistributedDataParallel the model itself"
            )

    def _fill(self, bucket: Bucket, place: int, gradient: Any) -> None:
        bucket.fill(place, gradient)
        while self.sent < len(self.buckets) and self.buckets[self.sent].complete:
            self._send()
        for earlier in self.buckets[: self.sent]:
            earlier.work.is_completed()

    def _send(self) -> None:
        self.buckets[self.sent].send()
        self.sent += 1

    def _finish(self, mark: Tensor) -> None:
        """The backward of one forward pass is over; that of the last one averages."""
        active = self.active
        self.waiting.pop(id(mark), None)
        self.running.discard(id(mark))
        if self.running or not active:
            return
        while self.sent < len(self.buckets):
            self._send()
        for bucket in self.buckets:
            bucket.receive()
        self.sent = 0


def average_buffers(module: Module) -> None:
    """Make every floating-point buffer, such as running statistics, the mean over all ranks; others become rank 0's."""
    for buffer in module.buffers():
        if buffer.is_floating_point():
            group.all_reduce(buffer, group.ReduceOp.AVG)
        else:
            group.broadcast(buffer, 0)


def shapes_of(module: Module) -> dict[str, str]:
    """What every parameter and buffer is like: its shape and dtype, and of a parameter whether it is frozen."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: f"{tuple(t.shape)} {t.dtype}" + ", frozen" * (name in frozen) for name, t in named}


def _mapped(function: Callable[[Tensor], Tensor], output: Any) -> Any:
    """``output`` with every tensor that has a graph replaced. Raises TypeError for what may hide tensors."""
    if isinstance(output, Tensor):
        return function(output) if output.requires_grad else output
    if isinstance(output, (tuple, list)):
        items = [_mapped(function, item) for item in output]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    if isinstance(output, dict):
        return type(output)({key: _mapped(function, item) for key, item in output.items()})
    if is_dataclass(output) and not isinstance(output, type):
        return replace(output, **{each.name: _mapped(function, getattr(output, each.name)) for each in fields(output)})
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    raise TypeError(
        "DistributedDataParallel: expected the network to return tensors, in tuples, lists, dictionaries and "
        f"dataclasses, got {type(output).__name__}"
    )
