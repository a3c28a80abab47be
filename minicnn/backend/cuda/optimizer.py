"""Optimiser steps on the GPU: one kernel for many parameters, which reads and writes every number once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import replay
from .tensors import Table, tables

GRADIENTS = 1  # the column of arrays that are not written


def sgd_step(
    cuda: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    momentum_buffers: Sequence[Any],
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[Any]:
    """See ``reference.optimizer.sgd_step``."""
    buffers: list[Any] = [None] * len(params)
    if momentum != 0:
        buffers = [
            cuda.xp.empty(param.shape, param.dtype) if buffer is None else buffer
            for param, buffer in zip(params, momentum_buffers, strict=True)
        ]
    for first in (False, True):
        chosen = [i for i, buffer in enumerate(momentum_buffers) if (buffer is None) == first]
        columns = [[column[i] for i in chosen] for column in (params, grads, buffers)]
        numbers = (lr, momentum, 1 - dampening, weight_decay)
        _update(cuda, "sgd_step", columns, numbers, first, nesterov, maximize)
    return buffers


def adam_step(
    cuda: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    exp_avgs: Sequence[Any],
    exp_avg_sqs: Sequence[Any],
    max_exp_avg_sqs: Sequence[Any] | None = None,
    *,
    steps: Sequence[int],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> None:
    """See ``reference.optimizer.adam_step``."""
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled_weight_decay else (weight_decay, 1.0)
    numbers = [beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink]
    for step in steps:
        numbers += (lr / (1 - beta1**step), (1 - beta2**step) ** 0.5)
    largest = [None] * len(params) if max_exp_avg_sqs is None else max_exp_avg_sqs
    _update(cuda, "adam_step", [params, grads, exp_avgs, exp_avg_sqs, largest], numbers, maximize)


def _update(cuda: Any, kernel: str, columns: Sequence[Sequence[Any]], numbers: Sequence[float], *options: Any) -> None:
    """Launch ``kernel`` on all tensors. It works on contiguous memory: strided arrays are copied there and back."""
    params = columns[0]
    if not params:
        return
    dtype = params[0].dtype
    on_device = cuda.numbers(numbers, dtype)
    if replay.replays_same(
        [*options, *(array.data.ptr for column in columns for array in column if array is not None)]
    ):
        return  # the graph computes
    contiguous = cuda.xp.ascontiguousarray
    used = [[None if array is None else contiguous(array, dtype) for array in column] for column in columns]
    for table in tables(used):
        cuda.launch("optimizer", kernel, dtype, table.chunks, table.argument, on_device, *options, block_each=True)
    for position, (column, written) in enumerate(zip(columns, used, strict=True)):
        for array, contiguous_array in zip(column, written, strict=True):
            if contiguous_array is not array and position != GRADIENTS:
                array[...] = contiguous_array


def clip(cuda: Any, gradients: Sequence[Any], limit: float, p: float) -> Any:
    """Scale all gradients by one factor, so that their p-norm as one vector is at most ``limit``.

    Returns:
        The norm before, a 0-d float64 array. The host does not wait for it.
    """
    used = [cuda.xp.ascontiguousarray(gradient) for gradient in gradients]
    parts = _by_dtype(used)
    sums, result = _norms_of_chunks(cuda, parts, p), cuda.xp.empty(2, "float64")
    limits = cuda.numbers((limit,), "float64")
    cuda.launch("optimizer", "norm_and_factor", used[0].dtype, 1, sums, sums.size, limits, p, result, block_each=True)
    _scale(cuda, parts, result[1:], gradients, used)
    return result[0]


def unscale(cuda: Any, gradients: Sequence[Any], factor: float) -> Any:
    """Multiply all gradients by ``factor``.

    Returns:
        Whether one of them was NaN or infinite, a 0-d array. The host does not wait for it.
    """
    used = [cuda.xp.ascontiguousarray(gradient) for gradient in gradients]
    parts = _by_dtype(used)
    finite = cuda.xp.isfinite(_norms_of_chunks(cuda, parts, math.inf)).all()
    _scale(cuda, parts, cuda.numbers((factor,), "float64"), gradients, used)
    return ~finite


def _by_dtype(arrays: Sequence[Any]) -> list[tuple[Any, Table]]:
    return [
        (dtype, table)
        for dtype in dict.fromkeys(array.dtype for array in arrays)
        for table in tables([[array for array in arrays if array.dtype == dtype]])
    ]


def _norms_of_chunks(cuda: Any, parts: Sequence[tuple[Any, Table]], p: float) -> Any:
    """Of each chunk of the tensors the sum of |x|^p, or the largest |x|."""
    sums, offset = cuda.xp.empty(sum(table.chunks for _, table in parts), "float64"), 0
    for dtype, table in parts:
        arguments = table.argument, sums, offset, p
        cuda.launch("optimizer", "norm_of_chunks", dtype, table.chunks, *arguments, block_each=True)
        offset += table.chunks
    return sums


def _scale(cuda: Any, parts: Any, factor: Any, arrays: Sequence[Any], used: Sequence[Any]) -> None:
    """Multiply the tensors by ``factor``, of which ``used`` are contiguous copies or the arrays themselves."""
    for dtype, table in parts:
        cuda.launch("optimizer", "scale_tensors", dtype, table.chunks, table.argument, factor, block_each=True)
    for array, scaled in zip(arrays, used, strict=True):
        if scaled is not array:
            array[...] = scaled
