"""Adam, and AdamW with its decoupled weight decay."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..tensors import Tensor
from .optimizer import Optimizer, Params, check_range


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015); ``adam_step`` in ``backend/reference/optimizer.py`` has the equations.

    Args:
        params: parameters or groups of them, see ``Optimizer``.
        lr: the learning rate.
        betas: the decay rates of the running means of the gradient and of its square, each in [0, 1).
        eps: keeps the division away from zero.
        weight_decay: the factor of the L2 penalty ``weight_decay / 2 * |param|^2``.
        amsgrad: divide by the largest running mean so far (Reddi et al. 2018).
        maximize: maximise instead of minimise.

    Raises:
        ValueError: for an option out of range.
    """

    capturable = True
    state_names = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    decoupled_weight_decay = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_range(group, name)
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` (={betas}) must be two numbers >= 0 and < 1")

    def update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        Adam.update_all(self, [param], [grad], group)

    def update_all(self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        array_backend = backend.get(params[0].device)
        averages = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = 0
                for key in averages:
                    state[key] = Tensor.wrap(array_backend.xp.zeros(param.shape, param.dtype), param.device)
            state["step"] += 1
        beta1, beta2 = group["betas"]
        array_backend.adam_step(
            [param.array for param in params],
            [grad.array for grad in grads],
            *([state[key].array for state in states] for key in averages),
            steps=[state["step"] for state in states],
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled_weight_decay=self.decoupled_weight_decay,
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    The parameter itself is multiplied by ``1 - lr * weight_decay``. Arguments as in Adam; ``weight_decay`` is 0.01 by
    default.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
