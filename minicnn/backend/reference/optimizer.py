"""One optimiser update of one parameter, in plain NumPy.

The functions write into the raw arrays they are given (the parameter and the running averages) and leave the
gradient as it is. Hyper-parameters are Python numbers, so a float32 parameter is updated in float32.
"""

from __future__ import annotations

import numpy as np


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
    """Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964; Sutskever et al. 2013)::

        g <- grad + weight_decay * param           # -grad instead of grad when maximizing
        b <- momentum * b + (1 - dampening) * g    # b <- g in the first step
        d <- g + momentum * b  if nesterov  else  b
        param <- param - lr * d

    Without momentum, d = g.

    Args:
        param: the parameter, any shape; overwritten.
        grad: its gradient, same shape and dtype; untouched.
        momentum_buffer: b after the previous step, overwritten; ``None`` in the first step.

    Returns:
        b after this step, to be handed in at the next; ``None`` without momentum.
    """
    direction = -grad if maximize else grad
    if weight_decay != 0:
        direction = direction + weight_decay * param
    if momentum != 0:
        if momentum_buffer is None:
            momentum_buffer = np.array(direction)
        else:
            np.multiply(momentum_buffer, momentum, out=momentum_buffer)
            np.add(momentum_buffer, (1 - dampening) * direction, out=momentum_buffer)
        direction = direction + momentum * momentum_buffer if nesterov else momentum_buffer
    np.subtract(param, lr * direction, out=param)
    return momentum_buffer if momentum != 0 else None


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
    """Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) and AMSGrad (Reddi et al. 2018)::

        g <- grad + weight_decay * param                        # Adam; -grad instead of grad when maximizing
        param <- param - lr * weight_decay * param              # AdamW, in place of the line above
        m <- beta1 * m + (1 - beta1) * g                        # running mean of the gradient
        v <- beta2 * v + (1 - beta2) * g^2                      # running mean of its square
        m_hat = m / (1 - beta1^step)                            # both started at 0: undo that bias
        v_hat = v / (1 - beta2^step)                            # AMSGrad: the largest v so far in v's place
        param <- param - lr * m_hat / (sqrt(v_hat) + eps)

    Args:
        param: the parameter, any shape; overwritten.
        grad: its gradient, same shape and dtype; untouched.
        exp_avg: m, zeros before the first step; overwritten.
        exp_avg_sq: v, zeros before the first step; overwritten.
        max_exp_avg_sq: the largest v so far, overwritten; ``None`` for plain Adam.
        step: the number of this update, from 1.
        decoupled_weight_decay: AdamW's weight decay, which does not pass through m and v.
    """
    if maximize:
        grad = -grad
    if weight_decay != 0:
        if decoupled_weight_decay:
            np.multiply(param, 1 - lr * weight_decay, out=param)
        else:
            grad = grad + weight_decay * param
    np.multiply(exp_avg, beta1, out=exp_avg)
    np.add(exp_avg, (1 - beta1) * grad, out=exp_avg)
    np.multiply(exp_avg_sq, beta2, out=exp_avg_sq)
    np.add(exp_avg_sq, (1 - beta2) * grad * grad, out=exp_avg_sq)
    second_moment = exp_avg_sq
    if max_exp_avg_sq is not None:
        second_moment = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    # The corrections are applied in this order (not to m and v first) so that eps keeps the meaning it has
    # above.
    denominator = np.sqrt(second_moment) / (1 - beta2**step) ** 0.5 + eps
    np.subtract(param, lr / (1 - beta1**step) * exp_avg / denominator, out=param)
