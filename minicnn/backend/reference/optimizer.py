"""One optimiser update of many parameters, in plain NumPy.

The functions take one list per kind of array, with one entry per parameter. They write into the raw arrays of the
parameters and the running averages, and do not change the gradients. Hyper-parameters are Python numbers, so a float32
parameter is updated in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def sgd_step(
    params: Sequence[np.ndarray],
    grads: Sequence[np.ndarray],
    momentum_buffers: Sequence[np.ndarray | None],
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[np.ndarray | None]:
    """Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964; Sutskever et al. 2013)::

        g <- grad + weight_decay * param           # -grad instead of grad when maximizing
        b <- momentum * b + (1 - dampening) * g    # b <- g in the first step
        d <- g + momentum * b  if nesterov  else  b
        param <- param - lr * d

    Without momentum, d = g.

    Args:
        params: the parameters, of any shapes; overwritten.
        grads: their gradients, same shapes and dtypes; untouched.
        momentum_buffers: b after each parameter's previous step, overwritten; ``None`` in its first step.

    Returns:
        Each b after this step, the argument of the next one; ``None`` without momentum.
    """
    buffers_after: list[np.ndarray | None] = []
    for param, grad, buffer in zip(params, grads, momentum_buffers, strict=True):
        direction = -grad if maximize else grad
        if weight_decay != 0:
            direction = direction + weight_decay * param
        if momentum != 0:
            if buffer is None:
                buffer = np.array(direction)
            else:
                np.multiply(buffer, momentum, out=buffer)
                np.add(buffer, (1 - dampening) * direction, out=buffer)
            direction = direction + momentum * buffer if nesterov else buffer
        np.subtract(param, lr * direction, out=param)
        buffers_after.append(buffer if momentum != 0 else None)
    return buffers_after


def adam_step(
    params: Sequence[np.ndarray],
    grads: Sequence[np.ndarray],
    exp_avgs: Sequence[np.ndarray],
    exp_avg_sqs: Sequence[np.ndarray],
    max_exp_avg_sqs: Sequence[np.ndarray] | None = None,
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
    """Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) and AMSGrad (Reddi et al. 2018)::

        g <- grad + weight_decay * param                        # Adam; -grad instead of grad when maximizing
        param <- param - lr * weight_decay * param              # AdamW, instead of the line above
        m <- beta1 * m + (1 - beta1) * g                        # running mean of the gradient
        v <- beta2 * v + (1 - beta2) * g^2                      # running mean of its square
        m_hat = m / (1 - beta1^step)                            # both started at 0: correct that bias
        v_hat = v / (1 - beta2^step)                            # AMSGrad: the largest v so far instead of v
        param <- param - lr * m_hat / (sqrt(v_hat) + eps)

    Args:
        params: the parameters, of any shapes; overwritten.
        grads: their gradients, same shapes and dtypes; untouched.
        exp_avgs: each m, zeros before the first step; overwritten.
        exp_avg_sqs: each v, zeros before the first step; overwritten.
        max_exp_avg_sqs: each largest v so far, overwritten; ``None`` for plain Adam.
        steps: the number of this update of each parameter, from 1.
        decoupled_weight_decay: AdamW's weight decay, which does not pass through m and v.
    """
    for number, (param, grad, mean, square) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
        if maximize:
            grad = -grad
        if weight_decay != 0:
            if decoupled_weight_decay:
                np.multiply(param, 1 - lr * weight_decay, out=param)
            else:
                grad = grad + weight_decay * param
        np.multiply(mean, beta1, out=mean)
        np.add(mean, (1 - beta1) * grad, out=mean)
        np.multiply(square, beta2, out=square)
        np.add(square, (1 - beta2) * grad * grad, out=square)
        if max_exp_avg_sqs is not None:
            square = np.maximum(max_exp_avg_sqs[number], square, out=max_exp_avg_sqs[number])
        # The corrections are applied in this order (not to m and v first) so that eps keeps the meaning it has
        # above.
        denominator = np.sqrt(square) / (1 - beta2 ** steps[number]) ** 0.5 + eps
        np.subtract(param, lr / (1 - beta1 ** steps[number]) * mean / denominator, out=param)
