"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..tensors import Tensor
from .optimizer import Optimizer, Params, check_range


class SGD(Optimizer):
    """Stochastic gradient descent; ``sgd_step`` in ``backend/reference/optimizer.py`` has the equations.

    Args:
        params: parameters or groups of them, see ``Optimizer``.
        lr: the learning rate.
        momentum: the share of the previous update that is kept.
        dampening: the share of the gradient that is not added to the momentum.
        weight_decay: the factor of the L2 penalty ``weight_decay / 2 * |param|^2``.
        nesterov: use Nesterov's momentum (needs momentum > 0 and dampening = 0).
        maximize: maximise instead of minimise.

    Raises:
        ValueError: for an option out of range.
    """

    capturable = True
    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_range(group, name)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "Nesterov momentum needs `momentum` > 0 and `dampening` = 0, "
                f"got momentum={group['momentum']}, dampening={group['dampening']}"
            )

    def update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        SGD.update_all(self, [param], [grad], group)

    def update_all(self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        place = params[0].device
        states = [self.state[param] if group["momentum"] != 0 else {} for param in params]
        before = [state.get("momentum_buffer") for state in states]
        after = backend.get(place).sgd_step(
            [param.array for param in params],
            [grad.array for grad in grads],
            [None if buffer is None else buffer.array for buffer in before],
            lr=float(group["lr"]),
            momentum=float(group["momentum"]),
            dampening=float(group["dampening"]),
            weight_decay=float(group["weight_decay"]),
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
        for state, known, buffer in zip(states, before, after, strict=True):
            if known is None and buffer is not None:
                state["momentum_buffer"] = Tensor.wrap(buffer, place)
