"""One optimiser update of many parameters, in one pass over them, their gradients and their running averages.

Jobs of equal size share all the parameters' numbers, as if these lay one after the other. The pass goes through each
parameter in its own order in memory. The equations are in ``reference/optimizer.py``, and the kernels round as NumPy
does: their results are those of the reference to the last bit, however parameters are put together in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numba import carray, types

from ..reference import optimizer as reference
from .addresses import table_of
from .compiling import intrinsic, kernel
from .sharing import EXACT, Vector, jobs, task

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
        rates = _SgdRates(lr, momentum, 1 - dampening, weight_decay, -1 if maximize else 1, momentum != 0, nesterov)
        _sgd(table.dtype, jobs(table.numbers), _Sgd(table.rows, first, rates))
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
        steps_of_rows = np.array([lr / (1 - beta1**step) for step in taken], table.dtype)
        corrections = np.array([(1 - beta2**step) ** 0.5 for step in taken], table.dtype)
        rates = _AdamRates(
            beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink, -1 if maximize else 1, max_exp_avg_sqs is not None
        )
        _adam(table.dtype, jobs(table.numbers), _Adam(table.rows, steps_of_rows, corrections, rates))
    for place in table.others:
        param, mean, square, *largest = ([arrays[place]] for arrays in written)
        reference.adam_step(
            param, [grads[place]], mean, square, *largest, steps=[steps[place]], lr=lr, beta1=beta1, beta2=beta2,
            eps=eps, weight_decay=weight_decay, decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
        )  # fmt: skip


# ---- the kernels ---------------------------------------------------------------------------------------------------

# Columns of ``addresses.Table.rows``: the row's first number and the one after its last, then addresses.
START, STOP, PARAM, GRAD, MEAN, SQUARE, LARGEST = range(7)
BUFFER = MEAN


class _SgdRates(NamedTuple):
    lr: float
    momentum: float
    taken: float  # of a gradient into its running average
    weight_decay: float
    sign: float  # -1 to maximise
    with_momentum: int
    nesterov: int


class _Sgd(NamedTuple):
    rows: Annotated[np.ndarray, "int64[:,::1]"]
    first: Annotated[np.ndarray, "int64[::1]"]  # per row, whether the running average begins here
    rates: _SgdRates


class _AdamRates(NamedTuple):
    beta1: float
    rest1: float  # 1 - beta1
    beta2: float
    rest2: float
    eps: float
    decay: float  # of weights, in the gradient
    shrink: float  # what decoupled weight decay leaves of the weights
    sign: float  # -1 to maximise
    amsgrad: int


class _Adam(NamedTuple):
    rows: Annotated[np.ndarray, "int64[:,::1]"]
    steps: Vector  # per row, the learning rate over the correction of the mean's bias
    corrections: Vector  # per row, of the bias of the root of the mean square
    rates: _AdamRates


@intrinsic
def _pointer(typing_context, address, skipped, like):
    """A pointer to numbers of the type of ``like``: so many after the one at ``address``."""

    def generate(context, builder, signature, values):
        first = builder.inttoptr(values[0], context.get_value_type(signature.return_type))
        return builder.gep(first, [values[1]])

    return types.CPointer(like)(types.int64, types.int64, like), generate


@kernel()
def _part(job, jobs, rows, row):
    """Which numbers of a row are of the job's part of all rows: how many are skipped, and how many there are."""
    total = rows[len(rows) - 1, STOP]
    start = max(job * total // jobs, rows[row, START])
    return start - rows[row, START], min((job + 1) * total // jobs, rows[row, STOP]) - start


@task(_Sgd, EXACT)
def _sgd(job, jobs, update):
    rows, rates = update.rows, update.rates
    lr, momentum, taken, weight_decay, sign = rates.lr, rates.momentum, rates.taken, rates.weight_decay, rates.sign
    with_momentum, nesterov = rates.with_momentum, rates.nesterov
    for row in range(len(rows)):
        skipped, count = _part(job, jobs, rows, row)
        if count <= 0:
            continue
        value = carray(_pointer(rows[row, PARAM], skipped, lr), (count,))
        slope = carray(_pointer(rows[row, GRAD], skipped, lr), (count,))
        if not with_momentum:
            for k in range(count):
                g = slope[k] * sign
                value[k] -= lr * (g + weight_decay * value[k] if weight_decay != 0 else g)
            continue
        average = carray(_pointer(rows[row, BUFFER], skipped, lr), (count,))
        if update.first[row]:
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


@task(_Adam, EXACT)
def _adam(job, jobs, update):
    rows, rates = update.rows, update.rates
    beta1, rest1, beta2, rest2, eps = rates.beta1, rates.rest1, rates.beta2, rates.rest2, rates.eps
    decay, shrink, sign, amsgrad = rates.decay, rates.shrink, rates.sign, rates.amsgrad
    for row in range(len(rows)):
        skipped, count = _part(job, jobs, rows, row)
        if count <= 0:
            continue
        value = carray(_pointer(rows[row, PARAM], skipped, eps), (count,))
        slope = carray(_pointer(rows[row, GRAD], skipped, eps), (count,))
        mean = carray(_pointer(rows[row, MEAN], skipped, eps), (count,))
        square = carray(_pointer(rows[row, SQUARE], skipped, eps), (count,))
        most = carray(_pointer(rows[row, LARGEST if amsgrad else SQUARE], skipped, eps), (count,))
        rate, correction = update.steps[row], update.corrections[row]
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
