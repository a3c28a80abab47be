"""Schedules one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    """One schedule after the other: ``schedulers[i + 1]`` starts at ``milestones[i]``, from its epoch 0.

    The usual warm-up: ``SequentialLR(opt, [LinearLR(opt, total_iters=5), CosineAnnealingLR(opt, 95)], [5])``.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        fits = len(milestones) == len(schedulers) - 1 and sorted(set(milestones)) == list(milestones)
        if not schedulers or not fits:
            raise ValueError(
                "expected schedules and, one fewer, the rising epochs at which the next takes over, "
                f"got {len(schedulers)} schedules and milestones={list(milestones)}"
            )
        for position, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"ReduceLROnPlateau (at {position}) needs a metric: not in a sequence")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"the {type(scheduler).__name__} at {position} drives another optimizer")
        self.schedulers = list(schedulers)
        self.milestones = list(milestones)
        self.optimizer = optimizer
        self._start()

    def _start(self) -> None:
        # Each schedule has already made its first step when it was constructed: undo them all, then start the first.
        self.last_epoch = 0
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self.schedulers:
            scheduler.last_epoch = -1
        first = self.schedulers[bisect_right(self.milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and let the active schedule set the rates."""
        if epoch is not None:
            return self.jump(epoch)
        self.last_epoch += 1
        turn = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[turn]
        if turn > 0 and self.milestones[turn - 1] == self.last_epoch:
            scheduler.jump(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def jump(self, epoch: int) -> None:
        """Start again at epoch 0; a sequence of schedules cannot start at another epoch."""
        if epoch != 0:
            raise ValueError(f"a SequentialLR goes forward one by one, it cannot jump to epoch {epoch}")
        self._start()

    def state_dict(self) -> dict[str, Any]:
        return {
            "last_epoch": self.last_epoch,
            "milestones": list(self.milestones),
            "_last_lr": list(self._last_lr),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def _load(self, state: dict[str, Any]) -> None:
        for scheduler, saved in zip(self.schedulers, state.pop("schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)
