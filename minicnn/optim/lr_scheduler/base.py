"""What every schedule shares: the count of epochs, the rates at the start, and a state that can be saved."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer


def groups_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The optimiser's parameter groups.

    Raises:
        TypeError: if ``optimizer`` is not an ``Optimizer``.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a schedule needs an Optimizer, got {type(optimizer).__name__}")
    return optimizer.param_groups


class LRScheduler:
    """Base class: counts epochs (``last_epoch``) and writes the learning rates into the optimiser's groups.

    A subclass defines ``get_lr()``, which returns one rate per group from ``last_epoch``, ``base_lrs`` (the rates at
    the start) and the optimiser's present groups.

    Args:
        optimizer: the optimiser whose rates are set.
        last_epoch: the epoch that a resumed run had reached; -1 for a new run.

    Raises:
        TypeError: if ``optimizer`` is not an ``Optimizer``.
        KeyError: if resumed without the ``"initial_lr"`` that a schedule stores in the groups.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for number, group in enumerate(groups_of(optimizer)):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"'initial_lr' is missing in param_groups[{number}], needed for last_epoch={last_epoch}")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._start()

    def _start(self) -> None:
        self._starting = True
        self._step_count = 0
        self.step()
        self._starting = False

    def get_lr(self) -> list[float]:
        """The rates for ``last_epoch``, one per group, computed from the present rates."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def closed_form_lr(self) -> list[float]:
        """The rates for ``last_epoch``, one per group, independent of the present rates."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule has set last, one per group."""
        return list(self._last_lr)

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or to ``epoch``, by the closed form) and set the rates.

        Call it after ``optimizer.step()``: before it, it would skip the first rate, so it warns.
        """
        optimizer = self.optimizer
        if self._step_count == 1 and optimizer.steps_taken == 0 and type(optimizer).step is Optimizer.step:
            warnings.warn(
                "scheduler.step() before the first optimizer.step() skips the first learning rate",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self.jump(epoch)

    def jump(self, epoch: int) -> None:
        """Go to ``epoch`` and set the rates by the closed form."""
        self.last_epoch = epoch
        self._set(self.closed_form_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The state without the optimiser, as a dictionary of plain numbers, lists and strings."""
        return copy.deepcopy({key: value for key, value in self.__dict__.items() if key != "optimizer"})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned; the rates are part of the optimiser's state.

        Raises:
            ValueError: if it is the state of another kind of schedule.
        """
        own = self.state_dict().keys()
        if own != state_dict.keys():
            raise ValueError(
                f"not the state of a {type(self).__name__}: missing {sorted(own - state_dict.keys())}, "
                f"unexpected {sorted(state_dict.keys() - own)}"
            )
        self._load(copy.deepcopy(state_dict))

    def _load(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
