"""``GradScaler``: a loss times a large number, so that float16 holds the small gradients too."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

from .. import backend
from ..dtypes import float16
from ..optim import Optimizer
from ..tensors import Tensor


class _Stage(Enum):
    READY, UNSCALED, STEPPED = range(3)


class _Progress:
    """How far an optimiser has come since the last ``update``, and whether its gradients had a NaN or infinity."""

    def __init__(self) -> None:
        self.stage = _Stage.READY
        self.found: list[Any] = []  # for each device, an array of one bool
        self.overflowed: bool | None = None  # the same read on the host, which is done once


class GradScaler:
    """Scales the loss against underflow, and leaves out the steps whose gradients overflow, as ``torch.amp``'s.

    ::

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # only to clip the gradients before the step
        scaler.step(optimizer)
        scaler.update()

    The least number of float16 is 6e-8, and many gradients are smaller; scaled by 65536 they are not. Where the scale
    was too large, some gradients are infinite or NaN: that step is left out, and the scale multiplied by
    ``backoff_factor``. After ``growth_interval`` steps without one it is multiplied by ``growth_factor``
    [Micikevicius et al., 2018]. bfloat16 has the range of float32 and needs none of this.

    The gradients are looked at where they are; the host reads one number per step.

    Args:
        device: accepted for PyTorch's sake.
        enabled: False makes all methods pass through, so that a script needs no two versions.

    Raises:
        ValueError: for factors and intervals that do not fit.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        fits = growth_factor > 1 and 0 < backoff_factor < 1 and growth_interval >= 1
        if enabled and not (fits and 0 < _float32(init_scale) < math.inf):
            raise ValueError(
                "GradScaler: expected init_scale > 0, growth_factor > 1, backoff_factor between 0 and 1 and "
                f"growth_interval >= 1, got {init_scale}, {growth_factor}, {backoff_factor} and {growth_interval}"
            )
        self._enabled = enabled
        self._scale, self._used = _float32(init_scale), False  # whether scale() has been called
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._progress: dict[int, _Progress] = {}  # by optimiser, since the last update

    def scale(self, outputs: Any) -> Any:
        """A loss, or several in a list or tuple, times the scale; in float32 if it has 16 bits, which are too few."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, Tensor):
            return (outputs.float() if outputs.dtype.itemsize == 2 else outputs) * self._scale
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError(f"scale: expected a tensor or an iterable of tensors, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimiser's parameters by the scale in place, and look for NaN and infinity.

        Raises:
            RuntimeError: when it has been called for this optimiser, or ``step`` has, since the last ``update``.
            AssertionError: before any loss was scaled.
            ValueError: for float16 gradients, of float16 parameters: keep the parameters in float32.
        """
        if not self._enabled:
            return
        self._check_used("unscale_")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is _Stage.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update()")
        if progress.stage is _Stage.STEPPED:
            raise RuntimeError("unscale_() is being called after step()")
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if any(gradient.dtype == float16 for gradient in gradients):
            raise ValueError("attempting to unscale float16 gradients: keep the parameters in float32")
        for place in dict.fromkeys(gradient.device for gradient in gradients):
            here = [gradient for gradient in gradients if gradient.device == place]
            progress.found.append(_unscale(here, _float32(1 / self._scale)))
        progress.stage = _Stage.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` with unscaled gradients, unless one of them is NaN or infinite.

        Returns:
            what the optimiser's step returned; ``None`` if it was left out.

        Raises:
            RuntimeError: for a closure, and when it has been called since the last ``update``.
            AssertionError: before any loss was scaled, and if no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("step: a closure cannot be used while GradScaler is enabled")
        self._check_used("step")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is _Stage.STEPPED:
            raise RuntimeError("step() has already been called since the last update()")
        if progress.stage is _Stage.READY:
            self.unscale_(optimizer)
        assert progress.found, "step: no parameter of this optimizer has a gradient"
        progress.stage = _Stage.STEPPED
        return None if _overflowed(progress) else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Set the scale for the next iteration: once per iteration, after all optimisers' steps.

        Args:
            new_scale: a scale to use instead.

        Raises:
            AssertionError: without a ``step`` or ``unscale_`` before.
        """
        if not self._enabled:
            return
        self._check_used("update")
        if new_scale is not None:
            self._scale = _float32(float(new_scale))
        else:
            progresses = [progress for progress in self._progress.values() if progress.found]
            assert progresses, "update: no gradients were looked at before"
            self._adapt(any(map(_overflowed, progresses)))
        self._progress.clear()

    def _adapt(self, overflowed: bool) -> None:
        self._growth_tracker = 0 if overflowed else self._growth_tracker + 1
        if overflowed:
            self._scale = _float32(self._scale * self._backoff_factor)
        elif self._growth_tracker == self._growth_interval:
            self._growth_tracker = 0
            grown = _float32(self._scale * self._growth_factor)
            self._scale = grown if math.isfinite(grown) else self._scale

    def get_scale(self) -> float:
        """The scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By what the scale is multiplied after ``growth_interval`` steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set it."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale is multiplied after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set it."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps in a row without overflow the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set it."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The state in PyTorch's layout; empty if disabled. Take it after ``update``."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the scaler that gave ``state_dict`` was; a disabled one ignores it.

        Raises:
            RuntimeError: for an empty one, of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler: the state dict is empty, possibly that of a disabled scaler")
        self._scale, self._growth_tracker = _float32(state_dict["scale"]), state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]

    def _check_used(self, method: str) -> None:
        assert self._used, f"{method}: no loss was scaled yet; call scaler.scale(loss).backward() before"


def _float32(number: float) -> float:
    """The nearest float32: a GPU would keep the scale in one."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def _unscale(gradients: list[Tensor], factor: float) -> Any:
    """Multiply gradients of one device by ``factor`` in place: an array of one bool, whether any was not finite."""
    primitives: Any = backend.get(gradients[0].device)
    arrays = [gradient.array for gradient in gradients]
    if gradients[0].is_cuda:
        found = primitives.unscale(arrays, factor)
    else:
        found = np.array(not all(np.isfinite(array).all() for array in arrays))
        with np.errstate(all="ignore"):
            for array in arrays:
                array *= array.dtype.type(factor)
    for gradient in gradients:
        gradient.mark_written()
    return found


def _overflowed(progress: _Progress) -> bool:
    if progress.overflowed is None:
        progress.overflowed = any(bool(found.item()) for found in progress.found)
    return progress.overflowed
