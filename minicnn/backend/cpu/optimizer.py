"""One optimiser update of many parameters, in one pass over them, their gradients and their running averages.

Jobs of equal size share all the parameters' numbers, as if these lay one behind the other. The pass goes through each
parameter in its own order in memory. The equations are in ``reference/optimizer.py``, and the kernels round as NumPy
does: their results are those of the reference to the last bit, however parameters are put together in one call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import carray, types

from ..reference import optimizer as reference
from .addresses import table_of
from .compiling import intrinsic
from .sharing import EXACT, jobs, task

Arrays = Sequence[np.ndarray]


def sgd_step(
    params: Arrays,
    grads: Arrays,
    momentum_buffers: Sequence[np.ndarray | None],
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[np.ndarray | None]:
    """See ``reference.optimizer.sgd_step``."""
    buffers: list[np.ndarray | None] = [None] * len(params)
    written = [params]
    if momentum != 0:
        pairs = zip(params, momentum_buffers, strict=True)
        full = [np.empty_like(param) if buffer is None else buffer for param, buffer in pairs]
        buffers = list(full)
        written.append(full)
    table = table_of(written, grads)
    if table.places:
        first = np.array([momentum_buffers[place] is None for place in table.places], np.int64)
        numbers = np.array([lr, momentum, 1 - dampening, weight_decay, -1 if maximize else 1], table.dtype)
        _sgd(table.dtype, jobs(table.numbers), table.rows, first, numbers, int(momentum != 0), int(nesterov))
    for place in table.others:
        [buffers[place]] = reference.sgd_step(
            [params[place]], [grads[place]], [momentum_buffers[place]], lr=lr, momentum=momentum, dampening=dampening,
            weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
        )  # fmt: skip
    return buffers


def adam_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    max_exp_avg_sqs: Arrays | None = None,
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
    written = [params, exp_avgs, exp_avg_sqs, *([] if max_exp_avg_sqs is None else [max_exp_avg_sqs])]
    table = table_of(written, grads)
    if table.places:
        decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled_weight_decay else (weight_decay, 1.0)
        taken = [steps[place] for place in table.places]
        corrections = np.array([[lr / (1 - beta1**step), (1 - beta2**step) ** 0.5] for step in taken], table.dtype)
        numbers = np.array([beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink, -1 if maximize else 1], table.dtype)
        _adam(
            table.dtype, jobs(table.numbers), table.rows, corrections, numbers, int(max_exp_avg_sqs is not None)
        )  # fmt: skip
    for place in table.others:
        param, mean, square, *largest = ([arrays[place]] for arrays in written)
        reference.adam_step(
            param, [grads[place]], mean, square, *largest, steps=[steps[place]], lr=lr, beta1=beta1, beta2=beta2,
            eps=eps, weight_decay=weight_decay, decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
        )  # fmt: skip


# ---- the kernels: ``addresses.Table`` says what is in a row --------------------------------------------------------


@intrinsic
def _pointer(typing_context, address, like):
    """The address as a pointer to numbers like those of the array ``like``."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), generate


@task("int64[:, ::1], int64[::1], T[::1], int64, int64", EXACT)
def _sgd(job, jobs, rows, first, numbers, with_momentum, nesterov):
    lr, momentum, taken, weight_decay, sign = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    size = numbers.itemsize
    total = rows[len(rows) - 1, 1]
    begin, end = job * total // jobs, (job + 1) * total // jobs
    for row in range(len(rows)):
        start, count = max(begin, rows[row, 0]), min(end, rows[row, 1]) - max(begin, rows[row, 0])
        if count <= 0:
            continue
        skipped = (start - rows[row, 0]) * size
        value = carray(_pointer(rows[row, 2] + skipped, numbers), (count,))
        slope = carray(_pointer(rows[row, 3] + skipped, numbers), (count,))
        if not with_momentum:
            for k in range(count):
                g = slope[k] * sign
                value[k] -= lr * (g + weight_decay * value[k] if weight_decay != 0 else g)
            continue
        average = carray(_pointer(rows[row, 4] + skipped, numbers), (count,))
        if first[row]:
            for k in range(count):
                g = slope[k] * sign
                g = g + weight_decay * value[k] if weight_decay != 0 else g
                average[k] = g
                value[k] -= lr * (g + momentum * g if nesterov else g)
        else:
            for k in range(count):
                g = slope[k] * sign
                g = g + weight_decay * value[k] if weight_decay != 0 else g
                b = momentum * average[k] + taken * g
                average[k] = b
                value[k] -= lr * (g + momentum * b if nesterov else b)


@task("int64[:, ::1], T[:, ::1], T[::1], int64", EXACT)
def _adam(job, jobs, rows, corrections, numbers, amsgrad):
    beta1, rest1, beta2, rest2, eps = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    decay, shrink, sign = numbers[5], numbers[6], numbers[7]
    size = numbers.itemsize
    total = rows[len(rows) - 1, 1]
    begin, end = job * total // jobs, (job + 1) * total // jobs
    for row in range(len(rows)):
        start, count = max(begin, rows[row, 0]), min(end, rows[row, 1]) - max(begin, rows[row, 0])
        if count <= 0:
            continue
        skipped = (start - rows[row, 0]) * size
        value = carray(_pointer(rows[row, 2] + skipped, numbers), (count,))
        slope = carray(_pointer(rows[row, 3] + skipped, numbers), (count,))
        mean = carray(_pointer(rows[row, 4] + skipped, numbers), (count,))
        square = carray(_pointer(rows[row, 5] + skipped, numbers), (count,))
        most = carray(_pointer(rows[row, 5 + amsgrad] + skipped, numbers), (count,))
        rate, correction = corrections[row, 0], corrections[row, 1]
        for k in range(count):
            old = value[k] * shrink
            g = slope[k] * sign
            g = g + decay * old if decay != 0 else g
            m = beta1 * mean[k] + rest1 * g
            v = beta2 * square[k] + rest2 * g * g
            mean[k] = m
            square[k] = v
            if amsgrad:
                v = v if v > most[k] or v != v else most[k]
                most[k] = v
            value[k] = old - rate * m / (np.sqrt(v) / correction + eps)
