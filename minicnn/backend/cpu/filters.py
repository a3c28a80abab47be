"""The filters of a sweep, packed as the form that computes it reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import depthwise, winograd
from .compiling import LOCK
from .packing import pack
from .records import Located, located
from .tiles import panel_widths, width


class Filters:
    """The filters of a convolution, packed once. Later writes into ``weight`` are not seen.

    Args:
        weight: (K, C / groups, kH, kW).
        groups: of the convolution.
        numbers: from ``Sweep.numbers``.
        turned: put the channels side by side and reduce over the filters: for the gradient at the input.
        again: gives ``weight`` once more. Then they are kept in one form only, the one that was needed last.
    """

    def __init__(
        self,
        weight: np.ndarray,
        groups: int,
        numbers: tuple[int, ...],
        turned: bool = False,
        again: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.groups, self.numbers, self.turned, self.again = groups, numbers, turned, again
        self.depthwise = weight.shape[1] == 1 and len(weight) == groups > 1
        self._panels: Located | None = self._pack(weight)
        self._transformed: Located | None = None

    def _pack(self, weight: np.ndarray) -> Located:
        with LOCK:
            if self.depthwise:
                return located(depthwise.pack_taps(weight, self.numbers))
            return located(pack_filters(weight, self.groups, self.numbers, self.turned))

    @property
    def panels(self) -> Located:
        """The filters side by side, as tiles read them."""
        if self._panels is None:
            assert self.again is not None
            self._panels, self._transformed = self._pack(self.again()), None
        return self._panels

    @property
    def transformed(self) -> Located:
        """The filters as ``winograd.py`` wants them."""
        if self._transformed is None:
            self._transformed = located(winograd.transform_filters(self.panels.array[0]))
            if self.again is not None:
                self._panels = None
        return self._transformed


def pack_filters(weight: np.ndarray, groups: int, numbers: tuple[int, ...], turned: bool = False) -> np.ndarray:
    """Panels (groups, panels, steps, F) for a sweep whose taps are these; the arguments are those of ``Filters``."""
    weight = np.ascontiguousarray(weight)
    filters, channels, kernel_h, kernel_w = weight.shape
    taps, filters = kernel_h * kernel_w, filters // groups
    columns, steps = (channels, filters) if turned else (filters, channels)
    column_step, step_step = (taps, channels * taps) if turned else (channels * taps, taps)
    packed = [
        pack(weight, columns, steps, numbers, column_step, step_step, first=group * filters * channels * taps)
        for group in range(groups)
    ]
    return packed[0][None] if groups == 1 else np.stack(packed)


def padded_bias(bias: np.ndarray, groups: int) -> Located:
    """(groups * panels * F,): each panel's bias, with zeros where a panel has no filter."""
    own = len(bias) // groups
    padded = np.zeros((groups, len(panel_widths(own, bias.itemsize)) * width(bias.itemsize)), bias.dtype)
    padded[:, :own] = bias.reshape(groups, -1)
    return located(padded.reshape(-1))
