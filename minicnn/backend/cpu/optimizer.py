"""One optimiser update of one parameter, in one pass over the parameter, its gradient and its running averages.

The pass goes through memory in the parameter's own order. The equations are in ``reference/optimizer.py``.
"""

from __future__ import annotations

import numpy as np

from minicnn.backend.reference import optimizer as reference

from .inputs import floats
from .pointwise import in_memory_order, memory_order
from .sharing import jobs, task


def sgd_step(
    param: np.ndarray,
    grad: np.ndarray,
    momentum_buffer: np.ndarray | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> np.ndarray | None:
    """See ``reference.optimizer.sgd_step``."""
    if not _fit(param, grad, momentum_buffer):
        return reference.sgd_step(
            param, grad, momentum_buffer, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
            nesterov=nesterov, maximize=maximize,
        )  # fmt: skip
    kept, taken, buffer = momentum, 1 - dampening, momentum_buffer
    if momentum != 0 and buffer is None:  # the first step: b <- g
        kept, taken, buffer = 0.0, 1.0, np.zeros_like(param)
    flat = in_memory_order(param, grad, *([] if momentum == 0 or buffer is None else [buffer]))
    assert flat is not None
    numbers = np.array([lr, momentum, kept, taken, weight_decay, -1 if maximize else 1], param.dtype)
    _sgd(param.dtype, jobs(param.size), flat[0], flat[1], flat[-1], numbers, int(momentum != 0), int(nesterov))
    return buffer if momentum != 0 else None


def adam_step(
    param: np.ndarray,
    grad: np.ndarray,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    max_exp_avg_sq: np.ndarray | None = None,
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
    """See ``reference.optimizer.adam_step``."""
    if not _fit(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq):
        reference.adam_step(
            param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step=step, lr=lr, beta1=beta1, beta2=beta2, eps=eps,
            weight_decay=weight_decay, decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
        )  # fmt: skip
        return
    largest = exp_avg_sq if max_exp_avg_sq is None else max_exp_avg_sq
    flat = in_memory_order(param, grad, exp_avg, exp_avg_sq, largest)
    assert flat is not None
    decay = 0.0 if decoupled_weight_decay else weight_decay
    shrink = 1 - lr * weight_decay if decoupled_weight_decay else 1.0
    numbers = np.array(
        [
            lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, (1 - beta2**step) ** 0.5, eps,
            decay, shrink, -1 if maximize else 1,
        ],
        param.dtype,
    )  # fmt: skip
    _adam(param.dtype, jobs(param.size), *flat, numbers, int(max_exp_avg_sq is not None))


def _fit(param: np.ndarray, grad: np.ndarray, *buffers: np.ndarray | None) -> bool:
    """Whether one pass can do it: one dtype and shape, no gaps, and what is written lies in the same order."""
    written = [param, *(buffer for buffer in buffers if buffer is not None)]
    order = memory_order(param)
    return (
        floats(grad, *written)
        and order is not None
        and grad.shape == param.shape
        and all(
            x.shape == param.shape and x.flags.writeable and x.flags.aligned and x.transpose(order).flags.c_contiguous
            for x in written
        )
    )


@task("T[::1], T[::1], T[::1], T[::1], int64, int64")
def _sgd(job, jobs, param, grad, buffer, numbers, with_momentum, nesterov):
    first, last = job * param.size // jobs, (job + 1) * param.size // jobs
    value, slope, average = param[first:last], grad[first:last], buffer[first:last]
    lr, momentum, kept, taken, weight_decay, sign = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
    )  # fmt: skip
    if with_momentum:
        for k in range(value.size):
            g = slope[k] * sign
            g = g + weight_decay * value[k] if weight_decay != 0 else g
            b = kept * average[k] + taken * g
            average[k] = b
            value[k] -= lr * (g + momentum * b if nesterov else b)
    else:
        for k in range(value.size):
            g = slope[k] * sign
            value[k] -= lr * (g + weight_decay * value[k] if weight_decay != 0 else g)


@task("T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], int64")
def _adam(job, jobs, param, grad, exp_avg, exp_avg_sq, largest, numbers, amsgrad):
    first, last = job * param.size // jobs, (job + 1) * param.size // jobs
    value, slope, mean = param[first:last], grad[first:last], exp_avg[first:last]
    square, most = exp_avg_sq[first:last], largest[first:last]
    rate, beta1, rest1, beta2, rest2, correction, eps = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
    )  # fmt: skip
    decay, shrink, sign = numbers[7], numbers[8], numbers[9]
    for k in range(value.size):
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
