"""Optimiser steps on the GPU: one kernel per parameter, which reads and writes every number once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def sgd_step(
    cuda: Any, params: Sequence[Any], grads: Sequence[Any], momentum_buffers: Sequence[Any], **options: Any
) -> list[Any]:
    """See ``reference.optimizer.sgd_step``."""
    return [
        _sgd(cuda, *arrays, **options)  # one launch per parameter
        for arrays in zip(params, grads, momentum_buffers, strict=True)
    ]


def adam_step(
    cuda: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    exp_avgs: Sequence[Any],
    exp_avg_sqs: Sequence[Any],
    max_exp_avg_sqs: Sequence[Any] | None = None,
    *,
    steps: Sequence[int],
    **options: Any,
) -> None:
    """See ``reference.optimizer.adam_step``."""
    largest = [None] * len(params) if max_exp_avg_sqs is None else max_exp_avg_sqs
    for *arrays, step in zip(params, grads, exp_avgs, exp_avg_sqs, largest, steps, strict=True):
        _adam(cuda, *arrays, step=step, **options)


def _sgd(
    cuda: Any,
    param: Any,
    grad: Any,
    momentum_buffer: Any,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Any:
    first = momentum_buffer is None
    if momentum == 0:
        momentum_buffer = None
    elif first:
        momentum_buffer = cuda.xp.empty(param.shape, param.dtype)
    with _written(cuda, param, momentum_buffer) as (weights, buffer):
        options = (first, lr, momentum, 1 - dampening, weight_decay, nesterov, maximize)
        gradient = cuda.xp.ascontiguousarray(grad, param.dtype)
        cuda.launch("optimizer", "sgd_step", param.dtype, param.size, weights, gradient, buffer, *options)
    return momentum_buffer


def _adam(
    cuda: Any,
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> None:
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled_weight_decay else (weight_decay, 1.0)
    options = (
        beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink, lr / (1 - beta1**step), (1 - beta2**step) ** 0.5,
        maximize,
    )  # fmt: skip
    with _written(cuda, param, exp_avg, exp_avg_sq, max_exp_avg_sq) as (weights, *averages):
        gradient = cuda.xp.ascontiguousarray(grad, param.dtype)
        cuda.launch("optimizer", "adam_step", param.dtype, param.size, weights, gradient, *averages, *options)


@contextmanager
def _written(cuda: Any, *arrays: Any) -> Iterator[list[Any]]:
    """Contiguous arrays to write into: ``arrays`` themselves, or copies that are copied back."""
    contiguous = [None if array is None else cuda.xp.ascontiguousarray(array) for array in arrays]
    yield contiguous
    for array, written in zip(arrays, contiguous, strict=True):
        if written is not array:
            array[...] = written
